"""The record a run leaves: what was run, how it ended, what was measured, and where."""

from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from workflow.provenance import Provenance
from workflow.runs import Run

Status = Literal["finished", "diverged", "out_of_memory", "unsupported", "timed_out", "unequal"]


class Measurement(BaseModel):
    """A number with its name, unit and address, for example loss, in bits, at {split: test, length: 256}."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    name: str
    value: float
    unit: str
    at: dict[str, int | float | str] = {}


class Outcome(NamedTuple):
    """What executing a run gives: how it ended, what a reader should know about that, and the numbers."""

    status: Status
    detail: str
    measurements: tuple[Measurement, ...]


class Result(BaseModel):
    """Everything a run leaves behind; `detail` says what a reader should know about a status other than `finished`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: str
    run: Run = Field(discriminator="kind")
    status: Status
    detail: str = ""
    measurements: tuple[Measurement, ...]
    provenance: Provenance


def read_result(path: Path) -> Result:
    """Returns the result at `path`; a missing or damaged one is an error that names the file."""
    return Result.model_validate_json(path.read_text(encoding="utf-8"))
