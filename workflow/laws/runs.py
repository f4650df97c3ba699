"""The runs that a law is fitted to, as numbers."""

from typing import NamedTuple, Self

import numpy as np

SAME = 1.1  # the factor within which computes are one budget


class Runs(NamedTuple):
    """By run, float64: parameters N without the embedding, tokens D, compute C in FLOP, loss L in bits per byte."""

    size: np.ndarray
    tokens: np.ndarray
    compute: np.ndarray
    loss: np.ndarray

    def where(self, chosen: np.ndarray) -> Self:
        return type(self)(*(part[chosen] for part in self))

    @property
    def cell(self) -> np.ndarray:
        """The number of each run's N and D, the same for runs that differ in the seed only."""
        return np.unique(np.stack([self.size, self.tokens]), axis=1, return_inverse=True)[1].reshape(-1)

    @property
    def budget(self) -> np.ndarray:
        """The number of each run's budget, counted from the least compute: where it grows by more than `SAME`, one begins."""
        order = np.argsort(self.compute, kind="stable")
        grown = np.diff(np.log(self.compute[order])) > np.log(SAME)
        budget = np.empty(len(order), dtype=np.int64)
        budget[order] = np.concatenate([[0], np.cumsum(grown)])[: len(order)]
        return budget

    @property
    def spread(self) -> float:
        """The standard deviation of log L between seeds, pooled over the cells; missing where no cell has two."""
        cells = [np.log(self.loss[self.cell == cell]) for cell in np.unique(self.cell)]
        freedom = len(self.loss) - len(cells)
        return float(np.sqrt(sum(((part - part.mean()) ** 2).sum() for part in cells) / freedom)) if freedom else np.nan


class Number(NamedTuple):
    """A number with its 95 % interval, missing where `reason` says why the runs do not identify it."""

    value: float
    low: float
    high: float
    reason: str


def unknown(reason: str) -> Number:
    return Number(np.nan, np.nan, np.nan, reason)
