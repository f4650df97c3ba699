"""The tidy tables: how they are read and written, and which of their columns are what."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from workflow.files import write

FIXED = ("experiment", "scale", "role", "run", "kind", "status", "detail")
NUMBER = ("name", "value", "unit")
STATISTICS = ("low", "high", "deviation", "p5", "p95", "interval", "n", "failed", "machines")  # of estimates
RATE = "optimizer.learning_rate"
TUNED_BY = f"{RATE}.best_of"
OWN = "network.mixer.sha256"  # of a mixer from a reader's own file
TIMES = f"{RATE}.times"  # the rate chosen, for how a network fares at another

_ROWS = 50_000  # that are put into text together
_NUMERIC_PROVENANCE = {"cores", "memory_bytes", "threads", "seconds", "resumed"}


def read_table(path: Path) -> pd.DataFrame:
    """Returns a table this package wrote: empty cells are missing, numbers are the numbers written, names stay text."""
    columns = pd.read_csv(path, nrows=0).columns
    text = {column: "str" for column in columns if _is_text(column)}
    return pd.read_csv(path, dtype=text, na_values=[""], keep_default_na=False, low_memory=False)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Leaves the table as CSV, whole or not at all."""
    head = ",".join(map(_cell, table.columns))
    parts = (table.iloc[start : start + _ROWS] for start in range(0, len(table), _ROWS))
    write(path, f"{head}\n{''.join(line for part in parts for line in _lines(part))}")


def field_columns(table: pd.DataFrame) -> list[str]:
    """Returns the columns that hold the run's own fields, of a table of measurements or of estimates."""
    other = (*FIXED, *NUMBER, *STATISTICS)
    return [column for column in table.columns if column not in other and not column.startswith(("at.", "provenance."))]


def at_columns(table: pd.DataFrame) -> list[str]:
    """Returns the columns that hold a number's address."""
    return [column for column in table.columns if column.startswith("at.")]


def is_own(table: pd.DataFrame) -> pd.Series:
    """Returns which rows a mixer from a reader's own file (`models.own`) has a part in."""
    return table[[column for column in table.columns if column.endswith(OWN)]].notna().any(axis=1)


def without_own(table: pd.DataFrame) -> pd.DataFrame:
    """Returns the other rows, without the fields that only those mixers have: the table as if there were none."""
    sides = [column.removesuffix(OWN) for column in table.columns if column.endswith(OWN)]  # of a pair of lines, two
    if not sides:
        return table
    others = {side: table[table[side + OWN].isna()] for side in sides}
    fields = [column.removeprefix(sides[0]) for column in table.columns if column.startswith(f"{sides[0]}network.")]
    added = is_own(table)
    only = [
        field
        for field in fields
        if field == OWN
        or (
            any(table.loc[added, side + field].notna().any() for side in sides)
            and all(others[side][side + field].isna().all() for side in sides)
        )
    ]
    return table[~added].drop(columns=[side + field for side in sides for field in only])


def _lines(rows: pd.DataFrame) -> Iterator[str]:
    """Yields the lines that `DataFrame.to_csv` writes, seven times as fast: most cells of a column are one of a few."""
    for cells in zip(*(_cells(rows[column]) for column in rows.columns), strict=True):
        yield f"{','.join(cells)}\n"


def _cells(column: pd.Series) -> list[str]:
    """Returns the text of every cell, made once of cells that are the same: as 0.0 and -0.0, or 1 and True, are not."""
    values = column.to_numpy()
    same = (
        values.view("int64") if column.dtype == "float64" else column.map(repr) if column.dtype == "object" else column
    )
    codes, found = pd.factorize(same, use_na_sentinel=False)
    first = np.zeros(len(found), dtype="int64")
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    return np.array([_cell(value) for value in column.iloc[first]], dtype="object")[codes].tolist()


def _cell(value: object) -> str:
    if pd.isna(value):
        return ""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([value, ""])
    return line.getvalue()[:-1]


def _is_text(column: str) -> bool:
    if column.startswith("provenance."):
        return column.removeprefix("provenance.") not in _NUMERIC_PROVENANCE
    last = column.rpartition(".")[2]
    named = column in (*FIXED, "name", "unit", "interval", TUNED_BY) or last.endswith(("name", "sha256"))
    return named or "grid." in column
