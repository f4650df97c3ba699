"""L(N, D) = E + A / N^alpha + B / D^beta of one line: the best fit of many starts, intervals over resampled runs, a hold-out.

Hoffmann et al. 2022 (arXiv 2203.15556), approach 3, with what Besiroglu et al. 2024 (arXiv 2404.10102) found to matter. The
best N for a compute grows with it to the power a = beta / (alpha + beta). A number is identified if the runs tell it apart
from the others at all, and if its interval ends on both sides within what was searched.
"""

import itertools
from typing import NamedTuple

import numpy as np

from workflow.laws import huber
from workflow.laws.runs import Number, Runs, unknown

RESAMPLES = 1000
BASIN = 1e-6  # relative to the least loss, within which a start has found it
LEAST_VALUES, LEAST_CELLS = 3, 8  # of N and of D; of pairs (N, D), three more than there are parameters
RESAMPLED = f"95 % percentiles of {RESAMPLES} resamples of the runs"

NAMES = ("E", "A", "B", "alpha", "beta", "a")
_MADE_OF = dict(zip(NAMES, ((0,), (1, 3), (2, 4), (1, 3), (2, 4), (1, 2, 3, 4)), strict=True))
_SEARCHED = ("E", "A / N^alpha", "B / D^beta", "alpha", "beta")
_MARGIN = 1e-3  # within which a parameter is at an edge of what is searched
_APART = 1e-2  # parameters that differ by more are not the same
_ENDS = (0.025, 0.975)
_BASINS = 4  # of the best, at most, from which every resample is fitted anew


class Fit(NamedTuple):
    """The best of so many `starts`; `share` of them reached it, and `gradient` is the summed loss's largest there.

    `parameters_P` are those of `workflow.laws.huber`, about `center`: the means of log N and log D and the median of log L.
    `basins_KP` are those of the few best minima that starts have led to, itself the first. `same_P` says of which parameters
    the starts that reached the best loss agree.
    """

    parameters_P: np.ndarray
    basins_KP: np.ndarray
    same_P: np.ndarray
    center: tuple[float, float, float]
    starts: int
    share: float
    gradient: float

    def log_loss(self, runs: Runs, parameters_RP: np.ndarray) -> np.ndarray:
        """Returns log L of these runs by each row of parameters about this fit's center."""
        n, d, median = self.center
        return median + huber.predicted(parameters_RP, np.log(runs.size) - n, np.log(runs.tokens) - d)[0]

    def loss(self, runs: Runs) -> np.ndarray:
        """Returns L of these runs, whatever they scored."""
        return np.exp(self.log_loss(runs, self.parameters_P[None])[0])


class Law(NamedTuple):
    """`numbers` are E, A, B, alpha, beta and a; `holdout` the mean relative error at the largest compute of a fit to the rest.

    `residual` is the root mean square of log L about the law. `fit` is missing where the runs are too few.
    """

    numbers: dict[str, Number]
    holdout: Number
    residual: float
    fit: Fit | None


def parametric(runs: Runs, *, rng: np.random.Generator) -> Law:
    """Returns the law of the runs of one line."""
    if reason := _missing(runs):
        return Law(dict.fromkeys(NAMES, unknown(reason)), unknown(reason), np.nan, None)
    found = fitted(runs)
    residual = np.sqrt(np.mean(np.log(found.loss(runs) / runs.loss) ** 2))
    return Law(numbers_of(found, runs, rng=rng), held_out(runs, rng=rng), float(residual), found)


def fitted(runs: Runs) -> Fit:
    """Returns the best fit of all starts."""
    starts, (logs, center) = starting_points(), _centred(runs)
    ends = huber.minimised(starts, np.ones((len(starts), len(runs.loss))), logs)
    order = np.argsort(ends.loss_R, kind="stable")
    losses = ends.loss_R[order]
    first = np.flatnonzero(np.diff(losses, prepend=0.0) > BASIN * losses)[:_BASINS]  # each of a basin of its own
    basins = ends.parameters_RP[order[first]]
    reached = ends.parameters_RP[order[losses <= losses[0] * (1 + BASIN)]]
    same, share = np.ptp(reached, axis=0) <= _APART, len(reached) / len(starts)
    return Fit(basins[0], basins, same, center, len(starts), share, float(ends.gradient_R[order[0]]))


def starting_points() -> np.ndarray:
    """Returns the grid of starts: the shares of E, A and B in the loss at the center, and both exponents."""
    floors, terms, exponents = np.log([0.3, 0.7, 0.95]), np.log([0.03, 0.3]), (0.2, 0.5, 1.0)
    return np.array(list(itertools.product(floors, terms, terms, exponents, exponents)))


def numbers_of(found: Fit, runs: Runs, *, rng: np.random.Generator) -> dict[str, Number]:
    """Returns E, A, B, alpha, beta and a, with intervals over resamples of the runs that were fitted."""
    resampled = _refitted(found, runs, resamples(len(runs.loss), rng))
    return {name: _number(name, found, resampled) for name in NAMES}


def held_out(runs: Runs, *, rng: np.random.Generator) -> Number:
    """Returns the mean of predicted over measured loss, less one, at the largest compute, by a law fitted to the rest."""
    last = runs.budget == runs.budget.max()
    rest, held = runs.where(~last), runs.where(last)
    if reason := _missing(rest):
        return unknown(f"without the largest compute, {reason}")
    found = fitted(rest)
    fits = _refitted(found, rest, resamples(len(rest.loss), rng))
    errors = np.expm1(found.log_loss(held, np.vstack([found.parameters_P, fits])) - np.log(held.loss))
    weights = np.vstack([np.ones(len(held.loss)), resamples(len(held.loss), rng)])
    value, *others = (errors * weights).sum(axis=1) / weights.sum(axis=1)
    low, high = np.quantile(others, _ENDS)
    return Number(float(value), float(low), float(high), "")


def resamples(count: int, rng: np.random.Generator) -> np.ndarray:
    """Returns how often each of `count` runs is drawn, by resample."""
    return rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype("float64")


def _missing(runs: Runs) -> str:
    """Returns what keeps a law from being fitted, empty where nothing does."""
    for values, what in ((runs.size, "sizes"), (runs.tokens, "numbers of tokens")):
        if (count := len(np.unique(values))) < LEAST_VALUES:
            return f"there are {count} {what}, and a law needs {LEAST_VALUES}"
    cells = len(np.unique(runs.cell))
    return f"there are {cells} pairs of N and D, and a law needs {LEAST_CELLS}" if cells < LEAST_CELLS else ""


def _centred(runs: Runs) -> tuple[huber.Logs, tuple[float, float, float]]:
    n, d, loss = np.log(runs.size), np.log(runs.tokens), np.log(runs.loss)
    center = float(n.mean()), float(d.mean()), float(np.median(loss))
    return huber.Logs(n - center[0], d - center[1], loss - center[2]), center


def _refitted(found: Fit, runs: Runs, weights_RN: np.ndarray) -> np.ndarray:
    """Returns the parameters of every resample: the best that the basins of the fit to all lead to."""
    logs = _centred(runs)[0]
    ends = [huber.minimised(np.tile(basin, (len(weights_RN), 1)), weights_RN, logs) for basin in found.basins_KP]
    best = np.argmin([end.loss_R for end in ends], axis=0)
    return np.stack([end.parameters_RP for end in ends])[best, np.arange(len(best))]


def _number(name: str, found: Fit, resampled: np.ndarray) -> Number:
    parts = list(_MADE_OF[name])
    if not found.same_P[parts].all():
        told = ", ".join(_SEARCHED[part] for part in np.flatnonzero(~found.same_P))
        return unknown(f"fits that are as good differ in {told}")
    (low, high), ends = huber.bounds(), np.quantile(resampled, _ENDS, axis=0)
    reached = np.vstack([found.parameters_P, ends])
    below = (reached <= low + _MARGIN).any(axis=0)
    above = (reached >= high - _MARGIN).any(axis=0)
    reasons = [_edge(part, below=below[part], above=above[part]) for part in parts if below[part] or above[part]]
    if reasons:
        return unknown("; ".join(reasons))
    value, values = (_natural(name, rows, found.center) for rows in (found.parameters_P[None], resampled))
    first, last = np.quantile(values, _ENDS)
    return Number(float(value[0]), float(first), float(last), "")


def _edge(part: int, *, below: bool, above: bool) -> str:
    """Returns what it means that the fit, or an end of its interval, lies at an edge of what is searched."""
    if part < 3:
        return f"{_SEARCHED[part]} is not told from {'nothing' if below else 'the whole of the loss'}"
    sides = " and ".join(side for side, reached in (("below", below), ("above", above)) if reached)
    return f"the interval of {_SEARCHED[part]} has no end {sides}"


def _natural(name: str, parameters_RP: np.ndarray, center: tuple[float, float, float]) -> np.ndarray:
    """Returns a number of the law, in the units of the loss, by row."""
    e, a, b, alpha, beta = parameters_RP.T
    n, d, median = center
    return {
        "E": np.exp(e + median),
        "A": np.exp(a + alpha * n + median),
        "B": np.exp(b + beta * d + median),
        "alpha": alpha,
        "beta": beta,
        "a": beta / (alpha + beta),
    }[name]
