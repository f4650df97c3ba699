"""The tidy tables: how they are read and written, and which of their columns are what."""

from pathlib import Path

import pandas as pd

from workflow.files import write

FIXED = ("experiment", "scale", "role", "run", "kind", "status", "detail")
NUMBER = ("name", "value", "unit")
STATISTICS = ("low", "high", "deviation", "p5", "p95", "interval", "n", "failed", "machines")  # of estimates
RATE = "optimizer.learning_rate"
TUNED_BY = f"{RATE}.best_of"
TIMES = f"{RATE}.times"  # the rate chosen, for how a network fares at another

_NUMERIC_PROVENANCE = {"cores", "memory_bytes", "threads", "seconds", "resumed"}


def read_table(path: Path) -> pd.DataFrame:
    """Returns a table this package wrote: empty cells are missing, numbers are the numbers written, names stay text."""
    columns = pd.read_csv(path, nrows=0).columns
    text = {column: "str" for column in columns if _is_text(column)}
    return pd.read_csv(path, dtype=text, na_values=[""], keep_default_na=False, low_memory=False)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Leaves the table as CSV, whole or not at all."""
    write(path, table.to_csv(index=False, lineterminator="\n"))


def field_columns(table: pd.DataFrame) -> list[str]:
    """Returns the columns that hold the run's own fields, of a table of measurements or of estimates."""
    other = (*FIXED, *NUMBER, *STATISTICS)
    return [column for column in table.columns if column not in other and not column.startswith(("at.", "provenance."))]


def at_columns(table: pd.DataFrame) -> list[str]:
    """Returns the columns that hold a number's address."""
    return [column for column in table.columns if column.startswith("at.")]


def _is_text(column: str) -> bool:
    if column.startswith("provenance."):
        return column.removeprefix("provenance.") not in _NUMERIC_PROVENANCE
    last = column.rpartition(".")[2]
    named = column in (*FIXED, "name", "unit", "interval", TUNED_BY) or last.endswith(("name", "sha256"))
    return named or "grid." in column
