"""What is known of a sum of means over few seeds: its interval, its tests, and what they could have found.

Seeds are independent within and between groups, their values near a normal distribution: with three seeds that cannot be
checked, and where some seeds solve a task and others fail it is wrong (see `workflow.statistics.shares`). The freedom is
itself estimated: an interval covers least where one deviation is many times the others, 93 % of 95 at three seeds.
"""

import bisect
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special

MOST_SEEDS = 10_000
_ROUNDING = 1e-12  # deviations below this share of the values are rounding, as where equal seeds are averaged


class Group(NamedTuple):
    """A mean over seeds, and its weight in a sum; an exact number has deviation 0 and n 0."""

    mean: float
    deviation: float  # between seeds, with n - 1 below
    n: int
    weight: float


class Estimate(NamedTuple):
    """A sum of means, its standard error and that error's degrees of freedom, which are infinite where it is known."""

    value: float
    error: float
    freedom: float


def combination(groups: Sequence[Group]) -> Estimate:
    """Returns the sum of weight times mean, freedom by Welch and Satterthwaite (1946); ValueError where an n is 1.

    Seeds that all agree, to rounding, in every group leave an error of 0 with finite freedom, which is not tested.
    """
    if any(group.n == 1 for group in groups):
        raise ValueError("one seed: nothing is known of the deviation between seeds")
    value = math.fsum(group.weight * group.mean for group in groups)
    scale = math.fsum(abs(group.weight * group.mean) for group in groups)
    seeded = [group for group in groups if group.n]
    if not seeded:
        return Estimate(value, 0.0, math.inf)
    variances = [(group.weight * group.deviation) ** 2 / group.n for group in seeded]
    variance = math.fsum(variances)
    if math.sqrt(variance) <= _ROUNDING * scale:
        return Estimate(value, 0.0, float(min(group.n for group in seeded) - 1))
    shares = [(part / variance) ** 2 / (group.n - 1) for part, group in zip(variances, seeded, strict=True)]
    return Estimate(value, math.sqrt(variance), 1 / math.fsum(shares))


def interval(estimate: Estimate, *, level: float) -> tuple[float, float]:
    """Returns low and high; both the value where it is exact. ValueError where all seeds agree."""
    if _exact(estimate):
        return estimate.value, estimate.value
    half = _exceeded((1 - level) / 2, estimate.freedom) * estimate.error
    return estimate.value - half, estimate.value + half


def p_above(estimate: Estimate, bound: float) -> float:
    """Returns the one-sided p of "the mean is `bound` or less". ValueError where all seeds agree."""
    if _exact(estimate):
        return 0.0 if estimate.value > bound else 1.0
    return float(special.stdtr(estimate.freedom, (bound - estimate.value) / estimate.error))


def p_below(estimate: Estimate, bound: float) -> float:
    """Returns the one-sided p of "the mean is `bound` or more". ValueError where all seeds agree."""
    return p_above(estimate._replace(value=-estimate.value), -bound)


def p_within(estimate: Estimate, low: float, high: float) -> float:
    """Returns the p of "the mean is not between": the larger of two one-sided ones (Schuirmann 1987).

    At most .05 where the 90 % interval lies between. An exact number may be `low` or `high`. ValueError where all seeds agree.
    """
    if _exact(estimate):
        return 0.0 if low <= estimate.value <= high else 1.0
    return max(p_above(estimate, low), p_below(estimate, high))


def p_outside(estimate: Estimate, low: float, high: float) -> float:
    """Returns the two-sided p of "the mean lies from `low` to `high`"; that of a t test where they are the same.

    At most .05 where the 95 % interval lies outside. ValueError where all seeds agree.
    """
    if _exact(estimate):
        return 0.0 if estimate.value < low or estimate.value > high else 1.0
    return min(2 * min(p_above(estimate, high), p_below(estimate, low)), 1.0)


def holm(p: Sequence[float]) -> list[float]:
    """Returns the p values of a family, adjusted (Holm 1979), in the order given; a missing one stays and does not count."""
    adjusted, largest = [math.nan] * len(p), 0.0
    tested = sorted((index for index in range(len(p)) if not math.isnan(p[index])), key=lambda index: p[index])
    for place, index in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - place) * p[index]))
        adjusted[index] = largest
    return adjusted


def detectable(estimate: Estimate, *, level: float = 0.05, power: float = 0.8) -> float:
    """Returns the smallest difference from a bound that a two-sided test at `level` finds with `power`.

    As far as the estimated error is the true one; 0 of an exact number. ValueError where all seeds agree.
    """
    if _exact(estimate):
        return 0.0
    threshold = _exceeded(level / 2, estimate.freedom)
    if math.isinf(estimate.freedom):
        return (threshold + float(special.ndtri(power))) * estimate.error
    return float(special.nctdtrinc(estimate.freedom, 1 - power, threshold)) * estimate.error


def seeds_needed(
    estimate: Estimate, *, difference: float, n: int, level: float = 0.05, power: float = 0.8
) -> int | None:
    """Returns how many seeds in place of every `n` make `difference` detectable; None beyond 10,000.

    As far as the estimated error is the true one. ValueError where all seeds agree.
    """

    def found(seeds: int) -> bool:
        error = estimate.error * math.sqrt(n / seeds)
        freedom = estimate.freedom * (seeds - 1) / (n - 1)
        return detectable(Estimate(0.0, error, freedom), level=level, power=power) <= abs(difference)

    seeds = bisect.bisect_left(range(MOST_SEEDS + 1), True, lo=2, key=found)
    return seeds if seeds <= MOST_SEEDS else None


def t_interval(mean: pd.Series, deviation: pd.Series, n: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Returns low and high of the 95 % t interval of a mean; missing where n is 1."""
    half = special.stdtrit((n - 1).where(n > 1), 0.975) * deviation / np.sqrt(n)
    return mean - half, mean + half


def _exceeded(share: float, freedom: float) -> float:
    """Returns what a t of that freedom exceeds so often."""
    return -float(
        special.stdtrit(freedom, share)
    )  # thirty times as fast as scipy.stats, for whole suites are simulated


def _exact(estimate: Estimate) -> bool:
    """Returns whether the value is known without error; ValueError where all seeds agree."""
    if estimate.error == 0 and math.isfinite(estimate.freedom):
        raise ValueError("all seeds agree: their deviation, which a test divides by, is not known")
    return estimate.error == 0
