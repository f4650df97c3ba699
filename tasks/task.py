"""The contract every task keeps: an endless, addressable supply of batches, and references for a model's score."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict
from torch import Tensor

IGNORE = -100  # the target of a position that is neither trained nor scored

Split = Literal["train", "validation", "test"]
_STREAM: dict[Split, int] = {"train": 0, "validation": 1, "test": 2}

Predictor = Callable[[Tensor], Tensor]  # tokens_BT -> the predicted target at every position, _BT


class Batch(NamedTuple):
    tokens_BT: Tensor  # int64, in [0, vocabulary_size)
    targets_BT: Tensor  # int64: the token to predict at each position, or IGNORE


class Task(BaseModel, ABC):
    """A task is its own configuration; `batch` depends on that, the split, the index, the size, and on nothing else."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    score: ClassVar[Literal["accuracy", "bits_per_byte"]]

    @property
    @abstractmethod
    def vocabulary_size(self) -> int:
        """The number of distinct token ids, the size of the embedding and of the head."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, size: int) -> Batch:
        """Returns `size` fresh examples of the training distribution."""

    @abstractmethod
    def at_length(self, length: int) -> Self:
        """Returns the task posed at exactly `length` tokens; ValueError, with the remedy, where that is infeasible."""

    @abstractmethod
    def references(self, size: int) -> dict[str, float]:
        """Returns the test score of every reference predictor, in the unit of `score`, on `size` examples."""

    def batch(self, split: Split, index: int, size: int) -> Batch:
        """Returns batch number `index` of a split; splits are disjoint streams, though tiny tasks repeat examples."""
        return self.draw(stream(split, index), size)


class SyntheticTask(Task):
    """A task whose answers follow from its tokens: scored by accuracy, with an oracle and shortcuts."""

    score = "accuracy"

    @abstractmethod
    def predictors(self, sample: Batch) -> dict[str, Predictor]:
        """Returns `oracle`, the best possible, and the task's shortcuts, which may be fitted on `sample`."""

    def references(self, size: int) -> dict[str, float]:
        """Returns the accuracy of `constant`, the best single answer, and of the predictors, fitted on train."""
        sample, test = self.batch("train", 0, size), self.batch("test", 0, size)
        predictors = {"constant": most_frequent(sample, torch.zeros_like, 1)} | self.predictors(sample)
        return {name: accuracy(predict(test.tokens_BT), test.targets_BT) for name, predict in predictors.items()}


def accuracy(predictions_BT: Tensor, targets_BT: Tensor) -> float:
    """Returns the fraction of labelled positions predicted right."""
    labelled = targets_BT != IGNORE
    return (predictions_BT[labelled] == targets_BT[labelled]).double().mean().item()


def most_frequent(sample: Batch, feature: Predictor, features: int) -> Predictor:
    """Returns the predictor of the target most frequent in `sample` given a feature_BT of the tokens, in [0, features).

    A feature that the sample lacks gets the target most frequent over all.
    """
    labelled = sample.targets_BT != IGNORE
    targets = sample.targets_BT[labelled]
    answers = int(targets.max()) + 1
    cells = feature(sample.tokens_BT)[labelled] * answers + targets
    counts = cells.bincount(minlength=features * answers).view(features, answers)
    counts[counts.sum(1) == 0] = counts.sum(0)
    answer = counts.argmax(1)
    return lambda tokens_BT: answer[feature(tokens_BT)]


def stream(split: Split, index: int) -> np.random.Generator:
    """Returns the generator at an address; PCG64 by name, because what `default_rng` stands for may change."""
    return np.random.Generator(np.random.PCG64([_STREAM[split], index]))


def integers(rng: np.random.Generator, bound: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    """Returns int64 of `shape`, uniform in [0, bound).

    Tasks draw by `Generator.random` alone, the 53 leading bits of each raw draw, because NEP 19 guarantees raw draws
    only: `integers`, `permutation` and `choice` may change in any numpy release, and every batch with them.
    """
    return (rng.random(shape) * bound).astype(np.int64)
