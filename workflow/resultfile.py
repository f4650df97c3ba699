"""A result as it is written down, for those who read numbers: no network and no task has to be imported."""

from pathlib import Path
from typing import Literal

from workflow.planfile import Tree
from workflow.spec import Spec

Status = Literal["finished", "diverged", "out_of_memory", "unsupported", "timed_out", "unequal"]


class Measurement(Spec):
    """A number with its name, unit and address, for example loss, in bits, at {split: test, length: 256}."""

    name: str
    value: float
    unit: str
    at: dict[str, int | float | str] = {}


class ResultFile(Spec):
    """A `result.json`, its run and provenance taken as they stand; `results.Result` is what checks those."""

    id: str
    run: Tree
    status: Status
    detail: str = ""
    measurements: tuple[Measurement, ...]
    provenance: Tree


def read_result_file(path: Path) -> ResultFile:
    """Returns the record at `path`; OSError or ValueError where it is missing or damaged."""
    return ResultFile.model_validate_json(path.read_text(encoding="utf-8"))
