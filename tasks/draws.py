"""Random draws that are the same on every machine and in every release of numpy.

NEP 19 guarantees the raw draws of a bit generator only: `integers`, `permutation` and `choice` may change in any numpy
release, and every batch with them. So tasks draw by `Generator.random` alone, the 53 leading bits of each raw draw.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

Split = Literal["train", "validation", "test"]
_STREAM: dict[Split, int] = {"train": 0, "validation": 1, "test": 2}


def stream(split: Split, index: int) -> np.random.Generator:
    """Returns the generator at an address; PCG64 by name, because what `default_rng` stands for may change."""
    return np.random.Generator(np.random.PCG64([_STREAM[split], index]))


def integers(rng: np.random.Generator, bound: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    """Returns int64 of `shape`, uniform in [0, bound)."""
    return (rng.random(shape) * bound).astype(np.int64)


def permutations(rng: np.random.Generator, length: int, size: int) -> np.ndarray:
    """Returns int64 (size, length): in each row 0 to length - 1 in an order of its own."""
    return rng.random((size, length)).argsort(axis=1, kind="stable")


def distinct(rng: np.random.Generator, bound: int, count: int, size: int) -> np.ndarray:
    """Returns int64 (size, count), in each row distinct integers of [0, bound), by Fisher-Yates on all rows at once."""
    pool = np.repeat(np.arange(bound)[:, None], size, axis=1)
    first = np.arange(count)[:, None]
    picks = first + integers(rng, bound - first, (count, size))
    rows = np.arange(size)
    for place, pick in enumerate(picks):
        chosen = pool[pick, rows]
        pool[pick, rows] = pool[place]
        pool[place] = chosen
    return pool[:count].T
