"""A word of a^n b^n: are there as many of one kind as of the other?"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from tasks.draws import integers
from tasks.task import IGNORE, Batch, Predictor, SyntheticTask, most_frequent


class AnBn(SyntheticTask):
    """Are there as many letters of the first kind as of the second, which follow them? 1 yes, 0 no.

        letters 2, minimum_length 4, maximum_length 7, edit 1: first kind 0 and 1, second kind 2 and 3, pad 4

        tokens     0 1 1 2 3 2 4        tokens     0 0 2 2 4 4 4        tokens     1 0 0 1 2 3 4
        targets    . . . . . 1 .        targets    . . . 1 . . .        targets    . . . . . 0 .

    Lengths are uniform in [minimum_length, maximum_length], where an odd one leaves its last token to padding. Half of
    the examples are words; in the others the border lies 1 to `edit` letters too early or too late, at the same
    length. So neither length nor last letter tell them apart, only the two counts do.

    This is acceptance with close negatives. To predict at each b whether another follows asks no less of a model, but
    its score says little: `b` is right on all but one label of a word, and the word can end at even lengths only. The
    language proper has one word of each length, which no two splits could share: so each kind has several letters.
    "On Subquadratic Architectures" (2026, arXiv:2606.12364) trains on lengths to 128 and tests at 2048; how its strings are
    made is not public.
    """

    partitioned = True

    name: Literal["anbn"]
    letters: Annotated[int, Field(ge=2)]
    minimum_length: Annotated[int, Field(ge=4)]
    maximum_length: Annotated[int, Field(ge=4)]
    edit: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        if self.minimum_length > self.maximum_length:
            raise ValueError(
                f"no length lies between minimum_length {self.minimum_length} and maximum_length "
                f"{self.maximum_length}: raise maximum_length or lower minimum_length"
            )
        if self.minimum_length // 2 <= self.edit:
            raise ValueError(
                f"edit {self.edit} leaves no letter of one kind at minimum_length {self.minimum_length}: raise "
                f"minimum_length to {2 * self.edit + 2} or lower edit"
            )
        return self

    @property
    def vocabulary_size(self) -> int:
        return self.padding + 1

    @property
    def padding(self) -> int:
        return 2 * self.letters

    def draw(self, rng: np.random.Generator, size: int) -> Batch:
        choices = self.maximum_length - self.minimum_length + 1
        half_B1 = (self.minimum_length + integers(rng, choices, (size, 1))) // 2
        accepted_B1 = integers(rng, 2, (size, 1))
        side_B1 = 2 * integers(rng, 2, (size, 1)) - 1
        border_B1 = half_B1 + (1 - accepted_B1) * side_B1 * (1 + integers(rng, self.edit, (size, 1)))
        letters_BT = integers(rng, self.letters, (size, self.maximum_length))
        position_T = np.arange(self.maximum_length)
        tokens_BT = letters_BT + self.letters * (position_T >= border_B1)
        tokens_BT = np.where(position_T < 2 * half_B1, tokens_BT, self.padding)
        targets_BT = np.where(position_T == 2 * half_B1 - 1, accepted_B1, IGNORE)
        return Batch(torch.from_numpy(tokens_BT), torch.from_numpy(targets_BT))

    def at(self, point: Mapping[str, Any]) -> Self:
        """Returns the task with other fields; `length` is exactly so many tokens, of which an odd one is padding."""
        fields = dict(point)
        if (length := fields.pop("length", None)) is not None:
            fields |= {"minimum_length": length, "maximum_length": length}
        return super().at(fields)

    def predictors(self, sample: Batch) -> dict[str, Predictor]:
        """`length`, `last_token` and `border`, the number of letters of the first kind, each know no more than that.

        At a single length the border is all there is to know.
        """

        def first_kind(tokens_BT: Tensor) -> Tensor:
            return (tokens_BT < self.letters).cumsum(1)

        def second_kind(tokens_BT: Tensor) -> Tensor:
            return ((tokens_BT >= self.letters) & (tokens_BT < self.padding)).cumsum(1)

        def position(tokens_BT: Tensor) -> Tensor:
            return torch.arange(self.maximum_length).expand_as(tokens_BT)

        return {
            "oracle": lambda tokens_BT: (first_kind(tokens_BT) == second_kind(tokens_BT)).long(),
            "length": most_frequent(sample, position, self.maximum_length),
            "last_token": most_frequent(sample, lambda tokens_BT: tokens_BT, self.vocabulary_size),
            "border": most_frequent(sample, first_kind, self.maximum_length + 1),
        }
