"""A plan as it is written down, for those who read results: no network and no task has to be imported."""

from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from workflow.spec import Spec

SCALES = ("smoke", "quick", "paper")

# In a problem's path, but no fields of a run.
_TAGS = ("run", "training", "profiling", "reference", "shared", "native", "built-in", "own")

# `pretrain`: tuning runs of what is learnt first (`runs.Pretraining`). `screen`: tuning runs that end early, for the best of
# them to go on (`plans.Rung`). `control`: of no estimate.
Role = Literal["pretrain", "screen", "tune", "confirm", "profile", "reference", "control"]
Control = Literal["chance", "duplicate", "handicapped"]
Tree = dict[str, Any]  # nested settings as an experiment file writes them


class Figure(Spec):
    """One figure and its table: a measurement over a field of the run or of the measurement's address, a line per mixer.

    `x` is a dotted field (`task.pairs`, `length`), an address (`at.length`, `at.position`), a measurement of the same run
    (`state_bytes`), `network.mixer` for one place per mixer, or `task` for one per task. `panels` names the field
    with one panel per value.
    """

    y: str
    x: str
    panels: str | None = None
    where: Tree = {}


class PlannedRun(Spec):
    """A run by name, its part in the experiment, and its network's specification, empty where it has none."""

    id: str
    role: Role
    network: str


class PlannedControl(Spec):
    """A control by its confirming runs, and by those `of` the entrant that it copies or changes; the reason if it has none."""

    control: Control
    of: tuple[str, ...]
    runs: tuple[str, ...]
    reason: str


class PlanFile(Spec):
    """A `plan.json`: a plan without the specifications of its runs, which lie in their folders."""

    experiment: str
    scale: str
    question: str
    figures: dict[str, Figure]
    varied: tuple[str, ...]
    tuned: tuple[float, ...]
    runs: tuple[PlannedRun, ...]
    controls: tuple[PlannedControl, ...] = ()


def read_plan(path: Path) -> PlanFile:
    """Returns the plan at `path`; OSError or ValueError if it is missing or damaged."""
    try:
        return PlanFile.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise ValueError(f"{path} is damaged: {first_problem(error)}") from None


def first_problem(error: ValidationError) -> str:
    """Returns the first thing wrong, in one line: the field and the remedy."""
    problem = error.errors()[0]
    path = ".".join(str(part) for part in problem["loc"] if part not in _TAGS)
    message = problem["msg"].removeprefix("Value error, ")
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{path}: {message}{more}" if path else f"{message}{more}"
