"""The statistics of few seeds: what is known of a mean, of a share, and of the difference to the best."""

import numpy as np
import pandas as pd
from scipy import optimize, stats


def t_interval(mean: pd.Series, deviation: pd.Series, n: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Returns low and high of the 95 % t interval of a mean; missing where n is 1."""
    half = stats.t.ppf(0.975, (n - 1).where(n > 1)) * deviation / np.sqrt(n)
    return mean - half, mean + half


def binomial_interval(successes: pd.Series, trials: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Returns low and high of the 95 % interval of a share (Clopper and Pearson 1934); missing where `trials` is."""
    failures = trials - successes
    low = stats.beta.ppf(0.025, successes.where(successes > 0), failures + 1)
    high = stats.beta.ppf(0.975, successes + 1, failures.where(failures > 0))
    return (
        pd.Series(low, index=trials.index).where(successes != 0, 0.0),
        pd.Series(high, index=trials.index).where(failures != 0, 1.0),
    )


def tied_with_best(rows: pd.DataFrame, *, lower_is_better: bool) -> pd.Series:
    """Returns which rows (value, deviation, n) cannot be told from the best one, itself included.

    Welch's t test of each against the best, two-sided at 5 % after Holm's correction; all false where an n is below 2.
    """
    tied = pd.Series(False, index=rows.index)
    rows = rows[rows["value"].notna()]
    if rows.empty or (rows["n"] < 2).any():
        return tied
    best = rows["value"].idxmin() if lower_is_better else rows["value"].idxmax()
    p = {index: _welch(rows.loc[index], rows.loc[best]) for index in rows.index if index != best}
    tied[best] = True
    told_apart = True
    for place, index in enumerate(sorted(p, key=lambda index: p[index])):
        told_apart = told_apart and p[index] * (len(p) - place) <= 0.05
        tied[index] = not told_apart
    return tied


def detectable(n: int) -> float:
    """Returns the difference, in deviations between seeds, that a t test of n against n finds in eight of ten cases."""
    freedom, threshold = 2 * n - 2, stats.t.ppf(0.975, 2 * n - 2)

    def missed(difference: float) -> float:
        return float(stats.nct.cdf(threshold, freedom, difference * np.sqrt(n / 2))) - 0.2

    return float(optimize.brentq(missed, 0.1, 20))


def _welch(row: pd.Series, best: pd.Series) -> float:
    """Returns the p value; seeds that all agree are told apart by any difference."""
    if row["deviation"] == 0 and best["deviation"] == 0:
        return float(row["value"] == best["value"])
    of_row, of_best = [(some["value"], some["deviation"], some["n"]) for some in (row, best)]
    return float(stats.ttest_ind_from_stats(*of_row, *of_best, equal_var=False).pvalue)
