"""Modular arithmetic without brackets, where products come before sums."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from torch import Tensor

from tasks.draws import integers
from tasks.languages.language import Language, token_at
from tasks.task import IGNORE, Batch, Predictor, most_frequent

PLUS, MINUS, TIMES, EQUALS = 1, 2, 3, 4


class ModularArithmetic(Language):
    """What is the value of digits joined by +, - and *, modulo `modulus`?

        modulus 5, 3 + 4 * 2 - 0 is 1: + - * are 1 to 3, blank 0

        tokens, xlstm         8 1 9 3 7 2 5 4 0     = is 4, digit d is token 5 + d
        targets, xlstm        . . . . . . . 6 .
        tokens, deletang      7 1 8 3 6 2 4 0 0     digit d is token 4 + d
        targets, deletang     . . . . . . . 5 .

    A length is twice the number of digits; the blank of `deletang` is where `xlstm` has =. `cdes` differs from `xlstm`
    by its lengths alone, which are 4 to 41 for 3 to 40.
    """

    shortest = 2

    name: Literal["modular-arithmetic"]
    modulus: Annotated[int, Field(ge=2)]
    source: Literal["xlstm", "deletang"]

    @property
    def vocabulary_size(self) -> int:
        return self._zero + self.modulus

    @property
    def _zero(self) -> int:
        """The token of digit 0."""
        return 5 if self.source == "xlstm" else 4

    def _examples(self, rng: np.random.Generator, length_B1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shape = (len(length_B1), self.maximum_length)
        size_B1 = length_B1 // 2 * 2 - 1
        place_T = np.arange(self.maximum_length)
        digits_BT = self._zero + integers(rng, self.modulus, shape)
        string_BT = np.where(place_T % 2 == 0, digits_BT, PLUS + integers(rng, 3, shape))
        mark = EQUALS if self.source == "xlstm" else self.padding
        rest_BT = np.where(place_T == size_B1, mark, self.padding)
        tokens_BT = np.where(place_T < size_B1, string_BT, rest_BT)
        return tokens_BT, self._answers(tokens_BT)

    def _answers(self, tokens_BT: np.ndarray) -> np.ndarray:
        is_digit_BM = tokens_BT[:, 0::2] > 0
        size_B1 = 2 * is_digit_BM.sum(axis=1, keepdims=True) - 1
        before_BM = np.pad(tokens_BT[:, 1::2], ((0, 0), (1, 0)), constant_values=PLUS)[:, : is_digit_BM.shape[1]]
        factor_BM = np.where(before_BM == MINUS, -1, 1) * (tokens_BT[:, 0::2] - self._zero)
        product_BM = _running_products(factor_BM, before_BM != TIMES, modulus=self.modulus)
        is_whole_BM = is_digit_BM & (np.pad(before_BM[:, 1:], ((0, 0), (0, 1))) != TIMES)
        value_B1 = (product_BM * is_whole_BM).sum(axis=1, keepdims=True) % self.modulus
        return np.where(np.arange(tokens_BT.shape[1]) == size_B1, self._zero + value_B1, IGNORE)

    def _shortcuts(self, sample: Batch) -> dict[str, Predictor]:
        """`last_digit` knows only the last digit."""

        def last(tokens_BT: Tensor) -> Tensor:
            return token_at(tokens_BT, (2 * (tokens_BT[:, 0::2] > 0).sum(1, keepdim=True) - 2))

        return {"last_digit": most_frequent(sample, last, self.vocabulary_size)}


def _running_products(factor_BM: np.ndarray, first_BM: np.ndarray, *, modulus: int) -> np.ndarray:
    """Returns products_BM of the factors from the latest first one on, by a parallel scan (Hillis and Steele 1986)."""
    product_BM, closed_BM = factor_BM % modulus, first_BM
    span = 1
    while span < factor_BM.shape[1]:
        longer_BM = np.where(closed_BM[:, span:], 1, product_BM[:, :-span]) * product_BM[:, span:] % modulus
        reached_BM = closed_BM[:, span:] | closed_BM[:, :-span]
        product_BM = np.concatenate([product_BM[:, :span], longer_BM], axis=1)
        closed_BM = np.concatenate([closed_BM[:, :span], reached_BM], axis=1)
        span *= 2
    return product_BM
