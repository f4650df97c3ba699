"""Means over seeds against each other: which cannot be told from the best, and which difference n seeds would find."""

import math

import pandas as pd

from workflow.statistics import means
from workflow.statistics.means import Estimate, Group, combination, holm, p_outside

LEVEL = 0.05


def tied_with_best(rows: pd.DataFrame, *, lower_is_better: bool) -> pd.Series:
    """Returns which rows (value, deviation, n) cannot be told from the best one, itself included.

    Welch's t test of each against the best, two-sided at 5 % after Holm's correction; all false where an n is below 2.
    """
    tied = pd.Series(False, index=rows.index)
    rows = rows[rows["value"].notna()]
    if rows.empty or (rows["n"] < 2).any():
        return tied
    best = rows["value"].idxmin() if lower_is_better else rows["value"].idxmax()
    others = rows.index.drop(best)
    p = holm([_p_different(rows.loc[index], rows.loc[best]) for index in others])
    for index, adjusted in zip(others, p, strict=True):
        tied[index] = adjusted > LEVEL
    tied[best] = True
    return tied


def detectable(n: int) -> float:
    """Returns the difference, in deviations between seeds, that a t test of n against n finds in eight of ten cases."""
    return means.detectable(Estimate(0.0, math.sqrt(2 / n), 2 * n - 2), level=LEVEL)


def _p_different(row: pd.Series, best: pd.Series) -> float:
    """Returns the p value; where all seeds of both agree nothing is tested, and any difference tells them apart."""
    groups = [
        Group(row["value"], row["deviation"], row["n"], 1),
        Group(best["value"], best["deviation"], best["n"], -1),
    ]
    difference = combination(groups)
    if difference.error == 0:
        return float(math.isclose(row["value"], best["value"], rel_tol=1e-12))
    return p_outside(difference, 0.0, 0.0)
