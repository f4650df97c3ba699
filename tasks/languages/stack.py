"""Stack manipulation: a stack, and what is pushed to it and popped from it."""

from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field

from tasks.draws import integers
from tasks.languages.language import Language
from tasks.task import IGNORE, Batch, Predictor


class StackManipulation(Language):
    """What is on the stack in the end?

        symbols 2, a string of 6, the stack 1 2 2 (the top last), then pop, pop, push 1: push 3-4, pop 5, blank 0

        tokens, deletang      1 2 2 5 5 3 0 0 0 0 0 0 0       end 6
        targets, deletang     . . . . . . 1 1 6 . . . .
        tokens, cdes          1 2 2 5 5 3 7 0 0 0 0 0         empty 6, ACT 7
        targets, cdes         . . . . . . 1 1 0 0 0 0
        tokens, cdes          1 5 5 7 0 0
        targets, cdes         . . . 6 0 0

    To pop an empty stack does nothing. Delétang's `stack_manipulation` tells the stack from its top, then `end`, and so
    has one slot more than the string; `cdes` tells it from its bottom, from ACT on, an empty one by a token of its own,
    and scores the empty slots after it, whose target is blank, so that a model can score by the height alone. The stack
    is at first of 1 to n - 1 (deletang; 1 of a string of one) or 1 to n (cdes) of the n tokens of the string. The xLSTM
    paper's generator is not public.
    """

    shortest = 3

    name: Literal["stack-manipulation"]
    symbols: Annotated[int, Field(ge=2)]
    source: Literal["deletang", "cdes"]

    @property
    def vocabulary_size(self) -> int:
        return 2 * self.symbols + (3 if self.source == "deletang" else 4)

    @property
    def _pop(self) -> int:
        return 2 * self.symbols + 1

    def _examples(self, rng: np.random.Generator, length_B1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shape = (len(length_B1), self.maximum_length)
        size_B1 = (length_B1 - (self.source == "deletang")) // 2
        choices_B1 = np.maximum(size_B1 - 1, 1) if self.source == "deletang" else size_B1
        stack_B1 = 1 + integers(rng, choices_B1, size_B1.shape)
        position_T = np.arange(self.maximum_length)
        action_BT = self.symbols + 1 + integers(rng, self.symbols + 1, shape)
        string_BT = np.where(position_T < stack_B1, 1 + integers(rng, self.symbols, shape), action_BT)
        mark = self.padding if self.source == "deletang" else self._pop + 2
        rest_BT = np.where(position_T == size_B1, mark, self.padding)
        tokens_BT = np.where(position_T < size_B1, string_BT, rest_BT)
        return tokens_BT, self._answers(tokens_BT)

    def _answers(self, tokens_BT: np.ndarray) -> np.ndarray:
        return self._told(tokens_BT, popped=1)

    def _told(self, tokens_BT: np.ndarray, *, popped: int) -> np.ndarray:
        """Returns answers_BT if every pop takes so many off the stack."""
        in_string_BT = (tokens_BT > 0) & (tokens_BT <= self._pop)
        size_B1 = in_string_BT.sum(axis=1, keepdims=True)
        pushed_BT = in_string_BT & (tokens_BT < self._pop)
        free_BT = np.where(pushed_BT, 1, -popped * (tokens_BT == self._pop)).cumsum(axis=1)
        height_BT = free_BT - np.minimum.accumulate(np.minimum(free_BT, 0), axis=1)
        height_B1 = height_BT[:, -1:]
        last_BH = np.zeros((len(tokens_BT), tokens_BT.shape[1] + 1), dtype=np.int64)
        row, time = pushed_BT.nonzero()
        np.maximum.at(last_BH, (row, height_BT[row, time]), time)  # what lies at a height was pushed there last
        slot_BT = np.arange(tokens_BT.shape[1]) - size_B1
        held_BT = (slot_BT >= 0) & (slot_BT < height_B1)
        from_top = self.source == "deletang"
        level_BT = np.where(held_BT, height_B1 - slot_BT if from_top else slot_BT + 1, 0)
        element_BT = np.take_along_axis(tokens_BT, np.take_along_axis(last_BH, level_BT, axis=1), axis=1)
        element_BT = (element_BT - 1) % self.symbols + 1
        if from_top:
            rest_BT = np.where(slot_BT == height_B1, self._pop + 1, IGNORE)
        else:
            empty_BT = (slot_BT == 0) & (height_B1 == 0)
            asked_BT = (slot_BT >= 0) & (slot_BT < size_B1)
            rest_BT = np.where(empty_BT, self._pop + 1, np.where(asked_BT, self.padding, IGNORE))
        return np.where(held_BT, element_BT, rest_BT)

    def _shortcuts(self, sample: Batch) -> dict[str, Predictor]:
        """`no_pop` takes no notice of what is popped."""
        return {"no_pop": lambda tokens_BT: torch.from_numpy(self._told(tokens_BT.numpy(), popped=0))}
