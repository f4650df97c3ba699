"""Languages of counting: the most frequent token, its count, and the set of all tokens."""

from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field

from tasks.draws import integers
from tasks.languages.language import Language, token_at
from tasks.task import IGNORE, Batch, Predictor


class Tally(Language):
    """A string of uniform tokens 1 to `symbols`, answered once, at its last token."""

    shortest = 1

    symbols: Annotated[int, Field(ge=2)]

    @property
    def vocabulary_size(self) -> int:
        return self.symbols + 1

    def _examples(self, rng: np.random.Generator, length_B1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        symbols_BT = 1 + integers(rng, self.symbols, (len(length_B1), self.maximum_length))
        tokens_BT = np.where(np.arange(self.maximum_length) < length_B1, symbols_BT, self.padding)
        return tokens_BT, self._answers(tokens_BT)

    def _counts(self, tokens_BT: np.ndarray) -> np.ndarray:
        """Returns how often the row has each token, and 0 at blanks; _BT."""
        cells_BT = np.arange(len(tokens_BT))[:, None] * self.vocabulary_size + tokens_BT
        return np.bincount(cells_BT.ravel())[cells_BT] * (tokens_BT > 0)

    def _at_the_last(self, tokens_BT: np.ndarray, answer_B1: np.ndarray) -> np.ndarray:
        last_B1 = (tokens_BT > 0).sum(1, keepdims=True) - 1
        return np.where(np.arange(tokens_BT.shape[1]) == last_B1, answer_B1, IGNORE)


class Majority(Tally):
    """The most frequent token; of several, that which occurs first.

        symbols 9, a string of 6 tokens: blank 0

        tokens      7 2 5 2 9 7 0
        targets     . . . . . 7 .

    From `cdes`, with symbols 63; the xLSTM paper's generator, of the same vocabulary, is not public. Where symbols are
    many and strings short, ties are the rule, and the first token is often right.
    """

    name: Literal["majority"]

    def _answers(self, tokens_BT: np.ndarray) -> np.ndarray:
        first_B1 = self._counts(tokens_BT).argmax(axis=1)[:, None]
        return self._at_the_last(tokens_BT, np.take_along_axis(tokens_BT, first_B1, axis=1))

    def _shortcuts(self, sample: Batch) -> dict[str, Predictor]:
        """`first_token` and `last_token` answer with that token."""
        return {
            "first_token": lambda tokens_BT: token_at(tokens_BT, torch.zeros(len(tokens_BT), 1, dtype=torch.int64)),
            "last_token": lambda tokens_BT: tokens_BT,
        }


class MajorityCount(Tally):
    """How often the most frequent token occurs: n is token n.

        symbols 9, a string of 6 tokens: blank 0

        tokens      7 2 5 2 9 2 0
        targets     . . . . . 3 .

    From `cdes`, with symbols 63; the xLSTM paper's generator, of the same vocabulary, is not public. Counts beyond
    `symbols` are told as `symbols`; `cdes` clips at symbols + 1, which its vocabulary lacks. The paper takes 1 / 63 for
    chance; the length alone is far better.
    """

    name: Literal["majority-count"]

    def _answers(self, tokens_BT: np.ndarray) -> np.ndarray:
        counts_B1 = self._counts(tokens_BT).max(axis=1, keepdims=True)
        return self._at_the_last(tokens_BT, counts_B1.clip(max=self.symbols))


class Set(Language):
    """The tokens of the string, each once, in the order of their first occurrence.

        symbols 9, a string of 5 tokens: blank 0, ACT 10

        tokens      7 2 7 7 5 10 0 0 0 0
        targets     . . . . . 7  2 5 . .

    A length is twice the string's: as many slots as it has tokens, of which the last may stay empty. From `cdes`, with
    symbols 126; the xLSTM paper's generator, of the same vocabulary, is not public.
    """

    shortest = 2

    name: Literal["set"]
    symbols: Annotated[int, Field(ge=2)]

    @property
    def vocabulary_size(self) -> int:
        return self.symbols + 2

    def _examples(self, rng: np.random.Generator, length_B1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        symbols_BT = 1 + integers(rng, self.symbols, (len(length_B1), self.maximum_length))
        size_B1, position_T = length_B1 // 2, np.arange(self.maximum_length)
        mark_BT = np.where(position_T == size_B1, self.symbols + 1, self.padding)
        tokens_BT = np.where(position_T < size_B1, symbols_BT, mark_BT)
        return tokens_BT, self._answers(tokens_BT)

    def _answers(self, tokens_BT: np.ndarray) -> np.ndarray:
        order_BT = tokens_BT.argsort(axis=1, kind="stable")
        sorted_BT = np.take_along_axis(tokens_BT, order_BT, axis=1)
        new_BT = np.zeros(tokens_BT.shape, dtype=bool)
        np.put_along_axis(new_BT, order_BT, np.diff(sorted_BT, axis=1, prepend=0) != 0, axis=1)
        new_BT &= tokens_BT <= self.symbols
        size_B1 = (tokens_BT == self.symbols + 1).argmax(axis=1)[:, None]
        row, place = new_BT.nonzero()
        answers_BT = np.full_like(tokens_BT, IGNORE)
        answers_BT[row, (size_B1 + new_BT.cumsum(axis=1) - 1)[row, place]] = tokens_BT[row, place]
        return answers_BT

    def _shortcuts(self, sample: Batch) -> dict[str, Predictor]:
        """`copy` answers with the string, repetitions and all: right up to the first."""

        def copy(tokens_BT: torch.Tensor) -> torch.Tensor:
            size_B1 = (tokens_BT == self.symbols + 1).int().argmax(1, keepdim=True)
            return tokens_BT.gather(1, (torch.arange(tokens_BT.shape[1]) - size_B1).clamp(min=0))

        return {"copy": copy}
