"""Induction heads: recalling one token, from any distance."""

from typing import Annotated, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from tasks.draws import integers
from tasks.task import IGNORE, Batch, Predictor, SyntheticTask


class InductionHeads(SyntheticTask):
    """Which token followed the special one? (Gu and Dao 2023, arXiv:2312.00752, section 4.1.2 and appendix E.1.)

        length 8, vocabulary 6: the special token is 5

        tokens     3 0 5 2 2 4 1 5
        targets    . . . . . . . 2

    The special token stands at the end and at one place before, uniform among those that leave room for an answer. All
    other tokens are uniform. Trained at length 256, the paper tests at 64 to 1,048,576; its generator was never
    released. Only the answer is labelled: whether all tokens are, as in some reproductions, decides what is learnt.
    `vocabulary` counts the special token.
    """

    name: Literal["induction-heads"]
    length: int
    vocabulary: Annotated[int, Field(ge=3)]

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        if self.length < 3:
            raise ValueError(
                f"length {self.length} cannot hold the special token, its answer and the special token again: raise "
                "length to 3"
            )
        return self

    @property
    def vocabulary_size(self) -> int:
        return self.vocabulary

    def draw(self, rng: np.random.Generator, size: int) -> Batch:
        tokens_BT = integers(rng, self.vocabulary - 1, (size, self.length))
        row_B, place_B = np.arange(size), integers(rng, self.length - 2, (size,))
        tokens_BT[row_B, place_B] = tokens_BT[:, -1] = self.vocabulary - 1
        targets_BT = np.full_like(tokens_BT, IGNORE)
        targets_BT[:, -1] = tokens_BT[row_B, place_B + 1]
        return Batch(torch.from_numpy(tokens_BT), torch.from_numpy(targets_BT))

    def predictors(self, sample: Batch) -> dict[str, Predictor]:
        """`unordered` answers with the most frequent token of the context, `last_token` with its last, as good as any."""
        special = self.vocabulary - 1

        def oracle(tokens_BT: Tensor) -> Tensor:
            place_B1 = (tokens_BT == special).int().argmax(1, keepdim=True)
            return tokens_BT.gather(1, place_B1 + 1).expand_as(tokens_BT)

        def unordered(tokens_BT: Tensor) -> Tensor:
            counts_BN = tokens_BT.new_zeros(len(tokens_BT), self.vocabulary)
            counts_BN.scatter_add_(1, tokens_BT, torch.ones_like(tokens_BT))
            return counts_BN[:, :special].argmax(1, keepdim=True).expand_as(tokens_BT)

        return {
            "oracle": oracle,
            "unordered": unordered,
            "last_token": lambda tokens_BT: tokens_BT[:, -2:-1].expand_as(tokens_BT),
        }
