"""The record a run leaves: what was run, how it ended, what was measured, and where."""

from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from workflow.provenance import Provenance
from workflow.resultfile import Measurement, Status
from workflow.runs import Run


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
