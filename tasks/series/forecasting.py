"""Forecasting: what a household, a city's air or a house will do next, from what it did."""

from functools import lru_cache
from typing import Annotated, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from tasks.draws import Split, integers, permutations, stream
from tasks.series.linear import errors_of, ridge, with_one
from tasks.series.recordings import RECORDINGS, Dataset, parts, read
from tasks.series.series import Errors, SeriesBatch, SeriesTask

_ORDER = 0x0D0E  # of the windows of validation and test
_TOGETHER = 4096  # windows predicted at a time


class Forecasting(SeriesTask):
    """Read `length` values of one channel, predict the `horizon` that follow, as changes from the last value read.

        length 4, horizon 2, of the series 1 3 4 4 2 5

        values             1     3     4     4
        targets, dense     2 3   1 1   0 -2  -2 1
        targets, final     .     .     .     -2 1
        values, relative  -3    -1     0     0

    The protocol of long-term forecasting (Zhou et al. 2021, arXiv:2012.07436): 60, 20 and 20 % of the time are train,
    validation and test, values are in units of the train part's deviation, and the inputs, never the targets, of the
    first windows of a part are of the part before. Every channel is a series of its own (Nie et al. 2023,
    arXiv:2211.14730). Predicting changes is NLinear's normalization (Zeng et al. 2023, arXiv:2205.13504): nothing looks at
    the window as a whole, and the errors are those of the levels. What is `read` may be relative to the last value too, as
    in NLinear: then only the last position can be labelled. `dense` labels every position in training, `final` the last;
    validation and test are always `final`.

    A window of training is drawn uniformly from those of all channels. Of validation and test, batch after batch of one
    size goes through all windows in a fixed random order, so a network and the references see the same windows: single
    windows, of a storm say, can weigh as much as hundreds of others.

    Missing values are the last known one's. Nothing is read before the first batch.
    """

    name: Literal["forecasting"]
    dataset: Dataset
    dataset_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    length: Annotated[int, Field(ge=1)]
    horizon: Annotated[int, Field(ge=1)]
    labels: Literal["final", "dense"]
    reads: Literal["levels", "relative"]

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        member = RECORDINGS[self.dataset].member
        if self.dataset_sha256 != member.sha256:
            raise ValueError(
                f"dataset_sha256 {self.dataset_sha256} is not the digest of {self.dataset!r} in {member.pin}: "
                f"state {member.sha256}"
            )
        if self.reads == "relative" and self.labels == "dense":
            raise ValueError(
                "reads 'relative' is to the last value, unknown before it: set labels to final or reads to levels"
            )
        train, validation, test = parts(self.dataset)
        shortest = min(validation - train, test - validation)
        if self.horizon > shortest:
            raise ValueError(
                f"horizon {self.horizon} exceeds the {shortest} steps of {self.dataset!r} to predict: "
                f"lower horizon to {shortest}"
            )
        if self.length + self.horizon > train:
            raise ValueError(
                f"length {self.length} and horizon {self.horizon} exceed the {train} steps of {self.dataset!r} to "
                f"train on: lower length to {train - self.horizon}, or lower horizon"
            )
        return self

    @property
    def channels(self) -> int:
        return 1

    @property
    def outputs(self) -> int:
        return self.horizon

    def draw(self, rng: np.random.Generator, size: int) -> SeriesBatch:
        windows_CWN = self.windows("train")
        return self._batch(windows_CWN, integers(rng, windows_CWN[..., 0].size, (size,)), dense=self.labels == "dense")

    def batch(self, split: Split, index: int, size: int) -> SeriesBatch:
        """Returns windows whose targets lie in the split's own part."""
        if split == "train":
            return self.draw(stream(split, index), size)
        windows_CWN = self.windows(split)
        return self._batch(windows_CWN, _places(windows_CWN[..., 0].size, index * size, size), dense=False)

    def windows(self, split: Split) -> np.ndarray:
        """Returns windows_CWN, a view: of each channel all windows of what is read and, after it, what is predicted."""
        train, validation, test = parts(self.dataset)
        bounds = {"train": (self.length, train), "validation": (train, validation), "test": (validation, test)}
        first, end = bounds[split]  # of what is predicted
        series_CN = read(self.dataset)[:, first - self.length : end]
        return np.lib.stride_tricks.sliding_window_view(series_CN, self.length + self.horizon, axis=1)

    def _batch(self, windows_CWN: np.ndarray, place_B: np.ndarray, *, dense: bool) -> SeriesBatch:
        window_BN = windows_CWN[np.divmod(place_B, windows_CWN.shape[1])]
        size, first = len(place_B), 0 if dense else self.length - 1  # of the labelled positions
        future_BTH = np.lib.stride_tricks.sliding_window_view(window_BN[:, first + 1 :], self.horizon, axis=1)
        targets_BTH = np.zeros((size, self.length, self.horizon), dtype=np.float32)
        np.subtract(
            future_BTH, window_BN[:, first : self.length, None], out=targets_BTH[:, first:], casting="same_kind"
        )
        values_BT = window_BN[:, : self.length]
        if self.reads == "relative":
            values_BT = values_BT - values_BT[:, -1:]
        return SeriesBatch(
            torch.from_numpy(values_BT[:, :, None].astype(np.float32, order="C")),
            torch.from_numpy(targets_BTH),
            (torch.arange(self.length) >= first).repeat(size, 1),
        )

    def errors(self, size: int) -> dict[str, Errors]:
        """Returns the errors on the first `size` windows of the test split, those of batch 0 of that size; on all if fewer.

        `last` predicts no change, `window_mean` the mean of what is read, `seasonal` that the last day is repeated (where
        one is read), `nlinear` is NLinear's linear map of the changes, fitted on all windows of the train split.
        """
        length, season = self.length, RECORDINGS[self.dataset].season
        weights_TH = _nlinear(self)
        windows_CWN = self.windows("test")
        windows = windows_CWN[..., 0].size
        sums: dict[str, np.ndarray] = {}
        size = min(size, windows)
        for place_B in np.array_split(_places(windows, 0, size), 1 + size // _TOGETHER):
            window_BN = windows_CWN[np.divmod(place_B, windows_CWN.shape[1])]
            values_BT, future_BH = window_BN[:, :length], window_BN[:, length:]
            predictions = {
                "mean": np.zeros((1, 1)),
                "last": values_BT[:, -1:],
                "window_mean": values_BT.mean(axis=1, keepdims=True),
                "nlinear": values_BT[:, -1:] + _features(values_BT) @ weights_TH,
            }
            if length >= season:
                predictions["seasonal"] = values_BT[:, length - season + np.arange(self.horizon) % season]
            for name, predicted_BH in predictions.items():
                errors = np.array(errors_of(predicted_BH, future_BH)) * len(place_B)
                sums[name] = sums.get(name, 0) + errors
        return {name: Errors(*(errors / size).tolist()) for name, errors in sums.items()}


@lru_cache(maxsize=8)
def _order(windows: int) -> np.ndarray:
    return permutations(np.random.Generator(np.random.PCG64(_ORDER)), windows, 1)[0]


def _places(windows: int, first: int, count: int) -> np.ndarray:
    """Returns which windows are `first` to before `first + count` in a fixed random order, begun again at its end."""
    return _order(windows)[np.arange(first, first + count) % windows]


def _features(values_BT: np.ndarray) -> np.ndarray:
    return with_one(values_BT - values_BT[:, -1:])


def _nlinear(task: Forecasting) -> np.ndarray:
    """Returns weights_TH, fitted on all windows of the train split."""
    parts_CWN = task.windows("train")
    length = task.length
    return ridge((_features(part[:, :length]), part[:, length:] - part[:, length - 1 : length]) for part in parts_CWN)
