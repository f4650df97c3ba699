"""Forecasting: what a household, a city's air or a house will do next, from what it did."""

from typing import Annotated, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from tasks.draws import Split, integers, stream
from tasks.series.linear import errors_of, ridge, with_one
from tasks.series.recordings import RECORDINGS, Dataset, parts, read
from tasks.series.series import Errors, SeriesBatch, SeriesTask


class Forecasting(SeriesTask):
    """Read `length` values of one channel, predict the `horizon` that follow, as changes from the last value read.

        length 4, horizon 2, of the series 1 3 4 4 2 5

        values             1     3     4     4
        targets, dense     2 3   1 1   0 -2  -2 1
        targets, final     .     .     .     -2 1

    The protocol of long-term forecasting (Zhou et al. 2021, arXiv:2012.07436): 60, 20 and 20 % of the time are train,
    validation and test, values are in units of the train part's deviation, and the inputs, never the targets, of the
    first windows of a part are of the part before. Every channel is a series of its own (Nie et al. 2023,
    arXiv:2211.14730). Predicting changes is NLinear's normalization (Zeng et al. 2023, arXiv:2205.13504): nothing looks at
    the window as a whole, and the errors are those of the levels. A window is drawn uniformly from those of all
    channels, where those papers go through all in turn. `dense` labels every position in training, `final` the last;
    validation and test are always `final`.

    Missing values are the last known one's. Nothing is read before the first batch.
    """

    name: Literal["forecasting"]
    dataset: Dataset
    dataset_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    length: Annotated[int, Field(ge=1)]
    horizon: Annotated[int, Field(ge=1)]
    labels: Literal["final", "dense"]

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        member = RECORDINGS[self.dataset].member
        if self.dataset_sha256 != member.sha256:
            raise ValueError(
                f"dataset_sha256 {self.dataset_sha256} is not the digest of {self.dataset!r} in {member.pin}: "
                f"state {member.sha256}"
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
        return self._draw("train", rng, size, dense=self.labels == "dense")

    def batch(self, split: Split, index: int, size: int) -> SeriesBatch:
        """Returns windows whose targets lie in the split's own part."""
        return self._draw(split, stream(split, index), size, dense=split == "train" and self.labels == "dense")

    def windows(self, split: Split) -> np.ndarray:
        """Returns windows_CWN, a view: of each channel all windows of what is read and, after it, what is predicted."""
        train, validation, test = parts(self.dataset)
        bounds = {"train": (self.length, train), "validation": (train, validation), "test": (validation, test)}
        first, end = bounds[split]  # of what is predicted
        series_CN = read(self.dataset)[:, first - self.length : end]
        return np.lib.stride_tricks.sliding_window_view(series_CN, self.length + self.horizon, axis=1)

    def _draw(self, split: Split, rng: np.random.Generator, size: int, *, dense: bool) -> SeriesBatch:
        windows_CWN = self.windows(split)
        channels, windows, _ = windows_CWN.shape
        channel_B, place_B = np.divmod(integers(rng, channels * windows, (size,)), windows)
        window_BN = windows_CWN[channel_B, place_B]
        first = 0 if dense else self.length - 1  # of the labelled positions
        future_BTH = np.lib.stride_tricks.sliding_window_view(window_BN[:, first + 1 :], self.horizon, axis=1)
        targets_BTH = np.zeros((size, self.length, self.horizon), dtype=np.float32)
        np.subtract(
            future_BTH, window_BN[:, first : self.length, None], out=targets_BTH[:, first:], casting="same_kind"
        )
        return SeriesBatch(
            torch.from_numpy(window_BN[:, : self.length, None].astype(np.float32, order="C")),
            torch.from_numpy(targets_BTH),
            (torch.arange(self.length) >= first).repeat(size, 1),
        )

    def errors(self, size: int) -> dict[str, Errors]:
        """Returns the errors on all windows of the test split, whatever `size`.

        `last` predicts no change, `window_mean` the mean of what is read, `seasonal` that the last day is repeated (where
        one is read), `nlinear` is NLinear's linear map of the changes, fitted on all windows of the train split.
        """
        length, season = self.length, RECORDINGS[self.dataset].season

        def changes(window_WN: np.ndarray) -> np.ndarray:
            return window_WN - window_WN[:, length - 1 : length]

        def features(change_WN: np.ndarray) -> np.ndarray:
            return with_one(change_WN[:, :length])

        train = map(changes, self.windows("train"))
        weights_TH = ridge((features(change_WN), change_WN[:, length:]) for change_WN in train)
        by_channel: dict[str, list[Errors]] = {}
        for window_WN in self.windows("test"):
            values_WT, future_WH = window_WN[:, :length], window_WN[:, length:]
            predictions = {
                "mean": np.zeros((1, 1)),
                "last": values_WT[:, -1:],
                "window_mean": values_WT.mean(axis=1, keepdims=True),
                "nlinear": values_WT[:, -1:] + features(changes(window_WN)) @ weights_TH,
            }
            if length >= season:
                predictions["seasonal"] = values_WT[:, length - season + np.arange(self.horizon) % season]
            for name, predicted_WH in predictions.items():
                by_channel.setdefault(name, []).append(errors_of(predicted_WH, future_WH))
        return {name: Errors(*np.mean(errors, axis=0).tolist()) for name, errors in by_channel.items()}
