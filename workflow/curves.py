"""What evaluations find while runs train, for those who want to look on: as CSV, or for TensorBoard."""

import csv
import io
from pathlib import Path
from typing import Protocol

from workflow.files import write
from workflow.results import Measurement

_COLUMNS = ("step", "split", "name", "value", "unit")


class Curve(Protocol):
    """Where the rows of one run's evaluations go."""

    def add(self, rows: list[Measurement]) -> None: ...


class CSVCurve:
    """`curve.csv` in the run's folder. A run that is continued repeats the rows since its checkpoint: they are there once."""

    def __init__(self, path: Path):
        self._path = path

    def add(self, rows: list[Measurement]) -> None:
        """Appends the rows, in place of any of the same step or later."""
        first = min(row.at["step"] for row in rows)
        kept = [row for row in self._read() if int(row["step"]) < first]
        told = [dict(zip(_COLUMNS, (r.at["step"], r.at["split"], r.name, r.value, r.unit), strict=True)) for r in rows]
        text = io.StringIO()
        writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows([*kept, *told])
        write(self._path, text.getvalue())

    def _read(self) -> list[dict[str, str]]:
        if not self._path.exists():
            return []
        with self._path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


class TensorBoardCurve:
    """Event files for TensorBoard; ValueError where its package is missing."""

    def __init__(self, folder: Path):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ValueError("--tensorboard needs the package tensorboard: pip install tensorboard") from None
        self._writer = SummaryWriter(str(folder))

    def add(self, rows: list[Measurement]) -> None:
        """Adds the rows and hands them to the disk."""
        for row in rows:
            self._writer.add_scalar(f"{row.name}/{row.at['split']}", row.value, row.at["step"])
        self._writer.flush()
