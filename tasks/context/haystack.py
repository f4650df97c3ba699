"""Needles in a haystack: pairs of tokens hidden in a context, then a question about them."""

from abc import abstractmethod
from typing import Annotated, TypeVar

import numpy as np
from pydantic import Field
from torch import Tensor

from tasks.draws import distinct, integers
from tasks.task import SyntheticTask

Tokens = TypeVar("Tokens", np.ndarray, Tensor)

QUESTION = 0  # the token between the context and what is asked of it


class Haystack(SyntheticTask):
    """Pairs in slots of two tokens each, over the whole context; a token over, and every empty slot, is filler.

    Needles come in groups, whose members keep their order. `depth` is where the first needle of the group that is
    asked first lies: 0 in the first slot, 1 in the last that leaves the group room; None anywhere. A depth is for
    tests: whoever trains at one can learn the place instead.
    """

    partitioned = True

    length: int
    fillers: Annotated[int, Field(ge=1)]
    depth: Annotated[float, Field(ge=0, le=1)] | None

    @property
    @abstractmethod
    def _question(self) -> int:
        """The number of tokens after the context."""

    @property
    def _context(self) -> int:
        return self.length - self._question

    @property
    def _slots(self) -> int:
        return self._context // 2

    def _require_slots(self, needles: int, fields: str) -> None:
        if self._slots < needles:
            raise ValueError(
                f"length {self.length} has no room for {needles} needles of two tokens and a question of "
                f"{self._question}: raise length to {2 * needles + self._question} or lower {fields}"
            )

    def _placed(self, rng: np.random.Generator, size: int, *, groups: int, members: int) -> np.ndarray:
        """Returns int64 (size, groups, members), the slot of every needle, no two the same, each group in order."""
        if self.depth is None:
            return np.sort(distinct(rng, self._slots, groups * members, size).reshape(size, groups, members), axis=2)
        head = int(self.depth * (self._slots - members) + 0.5)
        rest = head + 1 + np.sort(distinct(rng, self._slots - head - 1, members - 1, size), axis=1)
        first = np.concatenate([np.full((size, 1), head), rest], axis=1)
        others = skipping(distinct(rng, self._slots - members, (groups - 1) * members, size), first)
        others = np.sort(others.reshape(size, groups - 1, members), axis=2)
        return np.concatenate([first[:, None], others], axis=1)

    def _filled(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Returns int64 (size, length) of filler tokens, with the question token in its place."""
        tokens_BT = 1 + integers(rng, self.fillers, (size, self.length))
        tokens_BT[:, self._context] = QUESTION
        return tokens_BT

    def _pairs(self, tokens_BT: Tokens) -> tuple[Tokens, Tokens]:
        """Returns views (size, slots) of what lies first and second in every slot."""
        start = self._context % 2
        return tokens_BT[:, start : self._context : 2], tokens_BT[:, start + 1 : self._context : 2]


def skipping(places: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Returns places (size, ...), counted among those not taken, counted among all. Taken (size, n) are distinct."""
    for place in np.sort(taken, axis=1).T:
        places = places + (places >= place.reshape(-1, *[1] * (places.ndim - 1)))
    return places
