"""N-gram look-up: finding a place in a string by what stands there."""

from typing import Annotated, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from tasks.draws import integers
from tasks.memory.strings import BAR, DOLLAR, STOP, Strings, following, latest
from tasks.task import Batch, Predictor


class NgramLookup(Strings):
    """What followed these letters? (Jelassi et al. 2024, arXiv:2402.01032, `synthetic_exps/data_utils.py`.)

        letters 3, strings of 5, ngram 2, answer 2: letters 0-2, dollar 3, bar 4, full stop 5; the string 1 0 0 2 1

        key suffix    tokens     3 1 0 0 2 1 4 0 0 2 1            the key, 0 0, after the string
                      targets    . . . . . . . . 2 1 5

        key prefix    tokens     3 0 0 4 1 0 0 2 1 4 2 1          and before it
                      targets    . . . . . . . . . 2 1 5

    The key is the n-gram at any place with `answer` letters after it; where it stands more than once, the first place
    counts, as in the source. There the last three places are never drawn, some n-gram of the string is unique, and
    an answer of no given length is all that follows: here it is always `answer` letters.
    """

    name: Literal["ngram-lookup"]
    key: Literal["prefix", "suffix"]
    ngram: Annotated[int, Field(ge=1)]
    answer: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _holds_the_answer(self) -> Self:
        if self.minimum_string < self._shortest:
            raise ValueError(
                f"a string of minimum_string {self.minimum_string} cannot hold ngram {self.ngram} and answer "
                f"{self.answer}: raise minimum_string to {self._shortest}, or lower ngram or answer"
            )
        return self

    @property
    def _shortest(self) -> int:
        return self.ngram + self.answer

    def _width(self, string: np.ndarray | int) -> np.ndarray | int:
        return string + self.ngram + self.answer + (4 if self.key == "prefix" else 3)

    def _labels(self, string: np.ndarray | int) -> np.ndarray | int:
        return self.answer + 1

    def _starts(self, rng: np.random.Generator, letters_BLS: np.ndarray, string_BL: np.ndarray) -> np.ndarray:
        drawn_BL = integers(rng, string_BL - self._shortest + 1, string_BL.shape)
        places = self.maximum_string - self.ngram + 1
        same_BLS = np.ones((*string_BL.shape, places), dtype=bool)
        for letter in range(self.ngram):
            key_BL1 = np.take_along_axis(letters_BLS, drawn_BL[..., None] + letter, axis=2)
            same_BLS &= letters_BLS[..., letter : letter + places] == key_BL1
        return same_BLS.argmax(axis=2)

    def _source(self, offset_BT: np.ndarray, string_BT: np.ndarray, start_BT: np.ndarray) -> np.ndarray:
        before = self._before
        bar_BT = before + string_BT
        inside_BT = (offset_BT >= before) & (offset_BT < bar_BT)
        cases = [offset_BT == 0, offset_BT >= self._width(string_BT) - 1, offset_BT == bar_BT, inside_BT]
        sources = [*(self.maximum_string + mark for mark in (DOLLAR, STOP, BAR)), offset_BT - before]
        if self.key == "suffix":
            return np.select(cases, sources, start_BT + offset_BT - bar_BT - 1)
        cases += [offset_BT == before - 1, offset_BT < before]
        sources += [self.maximum_string + BAR, start_BT + offset_BT - 1]
        return np.select(cases, sources, start_BT + self.ngram + offset_BT - bar_BT - 1)

    @property
    def _before(self) -> int:
        """The offset of the string in its line."""
        return 1 if self.key == "suffix" else self.ngram + 2

    def predictors(self, sample: Batch) -> dict[str, Predictor]:
        """`full_stop` knows where answers end and guesses letters.

        `last_token` answers with what followed the letter just read where it stood first, a look-up of one letter.
        """

        def oracle(tokens_BT: Tensor) -> Tensor:
            position_T, last = torch.arange(tokens_BT.shape[1]), tokens_BT.shape[1] - 1
            dollar_BT, bar_BT = latest(tokens_BT == self.letters + DOLLAR), latest(tokens_BT == self.letters + BAR)
            if self.key == "suffix":
                key_BT, answered_BT = following(tokens_BT == self.letters + BAR) + 1, position_T - bar_BT - self.ngram
            else:
                key_BT, answered_BT = dollar_BT + 1, position_T - bar_BT
            found_BT = position_T >= dollar_BT + self._before
            for letter in range(self.ngram):
                here_BT = tokens_BT.roll(-letter, 1)
                found_BT &= here_BT == tokens_BT.gather(1, (key_BT + letter).clamp(max=last))
            place_BT = following(found_BT).gather(1, dollar_BT)
            answers_BT = tokens_BT.gather(1, (place_BT + self.ngram + answered_BT).clamp(0, last))
            return torch.where(answered_BT == self.answer, self.letters + STOP, answers_BT)

        return {"oracle": oracle} | self._shortcuts(oracle, before=self._before)
