"""The statistics of y = c length^p: the exponent, whether it bends, where it tends, and what is left beyond a floor.

Lengths are in increasing order, values above zero. Errors are taken as relative: all fits are of log y.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy

from workflow.statistics.means import Group, combination, interval

LEAST_LENGTHS, LEAST_SPAN = 6, 32  # what an exponent is told from
MARGIN = 0.1  # around 0, 1 and 2, within which an interval is called constant, linear or quadratic
BEND, LEVEL = 0.2, 0.05  # a law bends if the local exponent moves by more than this, at this level
END = 8  # the factor of length that an end of the range spans

INCONCLUSIVE = "inconclusive"
_NAMES = ("constant", "linear", "quadratic")
_EXPONENTS = (0.05, 4.0)  # searched beyond a floor
_SHARES = np.concatenate([[0.0], np.logspace(-4, 4, 81)])  # of the floor, relative to the rest at the shortest length


class Exponent(NamedTuple):
    """An exponent with its 95 % interval, missing where there is none."""

    value: float
    low: float
    high: float


class Bend(NamedTuple):
    """By how much the local exponent changes from the shortest length to the longest, and its p value."""

    change: float
    p: float

    @property
    def matters(self) -> bool:
        return self.p < LEVEL and abs(self.change) > BEND


class Beyond(NamedTuple):
    """y = floor + c length^exponent. `told_apart`: from a floor of zero, at 5 %, with an interval that ends on both sides."""

    floor: float
    exponent: Exponent
    bend: Bend
    told_apart: bool


def exponent(lengths: np.ndarray, values: np.ndarray) -> Exponent:
    """Returns the slope of log y in log length, with the t interval of least squares."""
    slope, error = _last_coefficient(np.log(lengths), np.log(values), degree=1)
    half = scipy.stats.t.ppf(0.975, len(lengths) - 2) * error if len(lengths) > 2 else np.nan
    return Exponent(slope, slope - half, slope + half)


def between(lengths: np.ndarray, repeats: list[np.ndarray]) -> Exponent:
    """Returns the exponent between two lengths, with Welch's interval over the repeated values at each, two or more.

    The interval is missing where all values at a length are the same, at both.
    """
    width = float(np.log(lengths[1] / lengths[0]))
    logs = [np.log(values) for values in repeats]
    groups = [
        Group(float(of.mean()), float(of.std(ddof=1)), len(of), sign / width)
        for of, sign in zip(logs, (-1, 1), strict=True)
    ]
    found = combination(groups)
    return Exponent(found.value, *(interval(found, level=0.95) if found.error else (np.nan, np.nan)))


def bend(lengths: np.ndarray, values: np.ndarray) -> Bend:
    """Returns what the quadratic term of log y in log length says, by its t test."""
    x = np.log(lengths)
    curvature, error = _last_coefficient(x, np.log(values), degree=2)
    freedom = len(lengths) - 3
    p = 2 * scipy.stats.t.sf(abs(curvature) / error, freedom) if error > 0 else float(curvature == 0)
    return Bend(2 * curvature * (x[-1] - x[0]), float(p))


def ends(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns which lengths are within a factor of 8 of the shortest, and of the longest."""
    return lengths <= END * lengths[0], lengths >= lengths[-1] / END


def verdict(found: Exponent) -> str:
    """Returns what the interval lies within: a name with its margin, or the room between two; else `inconclusive`."""
    for power, name in enumerate(_NAMES):
        if power - MARGIN <= found.low and found.high <= power + MARGIN:
            return name
    for power, (name, following) in enumerate(itertools.pairwise(_NAMES)):
        if power + MARGIN < found.low and found.high < power + 1 - MARGIN:
            return f"between {name} and {following}"
    if found.high < -MARGIN:
        return "falling"
    return "more than quadratic" if found.low > 2 + MARGIN else INCONCLUSIVE


def beyond_floor(lengths: np.ndarray, values: np.ndarray) -> Beyond:
    """Returns the fit with a floor of zero or more; its interval is that of the profile of the residual sum of squares."""
    x, y = np.log(lengths / lengths[0]), np.log(values)
    grid = np.linspace(*_EXPONENTS, 80)
    place = int(np.argmin(_squares(grid[:, None], _SHARES, x, y).min(axis=1)))
    around = (grid[max(place - 1, 0)], grid[min(place + 1, len(grid) - 1)])
    power = float(scipy.optimize.minimize_scalar(lambda p: _residual(p, x, y)[0], bounds=around, method="bounded").x)
    least, share = _residual(power, x, y)
    freedom = len(x) - 3
    limit = least * (1 + scipy.stats.t.ppf(0.975, freedom) ** 2 / freedom)
    low, high = (_edge(lambda p: _residual(p, x, y)[0] - limit, power, to=end) for end in _EXPONENTS)
    scale = np.exp(np.mean(y - np.log(share + np.exp(power * x))))
    helps = _exceeds(_straight_residual(x, y), least, freedom=freedom) < LEVEL
    closed = bool(np.isfinite([low, high]).all())
    return Beyond(scale * share, Exponent(power, low, high), _bend_beyond(x, y, power, share, least), helps and closed)


def _last_coefficient(x: np.ndarray, y: np.ndarray, *, degree: int) -> tuple[float, float]:
    """Returns the highest coefficient of the polynomial of least squares, and its standard error; missing without residual."""
    powers = np.vander(x - x.mean(), degree + 1)
    inverse = np.linalg.inv(powers.T @ powers)
    coefficients = inverse @ powers.T @ y
    freedom = len(x) - degree - 1
    squares = float(((y - powers @ coefficients) ** 2).sum())
    return float(coefficients[0]), float(np.sqrt(squares / freedom * inverse[0, 0])) if freedom > 0 else np.nan


def _straight_residual(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.polynomial.Polynomial.fit(x, y, 1, full=True)[1][0][0])


def _squares(power: float | np.ndarray, shares: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the sums of squares left by floors of these shares, along the last axis, the scale being the best."""
    rest = y - np.log(np.asarray(shares)[..., None] + np.exp(np.asarray(power)[..., None] * x))
    return ((rest - rest.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1)


def _residual(power: float, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Returns the least sum of squares at one exponent, and the floor's share where it is reached."""
    coarse = _squares(power, _SHARES, x, y)
    place = int(np.argmin(coarse))
    if place == 0:
        return float(coarse[0]), 0.0
    around = np.log(_SHARES[[max(place - 1, 1), min(place + 1, len(_SHARES) - 1)]])
    found = scipy.optimize.minimize_scalar(
        lambda share: float(_squares(power, np.exp(share), x, y)),
        bounds=around,
        method="bounded",
        options={"xatol": 1e-8},
    )
    return float(found.fun), float(np.exp(found.x))


def _edge(above: Callable[[float], float], start: float, *, to: float) -> float:
    """Returns where a function that is negative at `start` turns positive on the way to `to`; missing where it does not."""
    inside, step = start, 0.01
    while abs(inside - start) < abs(to - start):
        outside = start + np.sign(to - start) * min(step, abs(to - start))
        if above(outside) > 0:
            return (
                float(scipy.optimize.brentq(above, inside, outside, xtol=1e-6)) if above(inside) < 0 else float(inside)
            )
        inside, step = outside, 1.6 * step
    return np.nan


def _bend_beyond(x: np.ndarray, y: np.ndarray, power: float, share: float, least: float) -> Bend:
    """Returns the bend of what is left beyond the floor: log y = k + log(share + exp(p x + q x^2))."""
    if share == 0:
        return bend(np.exp(x), np.exp(y))

    def rest(parameters: np.ndarray) -> np.ndarray:
        scale, log_share, p, q = parameters
        return y - scale - np.logaddexp(log_share, p * x + q * x**2)

    scale = float(np.mean(y - np.log(share + np.exp(power * x))))
    fit = scipy.optimize.least_squares(rest, [scale, np.log(share), power, 0.0], method="lm")
    p = _exceeds(least, 2 * float(fit.cost), freedom=len(x) - 4)
    return Bend(2 * float(fit.x[3]) * float(x[-1] - x[0]), p)


def _exceeds(simple: float, rich: float, *, freedom: int) -> float:
    """Returns the p value of the F test of one more parameter."""
    gained = max(simple - rich, 0.0)
    return float(scipy.stats.f.sf(gained / (rich / freedom), 1, freedom)) if rich > 0 else float(gained == 0)
