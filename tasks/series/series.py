"""The contract of the real-valued tasks: the address is that of every task, the tokens are vectors."""

from abc import abstractmethod
from typing import NamedTuple

import numpy as np
from torch import Tensor

from tasks.task import Task


class SeriesBatch(NamedTuple):
    values_BTC: Tensor  # float32: what is read
    targets_BTH: Tensor  # float32: what to predict at each position
    labelled_BT: Tensor  # bool: the positions that are trained and scored

    @property
    def inputs(self) -> Tensor:
        return self.values_BTC

    @property
    def targets(self) -> Tensor:
        return self.targets_BTH


class Errors(NamedTuple):
    mse: float
    mae: float


class SeriesTask(Task):
    """A task of real numbers in and out, scored by the mean squared error, in units of the series' deviation."""

    score = "mse"

    @property
    @abstractmethod
    def channels(self) -> int:
        """How many numbers are read at each position."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """How many numbers are predicted at each labelled position."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, size: int) -> SeriesBatch:
        """Returns `size` fresh examples of the training distribution."""

    @abstractmethod
    def errors(self, size: int) -> dict[str, Errors]:
        """Returns the test errors of every reference predictor on `size` examples; `mean`, a constant, is one of them."""

    def references(self, size: int) -> dict[str, float]:
        return {name: errors.mse for name, errors in self.errors(size).items()}
