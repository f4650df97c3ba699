"""Copying: how long a string does a model's state hold?"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from tasks.memory.strings import BAR, DOLLAR, STOP, Strings, latest
from tasks.task import Batch, Predictor


class Copying(Strings):
    """Repeat the string: `$string|string.` (Jelassi et al. 2024, arXiv:2402.01032, `synthetic_exps/data_utils.py`).

        letters 3, minimum_string 2, maximum_string 3: letters 0-2, dollar 3, bar 4, full stop 5, padding 6

        context none, a string of 2    tokens     3 1 0 4 1 0 6 6
                                       targets    . . . 1 0 5 . .

        context 11, strings of 2       tokens     3 1 0 4 1 0 5 3 2 2 4
                                       targets    . . . 1 0 5 . . . . .

    The answer is read as it is written, so `last_token` finds most of it by looking up the letter just read. The paper
    trains in a context of 220, of which 219 are read, and tests one line at a time.
    """

    name: Literal["copying"]

    def _width(self, string: np.ndarray | int) -> np.ndarray | int:
        return 2 * string + 3

    def _labels(self, string: np.ndarray | int) -> np.ndarray | int:
        return string + 1

    def _starts(self, rng: np.random.Generator, letters_BLS: np.ndarray, string_BL: np.ndarray) -> np.ndarray:
        return np.zeros_like(string_BL)

    def _source(self, offset_BT: np.ndarray, string_BT: np.ndarray, start_BT: np.ndarray) -> np.ndarray:
        marks = [offset_BT == 0, offset_BT == string_BT + 1, offset_BT >= 2 * string_BT + 2]
        tokens = [self.maximum_string + mark for mark in (DOLLAR, BAR, STOP)]
        return np.select(marks, tokens, (offset_BT - 1) % (string_BT + 1))

    def predictors(self, sample: Batch) -> dict[str, Predictor]:
        """`full_stop` knows where answers end and guesses letters.

        `last_token` answers with what followed the letter just read where it stood first, and first with the first.
        """

        def oracle(tokens_BT: Tensor) -> Tensor:
            dollar_BT, bar_BT = (latest(tokens_BT == self.letters + mark) for mark in (DOLLAR, BAR))
            return self._letter_at(tokens_BT, dollar_BT + 1 + torch.arange(tokens_BT.shape[1]) - bar_BT)

        return {"oracle": oracle} | self._shortcuts(oracle, before=1)
