"""The profiler measures what is known beforehand, and a point that fails is a row with a status."""

import math
import os
import time
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from models.network import SharedNetworkSpec
from tests.models.rows import ARCHITECTURES, settings
from workflow.checkpoints import Checkpoint
from workflow.isolation import Answer, in_process
from workflow.memory import available_bytes, forget_peak, peak_bytes, used_bytes
from workflow.plans import run_at
from workflow.profiling import meters, rounds, sampling
from workflow.profiling.gate import deviation
from workflow.profiling.meters import ceilings, watched
from workflow.profiling.rounds import execute
from workflow.profiling.sampling import memory, sampled
from workflow.profiling.shapes import flops, least_bytes
from workflow.profiling.workloads import Workload, subject_of, workload
from workflow.results import Measurement, Outcome
from workflow.runs import ProfilingRun
from workflow.serving import Desk

CPU = torch.device("cpu")
MIXERS = [
    settings("attention", {"heads": 1, "key_value_heads": 1}),
    settings("mlstm", {"heads": 1, "key_dim": 8, "chunk": 16}),
    settings("slstm", {}),
    settings("mamba", {}),
    settings("mamba2", {"heads": 2, "chunk": 16}),
    settings("gated-deltanet", {}),
    settings("lstm", {"hidden": 16}),
]
BASE = {
    "kind": "profiling",
    "phase": "prefill",
    "subject": "network",
    "network": {
        "block": "shared",
        "width": 16,
        "depth": 1,
        "positions": 0,
        "convolution": 4,
        "feedforward": 0,
        "mixer": MIXERS[0],
    },
    "vocabulary": 16,
    "batch": 2,
    "length": 8,
    "new_tokens": None,
    "precision": "float32",
    "compile": False,
    "rounds": 1,
    "warmup": 1,
    "samples": 3,
    "budget_seconds": 0.01,
    "timeout_seconds": 60.0,
}


def run_of(settings=None) -> ProfilingRun:
    return run_at(BASE, settings or {}, where="test")


PHASES = ["train_step", "forward", "prefill", "decode", "generate"]


def in_phase(phase, settings=None) -> ProfilingRun:
    return run_of({"phase": phase, "new_tokens": 3 if phase == "generate" else None} | (settings or {}))


def desk_of(run) -> Desk:
    return Desk(run, Path("anywhere"), CPU, Checkpoint(Path("nowhere")), lambda step, loss, rows: None)


def profile(run) -> Outcome:
    (ended,) = execute([desk_of(run)])
    return ended.outcome


def values(outcome, name) -> list[float]:
    return [row.value for row in outcome.measurements if row.name == name]


def here(function, run, *, timeout_seconds) -> Answer:
    return Answer("finished", "", function(run))


def taking(seconds: float) -> str:
    time.sleep(seconds)
    return "awake"


def holding(mebibytes: int) -> int:
    torch.ones(2**18)  # pages in the code
    forget_peak(CPU)
    floor = used_bytes(CPU)
    for _ in range(3):  # held one after the other, never together
        torch.ones(mebibytes * 2**18)
    return peak_bytes(CPU) - floor


def refused() -> None:
    torch.empty(2**60)


def broken() -> None:
    raise ZeroDivisionError("a mistake in the code")


def test_a_known_allocation_reads_as_its_size():
    answer = in_process(holding, 64, timeout_seconds=60)
    assert answer.status == "finished"
    assert answer.value == pytest.approx(64 * 2**20, rel=0.02)


def test_too_slow_is_a_status_and_soon_over():
    started = time.monotonic()
    answer = in_process(taking, 60, timeout_seconds=1)
    assert (answer.status, answer.detail) == ("timed_out", "more than 1 s")
    assert time.monotonic() - started < 30


def test_too_much_memory_is_a_status():
    answer = in_process(refused, timeout_seconds=60)
    assert answer.status == "out_of_memory"
    assert "allocate" in answer.detail


def test_a_mistake_is_an_error_with_its_traceback_and_not_a_status():
    with pytest.raises(RuntimeError, match="ZeroDivisionError: a mistake in the code"):
        in_process(broken, timeout_seconds=60)


@pytest.mark.parametrize("subject", ["network", "mixer"])
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("mixer", MIXERS, ids=[mixer["name"] for mixer in MIXERS])
def test_every_phase_of_every_mixer_is_its_definition_and_can_be_called_again_and_again(phase, mixer, subject):
    run = in_phase(phase, {"network.mixer": mixer, "subject": subject})
    assert deviation(run, on=CPU) < 1e-4
    found = sampled(run, first=True)
    assert (len(found.warmup), len(found.seconds)) == (1, 3)
    assert found.once["floor_seconds"][0] < min(found.seconds)
    weighed = memory(run)
    parameters = sum(p.numel() for p in subject_of(run, on=CPU).module.parameters())
    assert found.once["parameters"] == (parameters, "1")
    assert weighed["parameter_bytes"] == 4 * parameters
    assert weighed["static_bytes"] >= 4 * parameters
    assert weighed["state_bytes"] > 0


def test_a_training_step_holds_gradients_and_both_moments():
    run = run_of({"phase": "train_step"})
    parameters = [p.numel() for p in run.network.build(run.vocabulary).parameters()]
    steps = len(parameters)  # AdamW counts steps per tensor, in a float each
    assert memory(run)["static_bytes"] == 4 * (4 * sum(parameters) + steps)


def test_what_a_prompt_left_in_the_process_is_not_the_memory_of_the_token_after_it():
    run = in_phase("decode", {"network.mixer": MIXERS[2], "network.width": 64, "length": 2048})
    answer = in_process(memory, run, timeout_seconds=60)
    assert 0 <= answer.value["activation_bytes"] < 2**19  # reading 2048 tokens takes several MiB


def test_the_training_step_that_is_timed_trains():
    work = workload(run_of({"phase": "train_step"}), on=CPU)
    losses = [work.call().item() for _ in range(20)]
    assert losses[-1] < losses[0]


def test_sampling_ends_with_its_budget_but_not_before_three(monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(clock)))

    def samples(**settings):
        return sampled(run_of(settings), first=False).seconds

    assert samples(samples=50, budget_seconds=5.5) == [1.0] * 6
    assert samples(samples=50, budget_seconds=0.5) == [1.0] * 3
    assert samples(samples=4, budget_seconds=1e9) == [1.0] * 4
    assert samples(samples=50, budget_seconds=9.0, rounds=3) == [1.0] * 3
    assert samples(samples=50, budget_seconds=0.5, rounds=3) == [1.0]
    assert samples(samples=6, budget_seconds=1e9, rounds=3) == [1.0] * 2


def test_a_known_sleep_reads_as_its_length(monkeypatch):
    monkeypatch.setattr(sampling, "workload", lambda run, *, on: Workload(lambda: time.sleep(0.05), dict))
    found = sampled(run_of({"samples": 20, "budget_seconds": 10.0}), first=False)
    assert min(found.seconds) == pytest.approx(0.05, rel=0.05)  # others on the machine can only make it longer


def test_the_same_network_twice_ties():
    settings = {"length": 256, "samples": 60, "budget_seconds": 10.0, "rounds": 3}
    both = [ended.outcome for ended in execute([desk_of(run_of(settings)) for _ in range(2)])]
    first, second = (min(values(outcome, "seconds")) for outcome in both)
    assert first == pytest.approx(second, rel=0.3)


def test_networks_take_turns_and_one_that_fails_stops_nobody(monkeypatch):
    called = []

    def asked(function, run, *, timeout_seconds):
        mixer = run.network.mixer.name
        called.append((getattr(function, "func", function).__name__, mixer))
        if mixer == "lstm" and called.count(("sampled", "lstm")) == 2:
            return Answer("out_of_memory", "so it goes", None)
        return here(function, run, timeout_seconds=timeout_seconds)

    monkeypatch.setattr(rounds, "in_process", asked)
    names = ["attention", "lstm", "mlstm"]
    runs = [run_of({"network.mixer": mixer, "rounds": 3}) for mixer in MIXERS if mixer["name"] in names]
    outcomes = {ended.desk.run.network.mixer.name: ended.outcome for ended in execute([desk_of(run) for run in runs])}
    assert [outcome.status for outcome in outcomes.values()] == ["finished", "finished", "out_of_memory"]
    order = [mixer for what, mixer in called if what == "sampled"]
    assert order == ["attention", "mlstm", "lstm", "mlstm", "lstm", "attention", "attention", "mlstm"]
    (finished,) = {len(values(outcomes[name], "first_seconds")) for name in ("attention", "mlstm")}
    assert finished == 3
    assert outcomes["lstm"] == Outcome("out_of_memory", "so it goes", ())
    samples = [row.at for row in outcomes["mlstm"].measurements if row.name == "seconds"]
    assert samples == [{"round": turn, "sample": turn} for turn in range(3)]


def test_what_differs_from_its_definition_is_not_timed(monkeypatch):
    monkeypatch.setattr(rounds, "in_process", lambda function, run, *, timeout_seconds: Answer("finished", "", 0.02))
    outcome = profile(run_of())
    assert (outcome.status, outcome.measurements) == ("unequal", ())
    assert outcome.detail == "differs from its definition by 0.02 of the largest number, 0.001 allowed"
    monkeypatch.setattr(
        rounds, "in_process", lambda function, run, *, timeout_seconds: Answer("finished", "", math.nan)
    )
    assert profile(run_of()).status == "unequal"


def test_a_stream_is_followed_along_its_windows():
    outcome = profile(in_phase("stream", {"length": 64, "network.mixer": MIXERS[1], "rounds": 2}))
    assert outcome.status == "finished"
    medians = [r.at["position"] for r in outcome.measurements if r.name == "step_seconds" and r.at["quantile"] == 0.5]
    assert medians == [0, 16, 32]
    assert max(values(outcome, "deviation")) < 1e-4
    assert values(outcome, "definition_deviation")[0] < 1e-4
    assert len(set(values(outcome, "state_bytes"))) == 1


def test_a_stream_that_is_not_finite_is_a_status_that_says_where(monkeypatch):
    lost = Measurement(name="first_nonfinite", value=17, unit="token", at={"form": "step"})
    monkeypatch.setattr(rounds, "in_stream", lambda run: [lost])
    monkeypatch.setattr(rounds, "in_process", here)
    outcome = profile(in_phase("stream", {"length": 64}))
    assert outcome == Outcome("diverged", "read step, the logits after token 17 are not finite", ())


def test_what_cannot_fit_is_told_before_it_is_tried(monkeypatch):
    monkeypatch.setattr(rounds, "available_bytes", lambda device: 10**6)
    monkeypatch.setattr(rounds, "in_process", None)
    outcome = profile(in_phase("train_step", {"length": 10**5}))
    assert outcome.status == "out_of_memory"
    assert outcome.detail.startswith("predicted: at least 0.0")


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("mixer", [MIXERS[0], MIXERS[1]], ids=["attention", "mlstm"])
def test_a_prediction_is_never_more_than_what_was_needed(phase, mixer):
    run = in_phase(phase, {"network.mixer": mixer, "network.width": 64, "length": 512, "vocabulary": 1024})
    needed = memory(run)
    assert least_bytes(run) <= max(needed["peak_bytes"], needed["static_bytes"]) * 1.02


def test_a_long_stream_needs_its_state_and_not_its_predictions():
    short, long = (least_bytes(in_phase("stream", {"length": n, "network.mixer": MIXERS[1]})) for n in (64, 2**20))
    assert short == long


def test_there_is_memory_and_no_more_than_the_machine_has():
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < available_bytes(CPU) <= pages


def test_generating_is_reading_and_then_writing_the_likeliest_token():
    run = in_phase("generate", {"new_tokens": 5})
    subject = subject_of(run, on=CPU)
    tokens_BT = subject.inputs[:, :-1]
    for _ in range(5):
        tokens_BT = torch.cat([tokens_BT, subject.module(tokens_BT)[:, -1:].argmax(-1)], dim=1)
    torch.testing.assert_close(workload(run, on=CPU).call(), subject.module(tokens_BT)[:, -1])
    assert sampling.tokens(run) == 5 * run.batch


def test_operations_are_those_of_the_call():
    def counted(phase, **changes):
        return flops(in_phase(phase, {name.replace("__", "."): value for name, value in changes.items()}))

    assert counted("train_step") == 3 * counted("forward")
    assert counted("forward") == counted("prefill")
    assert counted("forward", batch=4) == 2 * counted("forward", batch=2)
    assert counted("generate") is None
    mlstm, attention = (
        [counted("decode", length=n, network__mixer=m) for n in (8, 64)] for m in (MIXERS[1], MIXERS[0])
    )
    assert mlstm[0] == mlstm[1] > 0
    grown = 2 * 2 * 2 * (64 - 8) * BASE["network"]["width"]  # keys and values, a multiply-add each, two sequences
    assert attention[1] - attention[0] == grown


@pytest.mark.parametrize("mixer", MIXERS[1:-1], ids=[mixer["name"] for mixer in MIXERS[1:-1]])
def test_operations_of_a_token_are_those_counted_as_it_is_decoded(mixer):
    run = in_phase("decode", {"network.mixer": mixer})
    subject = subject_of(run, on=CPU)
    _, state = subject.module.prefill(subject.inputs[:, :-1], subject.module.initial_state(run.batch, run.length + 1))
    with FlopCounterMode(display=False) as count:
        subject.module.step(subject.inputs[:, -1], state)
    assert flops(run) == flops(run.model_copy(update={"length": 300})) == count.get_total_flops() > 0


@pytest.mark.parametrize(("mixer", "more"), [(MIXERS[0], 4 * 16 * 9), (MIXERS[-1], 0)], ids=["attention", "lstm"])
def test_operations_that_one_kernel_hides_are_counted_too(mixer, more):
    run = in_phase("decode", {"network.mixer": mixer})
    network = run.network.build(run.vocabulary)
    matrices = [
        p
        for name, p in network.named_parameters()
        if p.ndim == 2 and "embedding" not in name and "convolution" not in name
    ]
    products = 2 * sum(p.numel() for p in matrices)
    assert flops(run) == run.batch * (products + more)  # more: keys and values of 9 tokens


def test_a_ceiling_is_plausible():
    found = ceilings(CPU, "float32")
    assert 1e8 < found["ceiling_flops"][0] < 1e14
    assert 1e8 < found["ceiling_bytes"][0] < 1e13


def test_the_work_of_others_and_the_energy_are_read_where_the_system_tells_them(monkeypatch, tmp_path):
    stat, cpuinfo = tmp_path / "stat", tmp_path / "cpuinfo"
    packages = [tmp_path / name for name in ("intel-rapl:0", "intel-rapl:1", "intel-rapl:0:0")]
    for path in packages:
        path.mkdir()
    cpuinfo.write_text("cpu MHz\t\t: 2000.5\ncpu MHz\t\t: 3000.0\n", encoding="utf-8")

    def tell(seconds, joules):
        ticks = int(seconds * os.sysconf("SC_CLK_TCK"))
        stat.write_text(f"cpu  {ticks} 0 0 999 9 0 0 0 0 0\ncpu0 1\n", encoding="ascii")
        for path in packages:
            (path / "energy_uj").write_text(f"{joules * 1e6:.0f}\n", encoding="ascii")

    for name, path in (("_STAT", stat), ("_RAPL", tmp_path), ("_CPUINFO", cpuinfo), ("_HWMON", tmp_path)):
        monkeypatch.setattr(meters, name, path)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    tell(100, 50)
    with watched(CPU) as found:
        time.sleep(0.5)
        tell(101, 53)
    assert found["joules"] == (pytest.approx(6), "J")
    assert found["busy"][0] == pytest.approx(1 / 0.5 / 4, rel=0.3)
    assert found["clock"] == (3e9, "Hz")
    assert "temperature" not in found


def test_what_the_system_does_not_tell_is_absent(monkeypatch, tmp_path):
    for name in ("_STAT", "_RAPL", "_CPUINFO", "_HWMON"):
        monkeypatch.setattr(meters, name, tmp_path / "nothing")
    with watched(CPU) as found:
        pass
    assert found == {}


def test_others_on_the_machine_are_noticed(monkeypatch, capsys):
    busy = sampling.Samples([0.1], [0.1], {"busy": (0.4, "fraction")}, {})
    point = rounds.Point(run_of(), rounds=[busy, busy._replace(readings={"busy": (0.05, "fraction")})])
    rounds._tell_of_others([point, rounds.Point(run_of())])
    told = "warning: others had up to 40% of the processors while 1 of 2 networks were timed (prefill, length 8)\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"phase": "generate"}, "new_tokens=None in phase generate"),
        ({"phase": "stream"}, "a length of 64 at least"),
        ({"new_tokens": 4}, "new_tokens=4 in phase prefill"),
        (
            {"subject": "mixer", "network": {"block": "native", "width": 8, "depth": 1, "tied": True}}
            | {"network.mixer": ARCHITECTURES["llama"].model_dump(mode="json")},
            "a native block is more than its mixer",
        ),
    ],
)
def test_what_cannot_be_called_is_refused(changes, told):
    with pytest.raises(ValueError, match=told):
        run_of(changes)


def test_the_decoding_state_of_attention_grows_and_that_of_mlstm_does_not():
    def state(mixer, length):
        outcome = profile(run_of({"phase": "decode", "network.mixer": mixer, "length": length}))
        return next(row.value for row in outcome.measurements if row.name == "state_bytes")

    attention, mlstm = MIXERS[0], MIXERS[1]
    assert state(mlstm, 64) == state(mlstm, 512)
    grown = state(attention, 512) - state(attention, 64)
    width, batch = BASE["network"]["width"], BASE["batch"]
    assert grown == (512 - 64) * batch * 2 * width * 4


def test_a_point_that_fails_leaves_a_status_and_no_number():
    outcome = profile(run_of({"timeout_seconds": 0.001}))
    assert outcome.status == "timed_out"
    assert outcome.measurements == ()


def test_a_kernel_that_cannot_run_here_leaves_a_status_that_says_why():
    outcome = profile(run_of({"network.mixer": settings("mamba2", {"kernel": "mamba-ssm"})}))
    assert outcome.status == "unsupported"
    assert "mamba-ssm" in outcome.detail
    assert outcome.measurements == ()


@pytest.mark.parametrize("name", ["llama", "xlstm-mixed"])
def test_a_native_network_is_profiled_as_any(name):
    mixer = ARCHITECTURES[name].model_dump(mode="json")
    native = {"block": "native", "width": 8, "depth": 2, "tied": True, "mixer": mixer}
    outcome = profile(run_of({"network": native, "phase": "train_step"}))
    assert outcome.status == "finished"


def test_the_network_is_the_one_of_the_specification():
    run = run_of()
    assert isinstance(run.network, SharedNetworkSpec)
    outcome = profile(run)
    (parameters,) = [row.value for row in outcome.measurements if row.name == "parameters"]
    assert parameters == sum(p.numel() for p in run.network.build(run.vocabulary).parameters())


@pytest.mark.gpu
@pytest.mark.parametrize("phase", [*PHASES, "stream"])
@pytest.mark.parametrize("mixer", [MIXERS[0], MIXERS[1]], ids=["attention", "mlstm"])
def test_every_phase_is_profiled_on_a_gpu(phase, mixer):
    outcome = profile(in_phase(phase, {"network.mixer": mixer, "length": 64, "precision": "bfloat16", "rounds": 2}))
    assert (outcome.status, outcome.detail) == ("finished", "")
    if phase != "stream":
        assert values(outcome, "ceiling_flops")[0] > 1e12
        assert values(outcome, "peak_bytes")[0] >= values(outcome, "static_bytes")[0] > 0
        assert len(values(outcome, "first_seconds")) == 2
