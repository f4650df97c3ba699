"""The statistics of two lines: which is lower at either end, where that changes, and how sure it is.

A line is a row of values, one per length; resampled, it is many such rows. Between lengths, lines are straight in log-log.
"""

import itertools
from typing import NamedTuple

import numpy as np

RESAMPLES = 2000
SURE = 0.95  # the share of resamples that have to agree
_END = 2  # lengths at either end, of four or more: one alone may be off


class Order(NamedTuple):
    """Which of two lines is lower at the short and at the long end: -1 the first, 1 the second, 0 neither.

    `share`: of the resamples that say the same. `crossing` with its 95 % interval of the percentiles of those that do, where
    the ends differ; missing elsewhere.
    """

    short: int
    long: int
    share: float
    crossing: float
    low: float
    high: float

    @property
    def sure(self) -> bool:
        return self.share >= SURE


def resampled(samples: list[tuple[np.ndarray, np.ndarray]], *, key: int, seeds: list[int]) -> np.ndarray:
    """Returns the medians of resampled times, by resample and length; each length has rounds and seconds of its samples.

    Rounds are drawn with replacement and then samples within them, since samples of one process are alike. What is drawn
    depends on `key`, the line's, and the round on `seeds`, the lengths', alone: lines measured in turn share their rounds.
    """
    medians = [_medians(*sample, key=key, seed=seed) for sample, seed in zip(samples, seeds, strict=True)]
    return np.column_stack(medians)


def _medians(rounds: np.ndarray, seconds: np.ndarray, *, key: int, seed: int) -> np.ndarray:
    members = [seconds[rounds == name] for name in np.unique(rounds)]
    sizes = np.array([len(member) for member in members])
    padded = np.full((len(members), sizes.max()), np.nan)
    for place, member in enumerate(members):
        padded[place, : len(member)] = member
    chosen = np.random.default_rng([seed]).integers(len(members), size=(RESAMPLES, len(members)))
    drawn = np.random.default_rng([seed, key]).random((RESAMPLES, len(members), sizes.max()))
    places = (drawn * sizes[chosen][..., None]).astype(int)
    picked = padded[chosen[..., None], places]
    beyond = np.arange(sizes.max()) >= sizes[chosen][..., None]  # a short round gives as many as it has
    return np.nanmedian(np.where(beyond, np.nan, picked).reshape(RESAMPLES, -1), axis=1)


def crossings(lengths: np.ndarray, first: np.ndarray, second: np.ndarray) -> list[tuple[float, bool]]:
    """Returns every length at which the order of two lines changes, and whether the first is the lower one before it.

    A tie is no change of order; where order changes over a tie, the crossing is at the last length that ties.
    """
    x, apart = np.log(lengths), np.log(first) - np.log(second)
    (places,) = np.nonzero(apart)
    found = []
    for before, after in itertools.pairwise(places):
        if apart[before] * apart[after] < 0:
            share = apart[after - 1] / (apart[after - 1] - apart[after])
            found.append((float(np.exp(x[after - 1] + share * (x[after] - x[after - 1]))), bool(apart[before] < 0)))
    return found


def order(
    lengths: np.ndarray, first: np.ndarray, second: np.ndarray, *, resamples: tuple[np.ndarray, np.ndarray]
) -> Order:
    """Returns the order of two lines, and how sure it is by resamples of both.

    An end is the mean of the log ratio over two lengths (one, of fewer than four). Where the ends differ, order is taken to
    change once, where that contradicts the least: of lines that meet slowly, noise makes many that cross.
    """
    measured, again = (np.log(first) - np.log(second))[None], np.log(resamples[0]) - np.log(resamples[1])
    ((short, long),) = _ends(measured)
    alike = (_ends(again) == (short, long)).all(axis=1)
    crossing, low, high = np.nan, np.nan, np.nan
    if short * long < 0:
        crossing = float(_changes(lengths, measured)[0])
        if alike.any():
            low, high = (float(end) for end in np.quantile(_changes(lengths, again[alike]), [0.025, 0.975]))
    return Order(int(short), int(long), float(alike.mean()), crossing, low, high)


def _ends(apart: np.ndarray) -> np.ndarray:
    """Returns, by row, the signs of both ends."""
    among = min(_END, apart.shape[1] // 2)
    return np.sign(np.column_stack([apart[:, :among].mean(axis=1), apart[:, -among:].mean(axis=1)]))


def _changes(lengths: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """Returns, by row, the crossing of rows whose ends differ: between the lengths that part it best."""
    x, rows = np.log(lengths), np.arange(len(apart))
    after_less_before = apart.sum(axis=1, keepdims=True) - 2 * np.cumsum(apart, axis=1)[:, :-1]
    gap = (_ends(apart)[:, 1:] * after_less_before).argmax(axis=1)
    before, after = apart[rows, gap], apart[rows, gap + 1]
    share = np.divide(before, before - after, out=np.ones(len(rows)), where=before != after)
    return np.exp(x[gap] + share * (x[gap + 1] - x[gap]))
