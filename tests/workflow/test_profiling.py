"""The profiler measures what is known beforehand, and a point that fails is a row with a status."""

import time

import pytest
import torch

from models.network import SharedNetworkSpec
from tests.models.rows import ARCHITECTURES, settings
from workflow.isolation import in_process
from workflow.memory import forget_peak, peak_bytes, used_bytes
from workflow.plans import run_at
from workflow.profiling import memory, profile, sampled_seconds, workload
from workflow.runs import ProfilingRun

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
    "precision": "float32",
    "warmup": 1,
    "samples": 3,
    "budget_seconds": 0.01,
    "timeout_seconds": 60.0,
}


def run_of(settings=None) -> ProfilingRun:
    return run_at(BASE, settings or {}, where="test")


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


@pytest.mark.parametrize("phase", ["train_step", "forward", "prefill", "decode"])
@pytest.mark.parametrize("mixer", MIXERS, ids=[mixer["name"] for mixer in MIXERS])
def test_every_phase_of_every_mixer_can_be_called_again_and_again(phase, mixer):
    run = run_of({"phase": phase, "network.mixer": mixer})
    assert len(sampled_seconds(run)) == 3
    weighed = memory(run)
    parameters = sum(p.numel() for p in run.network.build(run.vocabulary).parameters())
    assert weighed["static_bytes"] >= 4 * parameters
    assert weighed["state_bytes"] > 0


def test_a_training_step_holds_gradients_and_both_moments():
    run = run_of({"phase": "train_step"})
    parameters = [p.numel() for p in run.network.build(run.vocabulary).parameters()]
    steps = len(parameters)  # AdamW counts steps per tensor, in a float each
    assert memory(run)["static_bytes"] == 4 * (4 * sum(parameters) + steps)


def test_the_training_step_that_is_timed_trains():
    work = workload(run_of({"phase": "train_step"}), on=CPU)
    losses = [work.call().item() for _ in range(20)]
    assert losses[-1] < losses[0]


def test_sampling_ends_with_its_budget_but_not_before_three(monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(clock)))
    assert sampled_seconds(run_of({"samples": 50, "budget_seconds": 5.5})) == [1.0] * 6
    assert sampled_seconds(run_of({"samples": 50, "budget_seconds": 0.5})) == [1.0] * 3
    assert sampled_seconds(run_of({"samples": 4, "budget_seconds": 1e9})) == [1.0] * 4


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
