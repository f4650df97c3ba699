"""Whether runs are trained as one program or in turn: measured on this machine, once, and kept beside the runs."""

import hashlib
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict

from models.own import digest_of
from workflow.files import write
from workflow.isolation import lacks_memory
from workflow.provenance import provenance
from workflow.runs import TrainingRun
from workflow.training.alone import Alone, drawn
from workflow.training.stacked import Stacked

Policy = Literal["auto", "always", "never"]

_WORTHWHILE = 1.2  # times as fast as in turn: less is not told apart from chance by so few steps
_ROUNDS = 6
_FEWEST_STEPS = 100  # of a run: shorter ones would spend more on the measurement than it could save


class Choice(BaseModel):
    """What was measured: the seconds of a step of all members, in turn and stacked, by round; empty where not measured."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    members: int
    device: str
    torch: str
    in_turn: list[float]
    stacked: list[float]
    stack: bool
    why: str


def chosen(
    runs: list[TrainingRun], *, learning_rates: list[float], policy: Policy, device: torch.device, records: Path
) -> Choice:
    """Returns the choice for these runs, which differ in learning rate and seed only; `records` holds those made before.

    A choice that was kept is not made again, so that a cut cohort goes on as it began.
    """
    made = provenance(seconds=0.0, resumed=0, company=1)
    where = {"members": len(runs), "device": f"{made.device} {made.processor}", "torch": made.torch}
    refusal = _refusal(runs, policy=policy)
    if refusal:
        return Choice(**where, in_turn=[], stacked=[], stack=False, why=refusal)
    if policy == "always":
        return Choice(**where, in_turn=[], stacked=[], stack=True, why="asked for")
    path = records / f"{_address(runs[0], where)}.json"
    if path.exists():
        return Choice.model_validate_json(path.read_text(encoding="utf-8"))
    choice = _measured(runs, learning_rates=learning_rates, device=device, where=where)
    write(path, choice.model_dump_json(indent=1) + "\n")
    return choice


def _refusal(runs: list[TrainingRun], *, policy: Policy) -> str:
    """Returns why there is nothing to choose, or nothing."""
    if len(runs) < 2 or policy == "never":
        return "alone" if len(runs) < 2 else "asked for"
    execution = runs[0].execution
    if execution.compile or execution.recompute or execution.micro_batch is not None:
        return "compiled, recomputed and parted steps are taken in turn"
    if runs[0].before is not None:
        return "networks that are pretrained are trained in turn"
    if digest_of(runs[0].network.mixer) is not None:
        return "a mixer from a file of your own is trained in turn"
    if policy == "auto" and runs[0].optimizer.last_step < _FEWEST_STEPS:
        return "too short to measure"
    return ""


def _measured(
    runs: list[TrainingRun], *, learning_rates: list[float], device: torch.device, where: dict[str, object]
) -> Choice:
    """Returns the choice that some steps of both, taken alternately, call for."""
    try:
        alone = Alone(runs[0], drawn(runs[0], device=device), learning_rate=learning_rates[0])
        stacked = Stacked(runs, learning_rates=learning_rates, device=device)
        turns, stacks = [], []
        for step in range(_ROUNDS + 4):  # a CUDA graph is captured at the fourth
            turn = len(runs) * _seconds(alone.step, step, device=device)
            stack = _seconds(stacked.step, step, device=device)
            if step >= 4:
                turns.append(turn)
                stacks.append(stack)
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        return Choice(**where, in_turn=[], stacked=[], stack=False, why="together they do not fit into memory")
    gain = statistics.median(turns) / statistics.median(stacks)
    stack = gain >= _WORTHWHILE
    why = f"a stack is {gain:.2f} times as fast, and {_WORTHWHILE} were asked of it"
    return Choice(**where, in_turn=turns, stacked=stacks, stack=stack, why=why)


def _seconds(advance: Callable[[int], object], step: int, *, device: torch.device) -> float:
    started = time.perf_counter()
    advance(step)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def _address(run: TrainingRun, where: dict[str, object]) -> str:
    """Returns the name of what is measured: everything but learning rate, seed and what comes after a step."""
    optimizer = run.optimizer.model_copy(update={"learning_rate": 1.0, "until": None})
    step = run.model_copy(update={"seed": 0, "optimizer": optimizer}).model_dump(mode="json", exclude={"evaluation"})
    return hashlib.sha256(json.dumps([step, where], sort_keys=True).encode()).hexdigest()[:16]
