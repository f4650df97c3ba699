"""Measurements -> what a reference set keeps of them, to know its runs again: early losses and test scores, by run.

Columns: `run`, `role`, `name`, `at` (the number's address), `value`, and `platform`, what decides the bits: results of one run on
one platform are the same.
"""

import pandas as pd

from workflow.confirmations import SCORES
from workflow.table import at_columns
from workflow.verification.limits import EARLY_STEPS, PLATFORM

NAME = "golden.csv"
EARLY, SCORED = "early loss", "score"

_ROLES = ("confirm", "reference")


def golden(measurements: pd.DataFrame) -> pd.DataFrame:
    """Returns a row per number that is kept, the kind of it in `of`; none of runs that were only timed."""
    rows = measurements[measurements["role"].isin(_ROLES) & measurements["name"].notna()]
    at = at_columns(rows)
    step = rows["at.step"] if "at.step" in at else pd.Series(float("nan"), index=rows.index)
    early = (rows["name"] == "loss") & (step <= EARLY_STEPS)
    scored = rows["name"].isin(SCORES) & step.isna()
    kept = rows[early | scored]
    told = pd.DataFrame(
        {
            "run": kept["run"],
            "role": kept["role"],
            "of": early[kept.index].map({True: EARLY, False: SCORED}),
            "name": kept["name"],
            "at": _addresses(kept, columns=at),
            "value": kept["value"],
            "platform": _platforms(kept),
        }
    )
    return told.sort_values(["run", "of", "name", "at"], kind="stable", ignore_index=True)


def _addresses(rows: pd.DataFrame, *, columns: list[str]) -> list[str]:
    return [
        " ".join(
            f"{name.removeprefix('at.')}={value:g}"
            if isinstance(value, float)
            else f"{name.removeprefix('at.')}={value}"
            for name, value in zip(columns, values, strict=True)
            if pd.notna(value)
        )
        for values in rows[columns].itertuples(index=False)
    ]


def _platforms(rows: pd.DataFrame) -> pd.Series:
    """Returns what must be equal for bits to be equal; those that were trained as one program are equal to rounding only."""
    told = pd.Series("", index=rows.index)
    for name in PLATFORM:
        told += name + " " + rows[f"provenance.{name}"].fillna("none").astype("str") + "; "
    return told + (rows["provenance.company"].astype("str") == "1").map({True: "alone", False: "as one program"})
