"""Which rows of a tidy table a claim is about."""

from typing import Any

import pandas as pd

from workflow.claims.evidence import Missing
from workflow.points import key, own_length
from workflow.table import at_columns

EXTREMES = ("least", "most")


def selected(rows: pd.DataFrame, where: dict[str, Any]) -> pd.DataFrame:
    """Returns the rows with these values; `least` and `most` are of the numbers left by all others, and of one task at a time.

    A list is an order of preference: the first of its values that is there. `Missing` where no row is left.
    """
    plain = {column: value for column, value in where.items() if value not in EXTREMES}
    for column, value in [*plain.items(), *(item for item in where.items() if item[0] not in plain)]:
        if column not in rows.columns:
            raise Missing(f"no run has {column}")
        found = _extreme(rows, column, value) if column not in plain else _equal(rows, column, value)
        if found.empty:
            raise Missing(f"nothing was measured where {column} is {_said(value)}")
        rows = found
    return rows


def _equal(rows: pd.DataFrame, column: str, value: Any) -> pd.DataFrame:
    wanted = value if isinstance(value, list) else [value]
    for each in wanted:
        if isinstance(each, bool) or not isinstance(each, int | float):
            found = rows[rows[column].astype("str") == str(each)]
        else:
            found = rows[pd.to_numeric(rows[column], errors="coerce") == each]
        if len(found):
            return found
    return rows.iloc[:0]


def _extreme(rows: pd.DataFrame, column: str, which: str) -> pd.DataFrame:
    numbers = pd.to_numeric(rows[column], errors="coerce")
    tasks = [name for name in rows.columns if name.startswith("task.")]
    reach = "min" if which == "least" else "max"
    if column.startswith("at.") and tasks:
        return rows[numbers == numbers.groupby(key(rows, tasks)).transform(reach)]
    return rows[numbers == getattr(numbers, reach)()]


def addressed(rows: pd.DataFrame, named: set[str]) -> pd.DataFrame:
    """Returns the rows at the one address meant: on the test split, at the length trained on, but for what is named."""
    for column in at_columns(rows):
        if column in named:
            continue
        if column == "at.split" and (rows[column] == "test").any():
            rows = rows[rows[column] == "test"]
        elif column == "at.length" and rows[column].notna().all():
            rows = rows[rows[column] == own_length(rows)]
        else:
            rows = rows[rows[column].isna()]
    return rows


def _said(value: Any) -> str:
    return " or ".join(str(each) for each in value) if isinstance(value, list) else str(value)
