"""Compression: how much of a sequence do the features of its last token hold?"""

from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from tasks.draws import integers
from tasks.mad.pool import PooledTask
from tasks.task import Batch, Predictor, most_frequent


class Compression(PooledTask):
    """MAD's compression (Poli et al. 2024, arXiv:2403.17844, `mad/data/instances.py`): random tokens and a last one that
    closes them, all of them to be told.

        length 8, vocabulary 6: data 0-4, closing token 5

        tokens             3 1 0 0 4 4 3 5
        targets            3 1 0 0 4 4 3 5

    Targets are the tokens themselves, and no leak: the task is a `bottleneck`, so a network predicts every position from
    the features of the last one, as MAD's auto-encoder does. The closing token is known, so that one answer of `length`
    is free, in MAD as here.
    """

    bottleneck = True

    name: Literal["mad-compression"]
    length: Annotated[int, Field(ge=2)]
    vocabulary: Annotated[int, Field(ge=3)]

    @property
    def vocabulary_size(self) -> int:
        return self.vocabulary

    def draw(self, rng: np.random.Generator, size: int) -> Batch:
        tokens_BT = integers(rng, self.vocabulary - 1, (size, self.length))
        tokens_BT[:, -1] = self.vocabulary - 1
        return Batch(torch.from_numpy(tokens_BT), torch.from_numpy(tokens_BT.copy()))

    def predictors(self, sample: Batch) -> dict[str, Predictor]:
        """`position` knows only which position is asked, `last_four` the last four tokens: what a short convolution sees."""

        def positions(tokens_BT: Tensor) -> Tensor:
            return torch.arange(self.length).expand_as(tokens_BT)

        position = most_frequent(sample, positions, self.length)

        def last_four(tokens_BT: Tensor) -> Tensor:
            return tokens_BT.where(positions(tokens_BT) >= self.length - 4, position(tokens_BT))

        return {"oracle": lambda tokens_BT: tokens_BT, "position": position, "last_four": last_four}
