"""Strings answered by their own symbols in another order: repetition, reverse, odds first, bucket sort."""

from abc import abstractmethod
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from tasks.draws import integers
from tasks.languages.language import Language, most_common
from tasks.task import IGNORE, Batch, Predictor


class StringTask(Language):
    """A string of uniform symbols, 1 to `symbols`, then its answers: of `deletang` all at blanks, of `cdes` from ACT on.

    ACT is token symbols + 1. The xLSTM paper's own generators are not public.
    """

    shortest = 2

    symbols: Annotated[int, Field(ge=2)]
    source: Literal["deletang", "cdes"]

    @property
    def vocabulary_size(self) -> int:
        return self.symbols + (2 if self.source == "cdes" else 1)

    @property
    def _rounds(self) -> int:
        """How many answers there are for every symbol."""
        return 1

    def _examples(self, rng: np.random.Generator, length_B1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        symbols_BT = 1 + integers(rng, self.symbols, (len(length_B1), self.maximum_length))
        size_B1 = length_B1 // (1 + self._rounds)
        position_T = np.arange(self.maximum_length)
        mark = self.symbols + 1 if self.source == "cdes" else self.padding
        rest_BT = np.where(position_T == size_B1, mark, self.padding)
        tokens_BT = np.where(position_T < size_B1, symbols_BT, rest_BT)
        return tokens_BT, self._answers(tokens_BT)

    def _answers(self, tokens_BT: np.ndarray) -> np.ndarray:
        size_B1 = self._is_symbol(tokens_BT).sum(1, keepdims=True)
        slot_BT = np.arange(tokens_BT.shape[1]) - size_B1
        asked_BT = (slot_BT >= 0) & (slot_BT < self._rounds * size_B1)
        place_BT = np.where(asked_BT, self._place(slot_BT, size_B1), 0)
        return np.where(asked_BT, np.take_along_axis(self._ordered(tokens_BT), place_BT, axis=1), IGNORE)

    def _is_symbol(self, tokens_BT: np.ndarray) -> np.ndarray:
        return (tokens_BT > 0) & (tokens_BT <= self.symbols)

    def _ordered(self, tokens_BT: np.ndarray) -> np.ndarray:
        """Returns the tokens in the order in which `_place` counts."""
        return tokens_BT

    @abstractmethod
    def _place(self, slot_BT: np.ndarray, size_B1: np.ndarray) -> np.ndarray:
        """Returns the place of the symbol that answers a slot, in a string of each size."""

    def _shortcuts(self, sample: Batch) -> dict[str, Predictor]:
        """`most_common` knows only which symbol the string has most often, `copy` takes no notice of the order asked."""

        def copy(tokens_BT: Tensor) -> Tensor:
            size_B1 = ((tokens_BT > 0) & (tokens_BT <= self.symbols)).sum(1, keepdim=True)
            return tokens_BT.gather(1, (torch.arange(tokens_BT.shape[1]) - size_B1).clamp(min=0))

        return {"most_common": lambda tokens_BT: most_common(tokens_BT, self.symbols), "copy": copy}


class Reverse(StringTask):
    """The string from its end to its beginning.

        symbols 3, a string of 4 symbols: blank 0, ACT 4

        tokens, deletang      3 1 1 2 0 0 0 0
        targets, deletang     . . . . 2 1 1 3
        tokens, cdes          3 1 1 2 4 0 0 0
        targets, cdes         . . . . 2 1 1 3

    A length is twice the string's. Delétang's `reverse_string`, whose symbols are bits.
    """

    name: Literal["reverse"]

    def _place(self, slot_BT: np.ndarray, size_B1: np.ndarray) -> np.ndarray:
        return size_B1 - 1 - slot_BT


class Repetition(StringTask):
    """The string again.

        symbols 3, a string of 3 symbols: blank 0, ACT 4

        tokens, deletang      3 1 2 0 0 0 0 0 0
        targets, deletang     . . . 3 1 2 3 1 2
        tokens, cdes          3 1 2 4 0 0
        targets, cdes         . . . 3 1 2

    Delétang's `duplicate_string` has it said twice, so that a length is three times the string's; the `duplicate_string`
    of `cdes` writes it twice too and scores it once, from ACT on, so that a length is twice the string's.
    """

    shortest = 3

    name: Literal["repetition"]

    @property
    def _rounds(self) -> int:
        return 2 if self.source == "deletang" else 1

    def _place(self, slot_BT: np.ndarray, size_B1: np.ndarray) -> np.ndarray:
        return slot_BT % size_B1

    def _shortcuts(self, sample: Batch) -> dict[str, Predictor]:
        return {"most_common": super()._shortcuts(sample)["most_common"]}


class OddsFirst(StringTask):
    """The symbols of odd places, counted from 1, and those of even places.

        symbols 3, a string of 5 symbols: blank 0, ACT 4

        tokens, deletang      3 1 1 2 2 0 0 0 0 0
        targets, deletang     . . . . . 1 2 3 1 2
        tokens, cdes          3 1 1 2 2 4 0 0 0 0
        targets, cdes         . . . . . 3 1 2 1 2

    A length is twice the string's. `cdes` says the odd places first, Delétang's `odds_first` the even ones, contrary to
    its own docstring and to its name; here as in its code.
    """

    name: Literal["odds-first"]

    def _place(self, slot_BT: np.ndarray, size_B1: np.ndarray) -> np.ndarray:
        first = 0 if self.source == "cdes" else 1  # the place, counted from 0, of the first answer
        turn_B1 = (size_B1 + 1 - first) // 2
        return np.where(slot_BT < turn_B1, 2 * slot_BT + first, 2 * (slot_BT - turn_B1) + 1 - first)


class BucketSort(StringTask):
    """The string in ascending order.

        symbols 5, a string of 4 symbols: blank 0, ACT 6

        tokens, deletang      3 1 5 1 0 0 0 0
        targets, deletang     . . . . 1 1 3 5
        tokens, cdes          3 1 5 1 6 0 0 0
        targets, cdes         . . . . 1 1 3 5

    A length is twice the string's. Beware of `length`: in a long string of few symbols the slot asked says nearly all.
    """

    name: Literal["bucket-sort"]

    def _ordered(self, tokens_BT: np.ndarray) -> np.ndarray:
        return np.sort(np.where(self._is_symbol(tokens_BT), tokens_BT, self.symbols + 1), axis=1, kind="stable")

    def _place(self, slot_BT: np.ndarray, size_B1: np.ndarray) -> np.ndarray:
        return slot_BT
