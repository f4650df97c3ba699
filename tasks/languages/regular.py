"""Regular languages of few states: cycle navigation, even pairs."""

from abc import abstractmethod
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from torch import Tensor

from tasks.draws import integers
from tasks.languages.language import Language, token_at
from tasks.task import IGNORE, Batch, Predictor, most_frequent


class Automaton(Language):
    """A string of uniform tokens, 1 to `_letters`, answered once: at its last token (xlstm) or at a blank (deletang)."""

    shortest = 2

    source: Literal["xlstm", "deletang"]

    @property
    @abstractmethod
    def _letters(self) -> int:
        """The number of distinct tokens of a string."""

    def _examples(self, rng: np.random.Generator, length_B1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        letters_BT = 1 + integers(rng, self._letters, (len(length_B1), self.maximum_length))
        size_B1 = length_B1 - (self.source == "deletang")
        tokens_BT = np.where(np.arange(self.maximum_length) < size_B1, letters_BT, self.padding)
        return tokens_BT, self._answers(tokens_BT)

    def _at_the_end(self, tokens_BT: np.ndarray, answer_B1: np.ndarray) -> np.ndarray:
        size_B1 = (tokens_BT > 0).sum(1, keepdims=True)
        slot_B1 = size_B1 - (self.source == "xlstm")
        return np.where(np.arange(tokens_BT.shape[1]) == slot_B1, answer_B1, IGNORE)


class CycleNavigation(Automaton):
    """Where on a cycle does a walk end that begins at 0?

        positions 5, the walk +1 -1 -1 0: the positions are tokens 4 to 8, blank 0

        steps                 xlstm: 1 is 0, 2 is +1, 3 is -1     deletang: 1 is -1, 2 is 0, 3 is +1

        tokens, xlstm         2 3 3 1 0
        targets, xlstm        . . . 8 .
        tokens, deletang      3 1 1 2 0
        targets, deletang     . . . . 8

    That of `cdes` is that of `xlstm`, but that its lengths, 3 to 40, are the walk's.
    """

    name: Literal["cycle-navigation"]
    positions: Annotated[int, Field(ge=2)]

    @property
    def vocabulary_size(self) -> int:
        return self.positions + 4

    @property
    def _letters(self) -> int:
        return 3

    def _answers(self, tokens_BT: np.ndarray) -> np.ndarray:
        step_of_token = np.array([0, 0, 1, -1] if self.source == "xlstm" else [0, -1, 0, 1])
        place_B1 = step_of_token[tokens_BT].sum(axis=1, keepdims=True) % self.positions
        return self._at_the_end(tokens_BT, 4 + place_B1)

    def _shortcuts(self, sample: Batch) -> dict[str, Predictor]:
        """`last_token` knows only the last step."""

        def last(tokens_BT: Tensor) -> Tensor:
            return token_at(tokens_BT, (tokens_BT > 0).sum(1, keepdim=True) - 1)

        return {"last_token": most_frequent(sample, last, self.vocabulary_size)}


class EvenPairs(Automaton):
    """Is the number of neighbours that differ even, 1, or odd, 2?

        a string of 4: blank 0

        tokens, xlstm         1 2 2 1 0
        targets, xlstm        . . . 1 .
        tokens, deletang      1 2 2 1 0
        targets, deletang     . . . . 1

    It is odd when the first token and the last differ: `ends` knows no more, and is always right.
    """

    name: Literal["even-pairs"]

    @property
    def vocabulary_size(self) -> int:
        return 3

    @property
    def _letters(self) -> int:
        return 2

    def _answers(self, tokens_BT: np.ndarray) -> np.ndarray:
        unequal_BT = (tokens_BT[:, 1:] != tokens_BT[:, :-1]) & (tokens_BT[:, 1:] > 0)
        return self._at_the_end(tokens_BT, 1 + unequal_BT.sum(axis=1, keepdims=True) % 2)

    def _shortcuts(self, sample: Batch) -> dict[str, Predictor]:
        """`last_token` knows only the last token, `ends` the first and the last."""

        def last(tokens_BT: Tensor) -> Tensor:
            return token_at(tokens_BT, (tokens_BT > 0).sum(1, keepdim=True) - 1)

        return {
            "last_token": most_frequent(sample, last, 3),
            "ends": lambda tokens_BT: 1 + (last(tokens_BT) != tokens_BT[:, :1]).long(),
        }
