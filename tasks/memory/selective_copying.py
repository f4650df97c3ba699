"""Selective copying: what a model keeps when most of what it reads is noise."""

from typing import Annotated, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from tasks.draws import distinct, integers
from tasks.task import IGNORE, Batch, Predictor, SyntheticTask


class SelectiveCopying(SyntheticTask):
    """Repeat the data tokens, scattered among noise, in their order (Gu and Dao 2023, arXiv:2312.00752, appendix E.1).

        length 12, vocabulary 7, data 3: noise 0, symbols 1-5, marker 6

        tokens     0 4 0 2 0 0 4 0 0 6 6 6
        targets    . . . . . . . . . 4 2 4

    `data` symbols, drawn with replacement, stand at any places of the `length - data` tokens before the markers, one
    marker for each answer. That is the generator of the S4 repository, by an author of that paper, whose own was never
    released. In MinhZou/selective-copying-mamba, which uses it, 16 tokens are all ids, so 14 symbols; the 16 of the
    paper include the noise and, as read here, no marker, so 15 symbols and vocabulary 17. `mad-selective-copying`
    differs: one marker, then noise in the answers' places.
    """

    name: Literal["selective-copying"]
    length: int
    vocabulary: Annotated[int, Field(ge=4)]
    data: Annotated[int, Field(ge=2)]

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        if self.length < 2 * self.data:
            raise ValueError(
                f"length {self.length} cannot hold data {self.data}, which take a token each to read and one to "
                f"answer: raise length to {2 * self.data} or lower data"
            )
        return self

    @property
    def vocabulary_size(self) -> int:
        return self.vocabulary

    def draw(self, rng: np.random.Generator, size: int) -> Batch:
        symbols_BK = 1 + integers(rng, self.vocabulary - 2, (size, self.data))
        places_BK = np.sort(distinct(rng, self.length - self.data, self.data, size), axis=1)
        tokens_BT = np.zeros((size, self.length), dtype=np.int64)
        np.put_along_axis(tokens_BT, places_BK, symbols_BK, axis=1)
        tokens_BT[:, -self.data :] = self.vocabulary - 1
        targets_BT = np.full_like(tokens_BT, IGNORE)
        targets_BT[:, -self.data :] = symbols_BK
        return Batch(torch.from_numpy(tokens_BT), torch.from_numpy(targets_BT))

    def predictors(self, sample: Batch) -> dict[str, Predictor]:
        """`unordered` knows which symbols were read but not their order, `last_data` knows one of them."""

        def symbols(tokens_BT: Tensor) -> Tensor:
            read_BT = tokens_BT[:, : -self.data]
            return read_BT[read_BT != 0].view(-1, self.data)

        def oracle(tokens_BT: Tensor) -> Tensor:
            answers_BT = torch.zeros_like(tokens_BT)
            answers_BT[:, -self.data :] = symbols(tokens_BT)
            return answers_BT

        def unordered(tokens_BT: Tensor) -> Tensor:
            symbols_BK = symbols(tokens_BT)
            counts_BN = tokens_BT.new_zeros(len(tokens_BT), self.vocabulary)
            counts_BN.scatter_add_(1, symbols_BK, torch.ones_like(symbols_BK))
            return counts_BN.argmax(1, keepdim=True).expand_as(tokens_BT)

        return {
            "oracle": oracle,
            "unordered": unordered,
            "last_data": lambda tokens_BT: symbols(tokens_BT)[:, -1:].expand_as(tokens_BT),
        }
