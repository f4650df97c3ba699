"""Modular arithmetic with brackets, and equations to solve."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from torch import Tensor

from tasks.draws import integers
from tasks.languages.expressions import ACT, CLOSE, EQUALS, OPEN, PLUS, TIMES, UNKNOWN, drawn, evaluated
from tasks.languages.language import Language, token_at
from tasks.task import IGNORE, Batch, Predictor, most_frequent


class ModularArithmeticBrackets(Language):
    """What is the value of an expression in brackets, modulo `modulus`?

        modulus 5, (-1+(2*4)) is 2: digit d is token 1 + d, + - * ( ) = are 6 to 11, blank 0

        tokens, cdes          9 7 2 6 9 3 8 5 10 10 11
        targets, cdes         . . . . . . . . .  .  3
        tokens, deletang      9 7 2 6 9 3 8 5 10 10 0
        targets, deletang     . . . . . . . . .  .  3
        tokens, grazzi        9 7 2 6 9 3 7 5 10 10 11     -1+(2-4) is 2
        targets, grazzi       . . . . . . . . .  .  3

    `grazzi` (Grazzi et al. 2025, arXiv:2411.12537, `unlocking_state_tracking`) is `cdes` without products, although its
    vocabulary has them; there sequences hold the answer and a blank too, so that size is length + 2. With products, 0 is
    the likeliest value by far: two tasks under one name. The xLSTM paper's generator is not public.
    """

    shortest = 2

    name: Literal["modular-arithmetic-brackets"]
    modulus: Annotated[int, Field(ge=2)]
    source: Literal["deletang", "cdes", "grazzi"]

    @property
    def vocabulary_size(self) -> int:
        return self.modulus + (EQUALS if self.source == "deletang" else EQUALS + 1)

    def _examples(self, rng: np.random.Generator, length_B1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        slot_B1 = length_B1 - 1
        tokens_BT, value_B = drawn(
            rng, slot_B1[:, 0], width=self.maximum_length, modulus=self.modulus, product=self.source != "grazzi"
        )
        at_slot_BT = np.arange(self.maximum_length) == slot_B1
        if self.source != "deletang":
            tokens_BT[at_slot_BT] = self.modulus + EQUALS
        return tokens_BT, np.where(at_slot_BT, 1 + value_B[:, None], IGNORE)

    def _answers(self, tokens_BT: np.ndarray) -> np.ndarray:
        slot_B1 = (tokens_BT > 0).sum(axis=1, keepdims=True) - (self.source != "deletang")
        value_B1 = evaluated(tokens_BT, modulus=self.modulus)[:, :1]
        return np.where(np.arange(tokens_BT.shape[1]) == slot_B1, 1 + value_B1, IGNORE)

    def _shortcuts(self, sample: Batch) -> dict[str, Predictor]:
        """`root_operator` knows only which operator comes last."""

        def root(tokens_BT: Tensor) -> Tensor:
            depth_BT = (tokens_BT == self.modulus + OPEN).cumsum(1) - (tokens_BT == self.modulus + CLOSE).cumsum(1)
            before_BT = tokens_BT.roll(1, dims=1)
            operand_BT = ((before_BT > 0) & (before_BT <= self.modulus)) | (before_BT == self.modulus + CLOSE)
            sign_BT = (tokens_BT - self.modulus).where(operand_BT & (depth_BT == 1), 0)
            sign_BT = sign_BT.where((sign_BT >= PLUS) & (sign_BT <= TIMES), 0)
            return sign_BT.amax(1, keepdim=True).expand_as(tokens_BT)

        return {"root_operator": most_frequent(sample, root, TIMES + 1)}


class SolveEquation(Language):
    """Which digit is the unknown?

        modulus 5, (3-x)=1 has x=2: digit d is token 1 + d, + - * ( ) = are 6 to 11, x is 12, blank 0, ACT 13

        tokens, deletang      9 4 7 12 10 11 2 0
        targets, deletang     . . . .  .  .  . 3
        tokens, cdes          9 4 7 12 10 11 2 13
        targets, cdes         . . . .  .  .  . 3

    The expression is that of the task `modular-arithmetic-brackets`, of three tokens less than the length. Delétang's
    `solve_equation` leaves out products, so that there is one solution, and hides the digit next to a random token.
    `cdes` has products and hides a random digit: where the unknown is multiplied by 0, every digit is a solution, and the
    one that is right is that which was hidden, so that nobody can be right always: the oracle says the least solution.
    The xLSTM paper's generator is not public.
    """

    shortest = 4

    name: Literal["solve-equation"]
    modulus: Annotated[int, Field(ge=2)]
    source: Literal["deletang", "cdes"]

    @property
    def vocabulary_size(self) -> int:
        return self.modulus + (ACT if self.source == "deletang" else ACT + 1)

    def _examples(self, rng: np.random.Generator, length_B1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        product = self.source == "cdes"
        size_B1 = length_B1 - 3
        tokens_BT, value_B = drawn(rng, size_B1[:, 0], width=self.maximum_length, modulus=self.modulus, product=product)
        unknown_B1 = self._hidden(rng, tokens_BT, size_B1)
        answer_B1 = np.take_along_axis(tokens_BT, unknown_B1, axis=1)
        np.put_along_axis(tokens_BT, unknown_B1, self.modulus + UNKNOWN, axis=1)
        np.put_along_axis(tokens_BT, size_B1, self.modulus + EQUALS, axis=1)
        np.put_along_axis(tokens_BT, size_B1 + 1, 1 + value_B[:, None], axis=1)
        if self.source == "cdes":
            np.put_along_axis(tokens_BT, size_B1 + 2, self.modulus + ACT, axis=1)
        return tokens_BT, np.where(np.arange(self.maximum_length) == size_B1 + 2, answer_B1, IGNORE)

    def _hidden(self, rng: np.random.Generator, tokens_BT: np.ndarray, size_B1: np.ndarray) -> np.ndarray:
        """Returns the place of the digit to hide, _B1."""
        is_digit_BT = (tokens_BT > 0) & (tokens_BT <= self.modulus)
        if self.source == "cdes":
            chosen_B1 = integers(rng, is_digit_BT.sum(axis=1, keepdims=True), size_B1.shape)
            return (is_digit_BT.cumsum(axis=1) > chosen_B1).argmax(axis=1)[:, None]
        from_B1 = integers(rng, size_B1, size_B1.shape)
        later_BT = is_digit_BT & (np.arange(self.maximum_length) >= from_B1)
        return np.where(later_BT.any(axis=1), later_BT.argmax(axis=1), is_digit_BT.argmax(axis=1))[:, None]

    def _answers(self, tokens_BT: np.ndarray) -> np.ndarray:
        equals_B1 = (tokens_BT == self.modulus + EQUALS).argmax(axis=1)[:, None]
        value_B1 = np.take_along_axis(tokens_BT, equals_B1 + 1, axis=1) - 1
        solution_B = (evaluated(tokens_BT, modulus=self.modulus) == value_B1).argmax(axis=1)
        return np.where(np.arange(tokens_BT.shape[1]) == equals_B1 + 2, 1 + solution_B[:, None], IGNORE)

    def _shortcuts(self, sample: Batch) -> dict[str, Predictor]:
        """`value` knows only what is right of =."""

        def value(tokens_BT: Tensor) -> Tensor:
            equals_B1 = (tokens_BT == self.modulus + EQUALS).int().argmax(1, keepdim=True)
            return token_at(tokens_BT, equals_B1 + 1)

        return {"value": most_frequent(sample, value, self.modulus + 1)}
