"""Results that no network made: every run of a real plan, with numbers drawn from a known truth."""

import functools
import hashlib
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from models.mixer import state_bytes
from models.network import NativeNetworkSpec, SharedNetworkSpec
from tasks.task import TokenTask
from workflow.files import write
from workflow.grids import points
from workflow.plans import Plan, Planned, plan_of, write_plan
from workflow.provenance import Provenance
from workflow.results import Measurement, Result, Status
from workflow.runs import ProfilingRun, ReferenceRun, Run, Selected, TrainingRun

RECALL = """
question: How many pairs does each architecture recall?
figures:
  pairs: {y: accuracy, x: task.pairs}
  state: {y: accuracy, x: state_bytes, where: {task.pairs: 8}}
base:
  kind: training
  task: {name: recall, length: 32, vocabulary: 64, pairs: 4, fillers: 1, power: 0.01}
  network: {block: shared, width: 16, depth: 1, positions: 0, convolution: 4, feedforward: 0}
  optimizer:
    {final_rate: 0.1, warmup_steps: 1, steps: 4, until: null, batch_size: 2, weight_decay: 0.1, beta2: 0.98, gradient_clip: 1.0}
  evaluation: {every_steps: 2, batches: 1, stop_accuracy: null, piece: null, grid: {}}
  precision: float32
  execution: {compile: false, recompute: false, micro_batch: null}
grid:
  network.mixer:
    - {name: attention, heads: 1, key_value_heads: 1, window: null, rotary_base: 10000.0, kernel: sdpa}
    - &mlstm
      {name: mlstm, heads: 1, key_dim: 4, chunk: 16, kernel: torch, gates: {input: exp, normaliser: true,
        input_from: token, forget_from: token, input_bias: [0.0, 0.1], forget_bias: [3.0, 6.0], cap: null}}
    - {<<: *mlstm, key_dim: 16}
  task.pairs: [4, 8]
tune:
  at: {task.pairs: 4}
  grid: {optimizer.learning_rate: [0.001, 0.003, 0.01], seed: [0]}
confirm: {seed: [1, 2, 3]}
reference_examples: 16
scales: {quick: {}}
"""

_SKILL = {
    "attention": 0.97,
    "mlstm": 0.9,
    "gated-deltanet": 0.84,
    "mamba2": 0.78,
    "mamba": 0.66,
    "slstm": 0.55,
    "lstm": 0.35,
}
MADE = Provenance(
    commit="0123456789ab",
    machine="a1b2c3d4",
    processor="A processor",
    cores=2,
    memory_bytes=2**33,
    device="cpu",
    driver="",
    threads=1,
    system="Linux x86_64",
    python="3.12.0",
    torch="2.13.0",
    numpy="2.3.0",
    lock="0123456789ab",
    seconds=1.5,
    resumed=0,
    company=1,
    processes=1,
    sharded=False,
    claims="",
)


def recall_plan(text: str = RECALL) -> Plan:
    return plan_of(text, experiment="recall", scale="quick")


def leave_results(plan: Plan, folder: Path, *, ended: dict[str, Status] | None = None) -> None:
    """Leaves a plan and the result of each of its runs; `ended` says, by id, which did not finish."""
    write_plan(plan, results=folder)
    for planned in plan.runs:
        result = result_of(planned, status=(ended or {}).get(planned.id, "finished"))
        write(folder / "runs" / planned.id / "result.json", result.model_dump_json(indent=1) + "\n")


def result_of(planned: Planned, *, status: Status = "finished", made: Provenance = MADE) -> Result:
    """Returns a result whose numbers depend on the run's specification only."""
    run, rng = planned.run, _rng(planned.run)
    if isinstance(run, TrainingRun):
        rows = _trained(run, rng, finished=status == "finished")
    elif isinstance(run, ProfilingRun):
        rows = _profiled(run, rng) if status == "finished" else []
    else:
        rows = _referenced(run)
    detail = "" if status == "finished" else "for a test"
    return Result(id=planned.id, run=run, status=status, detail=detail, measurements=tuple(rows), provenance=made)


def failing(plan: Plan, *, role: str, mixer: str, status: Status, most: int = 10**6) -> dict[str, Status]:
    """Returns the first runs of a role and mixer, to be given to `leave_results`."""
    named = [planned.id for planned in plan.runs if planned.role == role and planned.run.network.mixer.name == mixer]
    return dict.fromkeys(named[:most], status)


def _rng(run: Run) -> np.random.Generator:
    """Returns a generator that a change of code leaves as it is: no name of a run enters."""
    fields = run.model_dump_json(exclude={"optimizer": {"learning_rate"}})
    return np.random.default_rng(int.from_bytes(hashlib.sha256(fields.encode()).digest()[:8]))


def _trained(run: TrainingRun, rng: np.random.Generator, *, finished: bool) -> list[Measurement]:
    rate = run.optimizer.learning_rate
    rate = (0.003, 0.001, 0.01)[rate.place] * (rate.times or 1) if isinstance(rate, Selected) else rate
    rows = [
        Measurement(name="steps", value=run.optimizer.last_step, unit="step"),
        Measurement(name="learning_rate", value=rate, unit="1"),
        *_sizes(run.network, _vocabulary(run), _lengths(run)),
    ]
    if not finished:
        return rows
    score = _score(run, rng) - 0.12 * abs(math.log(rate / 0.003))
    bits = max(0.02, 7 * (1 - score)) if run.task.score == "accuracy" else 4.4 - 2 * score
    for step in range(run.evaluation.every_steps, run.optimizer.last_step + 1, run.evaluation.every_steps):
        more = 3 * (1 - step / run.optimizer.steps)
        rows.append(Measurement(name="loss", value=bits + more, unit="bit", at={"split": "train", "step": step}))
        rows += _scores(run, score, bits + more, {"split": "validation", "step": step})
    if run.optimizer.until is not None:
        return rows
    rows += _scores(run, score, bits, {"split": "test"})
    if run.task.score == "bits_per_byte":
        buckets = [0, *(2**power for power in range(_length(run).bit_length() - 1))]
        for place, first in enumerate(buckets):
            loss = bits + 2.5 * math.exp(-place / 2)
            at = {"split": "test", "position": first}
            rows.append(Measurement(name="bits_per_byte", value=loss, unit="bit/byte", at=at))
    for point in run.evaluation.points:
        beyond = max(0.0, math.log2(point.get("length", _length(run)) / _length(run)))
        lost = (1 - _SKILL[run.network.mixer.name]) * beyond
        rows += _scores(run, score - lost, bits, {"split": "test", **point})
        if run.task.score == "bits_per_byte":
            at = {"split": "test", **point, "position": 0}
            rows.append(Measurement(name="bits_per_byte", value=bits, unit="bit/byte", at=at))
    return rows


def _score(run: TrainingRun, rng: np.random.Generator) -> float:
    mixer = run.network.mixer
    size = getattr(mixer, "key_dim", getattr(mixer, "state_dim", 32))
    harder = math.log2(getattr(run.task, "pairs", 4) / 4) + (getattr(run.task, "labels", "dense") == "final")
    return _SKILL[mixer.name] - 0.06 * harder * math.log2(64 / size) + 0.03 * rng.standard_normal()


def _scores(run: TrainingRun, score: float, bits: float, at: dict[str, int | str]) -> list[Measurement]:
    labels = 512
    if run.task.score == "mse":
        return [Measurement(name=name, value=1.6 - score, unit="1", at=at) for name in ("loss", "mse", "mae")]
    rows = [
        Measurement(name="loss", value=bits, unit="bit", at=at),
        Measurement(name="labels", value=labels, unit="count", at=at),
    ]
    if run.task.score == "accuracy":
        right = round(labels * min(1.0, max(score, 0.05)))
        return [*rows, Measurement(name="accuracy", value=right / labels, unit="fraction", at=at)]
    return [*rows, Measurement(name="bits_per_byte", value=bits, unit="bit/byte", at=at)]


def _profiled(run: ProfilingRun, rng: np.random.Generator) -> list[Measurement]:
    if run.phase == "stream":
        return _streamed(run, rng)
    order = 2 if run.network.mixer.name == "attention" and run.phase != "decode" else 1
    work = run.length**order / 512 ** (order - 1) if run.phase != "decode" else 1 + run.length / 2048 * (order - 1)
    seconds = 1e-4 * work * (1 + len(run.network.mixer.name) / 5) * np.exp(0.05 * rng.standard_normal(run.samples))
    rows = [
        Measurement(name="seconds", value=value, unit="s", at={"round": at % run.rounds, "sample": at})
        for at, value in enumerate(seconds.tolist())
    ]
    rows += [Measurement(name="first_seconds", value=2.0, unit="s", at={"round": at}) for at in range(run.rounds)]
    counted = _sizes(run.network, run.vocabulary, (run.length,))
    flops = next(row.value for row in counted if row.name == "flops") * run.batch * run.length
    sizes = [row.model_copy(update={"at": {}}) for row in counted if row.name != "flops"]
    peak = 2.0**20 + 4096 * run.length ** (order if run.phase != "decode" else 1)
    return [
        *rows,
        Measurement(name="peak_bytes", value=peak, unit="B"),
        Measurement(name="static_bytes", value=2.0**20, unit="B"),
        *sizes,
        Measurement(name="flops", value=flops, unit="FLOP"),
        Measurement(name="ceiling_flops", value=1e11, unit="FLOP/s"),
        Measurement(name="ceiling_bytes", value=2e10, unit="B/s"),
        Measurement(name="tokens", value=run.batch if run.phase == "decode" else run.batch * run.length, unit="token"),
    ]


def _streamed(run: ProfilingRun, rng: np.random.Generator) -> list[Measurement]:
    growth = 1e-3 if run.network.mixer.name == "attention" else 0.0
    rows = []
    for position in (0, *(run.length // 2**back for back in (4, 3, 2, 1))):
        seconds = 1e-4 * (1 + growth * position) * np.exp(0.05 * rng.standard_normal())
        at = {"position": position}
        rows += [
            Measurement(name="step_seconds", value=seconds * (1 + share), unit="s", at=at | {"quantile": share})
            for share in (0.01, 0.5, 1.0)
        ]
        rows.append(Measurement(name="deviation", value=1e-6 * (1 + position**0.5), unit="nat", at=at))
        if position:
            rows.append(Measurement(name="growth_bytes", value=2.0**10 * (1 + 1e3 * growth), unit="B", at=at))
    return rows


def _referenced(run: ReferenceRun) -> list[Measurement]:
    names, unit = (run.task.score,), {"accuracy": "fraction", "bits_per_byte": "bit/byte", "mse": "1"}[run.task.score]
    if run.task.score == "bits_per_byte":
        scores = {f"order_{order}": 4.6 - 0.75 * order + 0.1 * order**2 for order in range(6)} | {"xz": 2.35}
    elif run.task.score == "mse":
        scores, names = {"mean": 1.0, "last": 1.3, "nlinear": 0.6}, ("mse", "mae")
    else:
        scores = run.task.references(64)
    return [
        Measurement(name=name, value=score, unit=unit, at={"predictor": predictor, **point})
        for point in ({}, *(points(run.grid) if run.grid else ()))
        for name in names
        for predictor, score in scores.items()
    ]


@functools.cache
def _sizes(spec: SharedNetworkSpec | NativeNetworkSpec, vocabulary: int, lengths: Iterable[int]) -> list[Measurement]:
    with torch.device("meta"):
        network = spec.build(vocabulary)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    rows = [
        Measurement(name="parameters", value=parameters, unit="1"),
        Measurement(name="flops", value=network.flops(lengths[0]) / lengths[0], unit="FLOP/token"),
    ]
    for length in lengths:
        held = state_bytes(network.initial_state(1, length))
        rows.append(Measurement(name="state_bytes", value=held, unit="B", at={"length": length}))
    return rows


def _lengths(run: TrainingRun) -> tuple[int, ...]:
    stated = [point["length"] for point in run.evaluation.points if "length" in point]
    return tuple(dict.fromkeys([_length(run), *stated]))


def _length(run: TrainingRun) -> int:
    stated = (getattr(run.task, name, None) for name in ("length", "maximum_length", "piece"))
    return next((length for length in stated if length), 64)


def _vocabulary(run: TrainingRun) -> int:
    return run.task.vocabulary_size if isinstance(run.task, TokenTask) else 8
