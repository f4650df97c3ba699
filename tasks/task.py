"""The contract every task keeps: an endless, addressable supply of batches, and references for a model's score."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from tasks.draws import Split, stream
from tasks.partition import side_of

IGNORE = -100  # the target of a position that is neither trained nor scored

Score = Literal["accuracy", "bits_per_byte", "mse"]
Predictor = Callable[[Tensor], Tensor]  # tokens_BT -> the predicted target at every position, _BT


class Batch(NamedTuple):
    tokens_BT: Tensor  # int64, in [0, vocabulary_size)
    targets_BT: Tensor  # int64: the token to predict at each position, or IGNORE

    @property
    def inputs(self) -> Tensor:
        return self.tokens_BT

    @property
    def targets(self) -> Tensor:
        return self.targets_BT

    @property
    def labelled_BT(self) -> Tensor:
        return self.targets_BT != IGNORE


class Task(BaseModel, ABC):
    """A task is its own configuration; `batch` depends on that, the split, the index, the size, and on nothing else."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    score: ClassVar[Score]

    @abstractmethod
    def draw(self, rng: np.random.Generator, size: int) -> Any:
        """Returns a batch of `size` fresh examples of the training distribution."""

    @abstractmethod
    def references(self, size: int) -> dict[str, float]:
        """Returns the test score of every reference predictor, in the unit of `score`, on `size` examples."""

    def at(self, point: Mapping[str, Any]) -> Self:
        """Returns the task with other values in these fields; ValueError, with the remedy, where that is infeasible.

        Every task can be posed at exactly `length` tokens, whatever its fields are called.
        """
        return type(self).model_validate(dict(self) | dict(point))

    def at_length(self, length: int) -> Self:
        return self.at({"length": length})

    def batch(self, split: Split, index: int, size: int) -> Any:
        """Returns batch number `index` of a split; splits are disjoint streams."""
        return self.draw(stream(split, index), size)


class TokenTask(Task):
    """A task of tokens in and tokens out."""

    bottleneck: ClassVar[bool] = False  # whether every position is predicted from the last one's features alone

    @property
    @abstractmethod
    def vocabulary_size(self) -> int:
        """The number of distinct token ids, the size of the embedding and of the head."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, size: int) -> Batch:
        """Returns `size` fresh examples of the training distribution."""


class SyntheticTask(TokenTask):
    """A task whose answers follow from its tokens: scored by accuracy, with an oracle and shortcuts.

    Where a task is `partitioned`, its splits share no example at all: the digest of an example's tokens says which
    split it belongs to. That is for tasks small enough to draw an example twice.
    """

    score = "accuracy"
    partitioned: ClassVar[bool] = False

    @property
    def padding(self) -> int | None:
        """The token on the right of examples shorter than the batch, or None where there are none."""
        return None

    def batch(self, split: Split, index: int, size: int) -> Batch:
        """Returns batch number `index` of a split; ValueError if a partitioned task has no example of that split."""
        rng = stream(split, index)
        if not self.partitioned:
            return self.draw(rng, size)
        kept: list[Batch] = []
        missing = size
        for _ in range(100):
            batch = self.draw(rng, (4 if split == "train" else 12) * missing // 3 + 8)
            rows = torch.from_numpy(side_of(batch.tokens_BT.numpy(), padding=self.padding) == split).nonzero()[
                :missing, 0
            ]
            kept.append(Batch(batch.tokens_BT[rows], batch.targets_BT[rows]))
            missing -= len(rows)
            if not missing:
                return kept[0] if len(kept) == 1 else Batch(*map(torch.cat, zip(*kept, strict=True)))
        raise ValueError(
            f"{self.name} is so small here that none of its examples is of the {split} split: raise its length"
        )

    @abstractmethod
    def predictors(self, sample: Batch) -> dict[str, Predictor]:
        """Returns `oracle`, the best possible, and the task's shortcuts, which may be fitted on `sample`."""

    def references(self, size: int) -> dict[str, float]:
        """Returns the accuracy of `constant`, the best single answer, and of the predictors, fitted on train."""
        sample, test = self.batch("train", 0, size), self.batch("test", 0, size)
        predictors = {"constant": most_frequent(sample, torch.zeros_like, 1)} | self.predictors(sample)
        return {name: accuracy(predict(test.tokens_BT), test.targets_BT) for name, predict in predictors.items()}


class TextTask(TokenTask):
    """A task of predicting text: scored by the bits it takes to tell it, per byte, whatever the tokens are."""

    score = "bits_per_byte"

    @property
    @abstractmethod
    def token_bytes_N(self) -> Tensor:
        """The number of bytes of text, int64, that each token of the vocabulary stands for."""


def accuracy(predictions_BT: Tensor, targets_BT: Tensor) -> float:
    """Returns the fraction of labelled positions predicted right."""
    labelled = targets_BT != IGNORE
    return (predictions_BT[labelled] == targets_BT[labelled]).double().mean().item()


def most_frequent(sample: Batch, feature: Predictor, features: int) -> Predictor:
    """Returns the predictor of the target most frequent in `sample` given a feature_BT of the tokens, in [0, features).

    A feature that the sample lacks gets the target most frequent over all.
    """
    labelled = sample.labelled_BT
    targets = sample.targets_BT[labelled]
    answers = int(targets.max()) + 1
    cells = feature(sample.tokens_BT)[labelled] * answers + targets
    counts = cells.bincount(minlength=features * answers).view(features, answers)
    counts[counts.sum(1) == 0] = counts.sum(0)
    answer = counts.argmax(1)
    return lambda tokens_BT: answer[feature(tokens_BT)]
