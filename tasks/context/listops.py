"""ListOps: the value of nested lists of digits."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from tasks.context.expressions import MINIMUM, PADDING, VOCABULARY, Level, grown, joined, values_read, written
from tasks.task import IGNORE, Batch, Predictor, SyntheticTask, most_frequent

_ROUNDS = 200


class ListOps(SyntheticTask):
    """The ListOps of the Long Range Arena (Tay et al. 2021, arXiv:2011.04006, `listops.py`; Nangia and Bowman 2018).

    An argument is a digit, with digit_probability, or a list of 2 to maximum_arguments arguments under an operator;
    lists lie at depths from 1 to maximum_depth - 1. The answer is the digit that the outermost list is worth:

        minimum_length 4, maximum_length 12: digits 0-9, [MIN 10, [MAX 11, [MED 12, [SM 13, ] 14, pad 15

                   [SM 7 [MED 3 9 4 8 ] 5 ]
        tokens     13 7 12 3 9 4 8 14 5 14 15 15
        targets    . .  .  . . . . .  . 8  .  .

    SM is the sum modulo 10, and the median of an even number of arguments the mean of the middle two, rounded down.
    Lengths are those of what grows at random and is kept if it has minimum_length to maximum_length tokens, as in LRA,
    whose limits are 501 and 1999; LRA drops repeated expressions, which here only the splits do not share. LRA's script
    draws without a seed. Its parentheses, which its tokenizer removes again, are left out, as is its CLS token.
    """

    partitioned = True

    name: Literal["listops"]
    minimum_length: Annotated[int, Field(ge=4)]
    maximum_length: Annotated[int, Field(ge=4)]
    maximum_depth: Annotated[int, Field(ge=2)]
    maximum_arguments: Annotated[int, Field(ge=2)]
    digit_probability: Annotated[float, Field(ge=0, le=1)]

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        if self.minimum_length > self.maximum_length:
            raise ValueError(
                f"no length lies between minimum_length {self.minimum_length} and maximum_length "
                f"{self.maximum_length}: raise maximum_length or lower minimum_length"
            )
        if self.minimum_length > self._longest:
            raise ValueError(
                f"minimum_length {self.minimum_length} is beyond every expression of maximum_depth {self.maximum_depth} "
                f"and maximum_arguments {self.maximum_arguments}: lower minimum_length to {self._longest}, or raise either"
            )
        return self

    @property
    def _longest(self) -> int:
        """The tokens of the longest expression, or maximum_length if that is less."""
        depth = 2 if self.digit_probability == 1 else self.maximum_depth
        longest = 1
        for _ in range(1, depth):
            longest = min(2 + self.maximum_arguments * longest, self.maximum_length)
        return longest

    @property
    def vocabulary_size(self) -> int:
        return VOCABULARY

    @property
    def padding(self) -> int:
        return PADDING

    def draw(self, rng: np.random.Generator, size: int) -> Batch:
        """Returns `size` fresh examples; ValueError where next to no expression has such a length."""
        levels = self._kept(rng, size)
        tokens_BT, value_B = written(rng, levels, size=size, width=self.maximum_length)
        last_B1 = (tokens_BT != PADDING).sum(axis=1, keepdims=True) - 1
        targets_BT = np.full_like(tokens_BT, IGNORE)
        np.put_along_axis(targets_BT, last_B1, value_B[:, None], axis=1)
        return Batch(torch.from_numpy(tokens_BT), torch.from_numpy(targets_BT))

    def _kept(self, rng: np.random.Generator, size: int) -> list[Level]:
        """Returns the levels of `size` trees of a length asked for, grown in rounds as large as the earlier ones ask."""
        rounds: list[list[Level]] = []
        found = tried = 0
        for _ in range(_ROUNDS):
            needed = (size - found) * (tried + 1) // (found + 1)
            trees = min(needed * 9 // 8 + 8, 4096 + 4 * size)
            levels, tokens = grown(
                rng,
                trees=trees,
                depth=self.maximum_depth,
                arguments=self.maximum_arguments,
                digit_probability=self.digit_probability,
                longest=self.maximum_length,
            )
            kept = (self.minimum_length <= tokens) & (tokens <= self.maximum_length)
            kept &= kept.cumsum() <= size - found
            rounds.append([level.of_trees(kept) for level in levels])
            found, tried = found + int(kept.sum()), tried + trees
            if found == size:
                return joined(rounds)
        raise ValueError(
            f"next to no expression has minimum_length {self.minimum_length} to maximum_length {self.maximum_length}: "
            f"widen them, or change maximum_depth, maximum_arguments or digit_probability"
        )

    def at(self, point: Mapping[str, Any]) -> Self:
        """Returns the task with other fields; `length` is rows of exactly so many tokens, at least half no padding."""
        fields = dict(point)
        if (length := fields.pop("length", None)) is not None:
            fields = {"minimum_length": max(4, (length + 1) // 2), "maximum_length": length} | fields
        return super().at(fields)

    def predictors(self, sample: Batch) -> dict[str, Predictor]:
        """`root_operator` knows only the outermost operator, `length` how long the expression is."""

        def position(tokens_BT: Tensor) -> Tensor:
            return torch.arange(self.maximum_length).expand_as(tokens_BT)

        def root(tokens_BT: Tensor) -> Tensor:
            return tokens_BT[:, :1].expand_as(tokens_BT) - MINIMUM

        return {
            "oracle": lambda tokens_BT: values_read(tokens_BT, depth=self.maximum_depth),
            "root_operator": most_frequent(sample, root, 4),
            "length": most_frequent(sample, position, self.maximum_length),
        }
