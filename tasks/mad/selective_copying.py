"""Selective copying: which tokens were there, and in which order, whatever lay between them?"""

from typing import Annotated, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from tasks.draws import integers
from tasks.mad.pool import PooledTask
from tasks.task import IGNORE, Batch, Predictor, most_frequent


class MadSelectiveCopying(PooledTask):
    """MAD's selective copying (Poli et al. 2024, arXiv:2403.17844, `mad/data/instances.py`): `tokens_to_copy` tokens amid
    blanks, to be told after a token that asks for them.

        length 13, vocabulary 6, tokens_to_copy 4: data 0-3, blank 4, ask 5

        tokens             3 2 4 0 4 3 4 4   5   4 4 4 4
        targets            . . . . . . . .   .   3 2 0 3

    Every blank picks one of the gaps around the data tokens, each as likely. In MAD the gap after the last data token is
    never picked, so that this token is always beside the asking one, and the picks are those of numpy's global generator,
    whatever the seed of the data.
    """

    name: Literal["mad-selective-copying"]
    length: int
    vocabulary: Annotated[int, Field(ge=4)]
    tokens_to_copy: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        if self.length < 2 * self.tokens_to_copy + 2:
            raise ValueError(
                f"length {self.length} cannot hold tokens_to_copy {self.tokens_to_copy} twice, a token that asks and a blank: "
                f"raise length to {2 * self.tokens_to_copy + 2} or lower tokens_to_copy"
            )
        return self

    @property
    def vocabulary_size(self) -> int:
        return self.vocabulary

    @property
    def _blank(self) -> int:
        return self.vocabulary - 2

    @property
    def _asked_at(self) -> int:
        return self.length - self.tokens_to_copy - 1

    def draw(self, rng: np.random.Generator, size: int) -> Batch:
        copied, gaps = self.tokens_to_copy, self.tokens_to_copy + 1
        data_BK = integers(rng, self._blank, (size, copied))
        gap_BN = integers(rng, gaps, (size, self._asked_at - copied))
        cells = (np.arange(size)[:, None] * gaps + gap_BN).ravel()
        blanks_BK = np.bincount(cells, minlength=size * gaps).reshape(size, gaps).cumsum(axis=1)[:, :-1]
        tokens_BT = np.full((size, self.length), self._blank)
        np.put_along_axis(tokens_BT, blanks_BK + np.arange(copied), data_BK, axis=1)
        tokens_BT[:, self._asked_at] = self.vocabulary - 1
        targets_BT = np.full_like(tokens_BT, IGNORE)
        targets_BT[:, self._asked_at + 1 :] = data_BK
        return Batch(torch.from_numpy(tokens_BT), torch.from_numpy(targets_BT))

    def predictors(self, sample: Batch) -> dict[str, Predictor]:
        """`last_data` repeats the last data token, `place` looks for each answer at the one place where it is most often."""
        answers = slice(self._asked_at + 1, None)
        constant = most_frequent(sample, torch.zeros_like, 1)
        truth_BK = sample.targets_BT[:, answers]
        place_K = [
            (sample.tokens_BT[:, : self._asked_at] == truth_B[:, None]).sum(0).argmax()
            for truth_B in truth_BK.unbind(1)
        ]

        def data(tokens_BT: Tensor) -> Tensor:
            places_BK = (tokens_BT[:, : self._asked_at] >= self._blank).int().argsort(dim=1, stable=True)
            return tokens_BT.gather(1, places_BK[:, : self.tokens_to_copy])

        def answered(tokens_BT: Tensor, answers_BK: Tensor) -> Tensor:
            answers_BT = tokens_BT.clone()
            answers_BT[:, answers] = answers_BK
            return answers_BT

        def place(tokens_BT: Tensor) -> Tensor:
            found_BK = tokens_BT[:, place_K]
            return answered(tokens_BT, found_BK.where(found_BK < self._blank, constant(found_BK)))

        return {
            "oracle": lambda tokens_BT: answered(tokens_BT, data(tokens_BT)),
            "last_data": lambda tokens_BT: answered(tokens_BT, data(tokens_BT)[:, -1:]),
            "place": place,
        }
