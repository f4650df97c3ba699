"""Estimates of two result sets -> row by row, whether the one says what the other does.

The rows of `matches`: `experiment`, `level`, `of` (which estimate), `unit`; `reference`, `fresh`, `ratio`; `low`, `high` (of the
reference), `n_reference`, `n_fresh`; `p` and `p_holm` (Welch's test, over the scores of an experiment); `detectable`, the
smallest difference that the test finds in eight of ten cases, and `sensitive`, whether that is within the width of the
reference's interval; `outcome` and `reason`.
"""

import math

import pandas as pd

from workflow.confirmations import COUNTS, SCORES
from workflow.statistics.means import Estimate, Group, combination, detectable, holm, p_outside
from workflow.table import at_columns, field_columns

REPRODUCED, NOT_REPRODUCED, NOT_JUDGED = "reproduced", "not reproduced", "not judged"
MISSING, NEW = "missing", "new"
LEVEL = 0.05

_SCORED = (*SCORES, "loss")
_ROUNDING = 1e-9


def matches(reference: pd.DataFrame, fresh: pd.DataFrame) -> list[dict[str, object]]:
    """Returns a row per estimate of either set; ValueError where the columns they share do not tell estimates apart.

    Curves over training steps are left out: they say what the scores at the end say, many times.
    """
    pair = [_without_curves(table) for table in (reference, fresh)]
    keys = _shared(*pair)
    old, new = [_indexed(table, keys) for table in pair]
    rows = [_row(key, old.get(key), new.get(key), keys=keys) for key in [*old, *(key for key in new if key not in old)]]
    tested = [row for row in rows if not math.isnan(row["p"])]
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = p
        row["outcome"] = NOT_REPRODUCED if p < LEVEL else REPRODUCED
        row["reason"] = "told apart by Welch's test" if p < LEVEL else ""
    return rows


def _without_curves(table: pd.DataFrame) -> pd.DataFrame:
    kept = table[table["at.step"].isna()] if "at.step" in table else table
    return kept[~kept["name"].isin(["steps", "solved", "labels"])]  # of when a run stopped, of scores, of data


def _shared(reference: pd.DataFrame, fresh: pd.DataFrame) -> list[str]:
    columns = ["role", "name", *field_columns(reference), *at_columns(reference)]
    return [
        column for column in columns if column in fresh.columns and column not in ("status", "optimizer.learning_rate")
    ]


def _indexed(table: pd.DataFrame, keys: list[str]) -> dict[tuple[str, ...], pd.Series]:
    """Returns the rows by what tells them apart, as text."""
    found: dict[tuple[str, ...], pd.Series] = {}
    names = [tuple(_text(value) for value in values) for values in table[keys].itertuples(index=False)]
    for key, (_, row) in zip(names, table.iterrows(), strict=True):
        if key in found:
            told = ", ".join(value for value in key if value)
            raise ValueError(f"the reference and the fresh set share no columns that tell two estimates apart: {told}")
        found[key] = row
    return found


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _row(key: tuple[str, ...], old: pd.Series | None, new: pd.Series | None, *, keys: list[str]) -> dict[str, object]:
    some = new if old is None else old
    assert some is not None
    row: dict[str, object] = {"level": "R3", "of": _told(key, keys), "unit": some["unit"]}
    row |= {"reference": _value(old), "fresh": _value(new), "ratio": math.nan, "p": math.nan, "p_holm": math.nan}
    row |= {"low": math.nan if old is None else old["low"], "high": math.nan if old is None else old["high"]}
    row |= {"n_reference": 0 if old is None else old["n"], "n_fresh": 0 if new is None else new["n"]}
    row |= {"detectable": math.nan, "sensitive": ""}
    if old is None or new is None:
        outcome = NEW if old is None else MISSING
        return row | {"outcome": outcome, "reason": "not in the reference" if old is None else "not in the fresh set"}
    if row["reference"]:
        row["ratio"] = row["fresh"] / row["reference"]
    if old["status"] != new["status"]:
        return row | {"outcome": NOT_REPRODUCED, "reason": f"status {old['status']} became {new['status']}"}
    return row | _judged(old, new)


def _judged(old: pd.Series, new: pd.Series) -> dict[str, object]:
    """Returns the outcome of a pair: of a count and of a floor by equality, of a score by a test, of a time by none."""
    equal = math.isclose(old["value"], new["value"], rel_tol=_ROUNDING, abs_tol=_ROUNDING)
    if old["name"] in COUNTS or old["role"] == "reference" or pd.isna(old["value"]):
        same = equal or (pd.isna(old["value"]) and pd.isna(new["value"]))
        return {"outcome": REPRODUCED if same else NOT_REPRODUCED, "reason": "" if same else "an exact number changed"}
    if old["name"] not in _SCORED:
        return {"outcome": NOT_JUDGED, "reason": "a machine's number: see the ratio"}
    if min(old["n"], new["n"]) < 2:
        return {"outcome": NOT_JUDGED, "reason": "one seed: nothing is known of the deviation between seeds"}
    return _tested(old, new, equal=equal)


def _tested(old: pd.Series, new: pd.Series, *, equal: bool) -> dict[str, object]:
    """Returns the test of two means, its outcome to be decided with those of all others."""
    groups = [Group(row["value"], row["deviation"], int(row["n"]), weight) for row, weight in ((new, 1), (old, -1))]
    estimate: Estimate = combination(groups)
    if (
        estimate.error == 0
    ):  # every seed of either says the same: no test, but the interval over labels where there is one
        inside = equal or old["low"] <= new["value"] <= old["high"]
        reason = "all seeds of both agree" + ("" if inside else ", on different values")
        return {"outcome": REPRODUCED if inside else NOT_REPRODUCED, "reason": reason}
    least, width = detectable(estimate), old["high"] - old["low"]
    sensitive = "" if math.isnan(width) else "yes" if least <= width else "no"
    return {
        "p": p_outside(estimate, 0.0, 0.0),
        "detectable": least,
        "sensitive": sensitive,
        "outcome": "",
        "reason": "",
    }


def _value(row: pd.Series | None) -> float:
    return math.nan if row is None else float(row["value"])


def _told(key: tuple[str, ...], keys: list[str]) -> str:
    """Returns which estimate it is: its name, its address, and every field that has a value."""
    said = dict(zip(keys, key, strict=True))
    first = [
        said["name"],
        *(f"{name.removeprefix('at.')}={said[name]}" for name in keys if name in _at(keys) and said[name]),
    ]
    rest = [
        f"{name}={value}"
        for name, value in said.items()
        if value and name not in ("name", "role") and name not in _at(keys)
    ]
    return " ".join([*first, f"({said['role']})", *rest])


def _at(keys: list[str]) -> list[str]:
    return [name for name in keys if name.startswith("at.")]
