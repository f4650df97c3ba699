"""IsoFLOP profiles of one line: per budget of compute a parabola of the loss in log10 N, and how its vertex moves with compute.

Hoffmann et al. 2022 (arXiv 2203.15556), approach 2. A vertex has an interval by Fieller's theorem, which ends on both sides
where the curvature is told from none. What is made of vertices has one by drawing the parabolas' coefficients from their
joint t distributions (generalised pivots, Weerahandi 1993), which carries the uncertainty of every vertex.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

from workflow.laws.runs import SAME, Number, Runs, unknown

LEAST_SIZES, LEAST_BUDGETS = 4, 3
DRAWS = 10_000
FIELLER, DRAWN = "95 % by Fieller's theorem, t over runs", f"95 % percentiles of {DRAWS} draws of the parabolas"
_LEVEL = 0.05
_ENDS = (0.025, 0.975)


class Profile(NamedTuple):
    """One budget: its compute in FLOP, the best N, the loss there, and the parabola's coefficients.

    L = c0 + c1 x + c2 x^2 with x = log10 N - center. `misfit` is the p value of the F test of the sizes' means against it,
    missing where every size has one run.
    """

    compute: float
    runs: int
    size: Number
    loss: Number
    coefficients: np.ndarray
    center: float
    misfit: float
    draws: np.ndarray  # log10 N and the loss of the vertex, by draw, missing where the vertex is refused

    def parabola(self, size: np.ndarray) -> np.ndarray:
        """Returns the loss at these sizes."""
        return np.polynomial.polynomial.polyval(np.log10(size) - self.center, self.coefficients)


class Optimum(NamedTuple):
    """How the best N grows, and the loss there falls, as powers of compute: N = k C^size, L = k C^loss."""

    profiles: list[Profile]
    size: Number
    loss: Number
    coefficient: float  # log10 k of N


class _Parabola(NamedTuple):
    coefficients: np.ndarray
    covariance: np.ndarray
    freedom: int
    misfit: float


def isoflop(runs: Runs, *, rng: np.random.Generator) -> Optimum:
    """Returns the profile of every budget, least compute first, and the power laws of their vertices."""
    budgets = [runs.where(runs.budget == budget) for budget in np.unique(runs.budget)]
    profiles = [profile(one, rng=rng) for one in budgets]
    told = [one for one in profiles if not one.size.reason]
    if len(told) < LEAST_BUDGETS:
        lacking = unknown(
            f"{len(told)} of {len(profiles)} budgets have a vertex, and a power law needs {LEAST_BUDGETS}"
        )
        return Optimum(profiles, lacking, lacking, np.nan)
    x = np.log10([one.compute for one in told])
    best = np.array([[np.log10(one.size.value), np.log10(one.loss.value)] for one in told])
    drawn = np.stack([one.draws for one in told])
    drawn[..., 1] = np.log10(np.maximum(drawn[..., 1], np.finfo(float).tiny))
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    slopes, others = weights @ best, np.einsum("b,brv->rv", weights, drawn)
    low, high = np.quantile(others, _ENDS, axis=0)
    size, loss = (Number(float(slopes[v]), float(low[v]), float(high[v]), "") for v in (0, 1))
    return Optimum(profiles, size, loss, float(best[:, 0].mean() - slopes[0] * x.mean()))


def profile(runs: Runs, *, rng: np.random.Generator) -> Profile:
    """Returns the parabola of the runs of one budget, and its vertex unless they do not show one."""
    compute, nothing = float(np.exp(np.log(runs.compute).mean())), np.full((DRAWS, 2), np.nan)
    x = np.log10(runs.size)
    center = float(x.mean())
    if reason := _missing(runs):
        return Profile(compute, len(x), unknown(reason), unknown(reason), np.full(3, np.nan), center, np.nan, nothing)
    found = _parabola(x - center, runs.loss)
    place, low, high = vertex(found.coefficients, found.covariance, found.freedom)
    size, loss, draws = unknown(_refused(found, center + place, x)), unknown(""), nothing
    if not size.reason:
        draws = _draws(found, center, rng)
        size = Number(*(10 ** (center + end) for end in (place, low, high)), "")
        least = float(np.polynomial.polynomial.polyval(place, found.coefficients))
        loss = Number(least, *np.quantile(draws[:, 1], _ENDS).tolist(), "")
    return Profile(
        compute, len(x), size, loss._replace(reason=size.reason), found.coefficients, center, found.misfit, draws
    )


def vertex(coefficients: np.ndarray, covariance: np.ndarray, freedom: float) -> tuple[float, float, float]:
    """Returns where c1 + 2 c2 x is zero, and the ends of where it is not told from zero at 5 %; infinite where none ends it."""
    (_, c1, c2), quantile = coefficients, stats.t.ppf(1 - _LEVEL / 2, freedom) ** 2
    square = 4 * (c2**2 - quantile * covariance[2, 2])
    middle = 2 * (c1 * c2 - quantile * covariance[1, 2])
    rest = c1**2 - quantile * covariance[1, 1]
    place = float(-c1 / (2 * c2)) if c2 else np.nan
    if square <= 0:
        return place, -np.inf, np.inf
    half = np.sqrt(max(middle**2 - square * rest, 0.0))
    return place, float((-middle - half) / square), float((-middle + half) / square)


def _missing(runs: Runs) -> str:
    """Returns what keeps a parabola from being fitted, empty where nothing does."""
    sizes, span = len(np.unique(runs.size)), runs.compute.max() / runs.compute.min()
    if sizes < LEAST_SIZES:
        return f"there are {sizes} sizes, and a parabola needs {LEAST_SIZES}"
    return f"computes of one budget differ by a factor of {span:.2f}, above {SAME:g}" if span > SAME else ""


def _refused(found: _Parabola, place: float, x: np.ndarray) -> str:
    """Returns why the parabola shows no best size, empty where it does."""
    c2, error = found.coefficients[2], np.sqrt(found.covariance[2, 2])
    p = float(stats.t.sf(c2 / error, found.freedom)) if error > 0 else float(c2 <= 0)
    if p >= _LEVEL / 2:
        return f"the curvature is not told from none or less (one-sided p = {p:.2g}, not below {_LEVEL / 2:g})"
    if not x.min() <= place <= x.max():
        end, at = ("smallest", x.min()) if place < x.min() else ("largest", x.max())
        return f"the vertex lies beyond the {end} size tried, {10**at:,.0f} parameters"
    return ""


def _parabola(x: np.ndarray, loss: np.ndarray) -> _Parabola:
    powers = np.vander(x, 3, increasing=True)
    inverse = np.linalg.inv(powers.T @ powers)
    coefficients = inverse @ powers.T @ loss
    freedom, squares = len(x) - 3, float(((loss - powers @ coefficients) ** 2).sum())
    sizes = [loss[x == size] for size in np.unique(x)]
    pure, replicated = sum(((part - part.mean()) ** 2).sum() for part in sizes), len(x) - len(sizes)
    lacking = len(sizes) - 3
    misfit = np.nan
    if replicated and lacking:
        misfit = float(stats.f.sf((squares - pure) / lacking / (pure / replicated), lacking, replicated))
    return _Parabola(coefficients, squares / freedom * inverse, freedom, misfit)


def _draws(found: _Parabola, center: float, rng: np.random.Generator) -> np.ndarray:
    """Returns log10 N and the loss of the vertex by draw of the coefficients, from their joint t distribution."""
    normal = rng.multivariate_normal(np.zeros(3), found.covariance, size=DRAWS, method="cholesky")
    scale = np.sqrt(found.freedom / rng.chisquare(found.freedom, size=DRAWS))
    c0, c1, c2 = (found.coefficients + normal * scale[:, None]).T
    return np.stack([center - c1 / (2 * c2), c0 - c1**2 / (4 * c2)], axis=1)
