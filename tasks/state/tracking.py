"""State tracking: the running product of permutations, the core that parity and the word problem share."""

from abc import abstractmethod
from collections.abc import Mapping
from functools import lru_cache
from itertools import combinations, permutations
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from tasks.draws import integers
from tasks.task import IGNORE, Batch, Predictor, SyntheticTask, most_frequent

Group = Literal["S2", "S3", "S5", "A5", "A4xZ5", "Z60"]


def _symmetric(points: int) -> tuple[tuple[int, ...], ...]:
    return tuple(permutations(range(points)))


def _alternating(points: int) -> tuple[tuple[int, ...], ...]:
    return tuple(p for p in _symmetric(points) if sum(a > b for a, b in combinations(p, 2)) % 2 == 0)


def _cyclic(points: int) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple((point + turn) % points for point in range(points)) for turn in range(points))


def _product(left: tuple[tuple[int, ...], ...], right: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    """Returns the direct product, which acts on the points of both side by side; the right factor varies fastest."""
    return tuple(p + tuple(len(p) + image for image in q) for p in left for q in right)


# The elements of each group, numbered in this order, the identity first: p takes point 0 to p[0], 1 to p[1], ...
ELEMENTS: dict[Group, tuple[tuple[int, ...], ...]] = {
    "S2": _symmetric(2),
    "S3": _symmetric(3),
    "S5": _symmetric(5),
    "A5": _alternating(5),
    "A4xZ5": _product(_alternating(4), _cyclic(5)),
    "Z60": _cyclic(60),
}


class StateTracking(SyntheticTask):
    """Token t is an element of a group, g_t, and target t the product so far: g_1, then g_2, ... then g_t.

    Lengths are uniform in [minimum_length, maximum_length]; shorter examples are padded on the right, by the last token
    id, to `maximum_length`. `labels` is `dense`, every prefix has its target, or `final`, only the whole sequence has.
    """

    partitioned = True

    minimum_length: Annotated[int, Field(ge=1)]
    maximum_length: Annotated[int, Field(ge=2)]
    labels: Literal["dense", "final"]

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        if self.minimum_length > self.maximum_length:
            raise ValueError(
                f"no length lies between minimum_length {self.minimum_length} and maximum_length "
                f"{self.maximum_length}: raise maximum_length or lower minimum_length"
            )
        return self

    @property
    @abstractmethod
    def _group(self) -> Group:
        """The group whose elements are the tokens."""

    @property
    def vocabulary_size(self) -> int:
        return self.padding + 1

    @property
    def padding(self) -> int:
        return len(ELEMENTS[self._group])

    def draw(self, rng: np.random.Generator, size: int) -> Batch:
        choices = self.maximum_length - self.minimum_length + 1
        length_B1 = self.minimum_length + integers(rng, choices, (size, 1))
        elements_BT = integers(rng, self.padding, (size, self.maximum_length))
        position_T = np.arange(self.maximum_length)
        inside_BT = position_T < length_B1
        labelled_BT = inside_BT if self.labels == "dense" else position_T == length_B1 - 1
        tokens_BT = np.where(inside_BT, elements_BT, self.padding)
        targets_BT = np.where(labelled_BT, prefix_products(elements_BT, self._group), IGNORE)
        return Batch(torch.from_numpy(tokens_BT), torch.from_numpy(targets_BT))

    def at(self, point: Mapping[str, Any]) -> Self:
        """Returns the task with other fields; `length` is exactly so many tokens with one label, at the last."""
        fields = dict(point)
        if (length := fields.pop("length", None)) is not None:
            fields |= {"minimum_length": length, "maximum_length": length, "labels": "final"}
        return super().at(fields)

    def predictors(self, sample: Batch) -> dict[str, Predictor]:
        """`last_token` knows only the token at the position asked, `length` only how many tokens there were."""

        def oracle(tokens_BT: Tensor) -> Tensor:
            elements_BT = tokens_BT.masked_fill(tokens_BT == self.padding, 0)
            return torch.from_numpy(prefix_products(elements_BT.numpy(), self._group))

        def position(tokens_BT: Tensor) -> Tensor:
            return torch.arange(self.maximum_length).expand_as(tokens_BT)

        return {
            "oracle": oracle,
            "last_token": most_frequent(sample, lambda tokens_BT: tokens_BT, self.vocabulary_size),
            "length": most_frequent(sample, position, self.maximum_length),
        }


@lru_cache
def composition(group: Group) -> np.ndarray:
    """Returns int64 (n, n) whose [a, b] is the number of `a then b`, which takes point i to b[a[i]]."""
    number = {element: place for place, element in enumerate(ELEMENTS[group])}
    return np.array([[number[tuple(b[point] for point in a)] for b in number] for a in number])


def prefix_products(elements_BT: np.ndarray, group: Group) -> np.ndarray:
    """Returns products_BT, at t the product of elements 0 to t, by a parallel scan (Hillis and Steele 1986)."""
    table = composition(group)
    products_BT = elements_BT.copy()
    span = 1
    while span < elements_BT.shape[1]:
        pair = products_BT[:, :-span] * len(table) + products_BT[:, span:]  # one index into the flat table: far faster
        products_BT[:, span:] = table.take(pair)
        span *= 2
    return products_BT
