"""Chaotic series: what the tasks on a deterministic system share, windows of long trajectories."""

from abc import abstractmethod
from typing import Annotated, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from tasks.draws import Split, integers, stream
from tasks.series.linear import FITTED, applied, errors_of, last_values, least_squares, with_one
from tasks.series.series import Errors, SeriesBatch, SeriesTask

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
TRAJECTORIES = 128  # of each split, each from an initial state of its own
SAMPLES = 2048  # of each trajectory, after the transient
_INITIAL = 2**63  # the address of the initial states, beyond that of any batch


class ChaoticSeries(SeriesTask):
    """Position t reads x_t; its target is x_(t + ahead) - x_t, the change from what is read there.

    A window is drawn uniformly from all windows of the split's trajectories. Values are in units of the attractor's
    deviation from its mean. The first `washout` positions are read but not labelled: a value alone is not the state.
    """

    length: Annotated[int, Field(ge=1)]
    washout: Annotated[int, Field(ge=0)]
    ahead: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        if self.washout >= self.length:
            raise ValueError(
                f"washout {self.washout} leaves no position of length {self.length} to label: raise length to "
                f"{self.washout + 1} or lower washout"
            )
        if self.length + self.ahead > SAMPLES:
            raise ValueError(
                f"length {self.length} and ahead {self.ahead} exceed a trajectory of {SAMPLES} values: "
                f"lower their sum to {SAMPLES}"
            )
        return self

    @property
    def outputs(self) -> int:
        return self.channels

    @abstractmethod
    def _trajectories(self) -> dict[Split, np.ndarray]:
        """Returns float64 x_MNC of each split: M trajectories of N values, in units of the deviation."""

    def draw(self, rng: np.random.Generator, size: int) -> SeriesBatch:
        return self._windows("train", rng, size)

    def batch(self, split: Split, index: int, size: int) -> SeriesBatch:
        """Returns windows of the split's own trajectories."""
        return self._windows(split, stream(split, index), size)

    def _windows(self, split: Split, rng: np.random.Generator, size: int) -> SeriesBatch:
        trajectory_B1 = integers(rng, TRAJECTORIES, (size, 1))
        start_B1 = integers(rng, SAMPLES - self.length - self.ahead + 1, (size, 1))
        window_BTC = self._trajectories()[split][trajectory_B1, start_B1 + np.arange(self.length + self.ahead)]
        values_BTC = window_BTC[:, : self.length]
        changes_BTC = window_BTC[:, self.ahead :] - values_BTC
        return SeriesBatch(
            torch.from_numpy(values_BTC.astype(np.float32, order="C")),
            torch.from_numpy(changes_BTC.astype(np.float32)),
            (torch.arange(self.length) >= self.washout).repeat(size, 1),
        )

    def errors(self, size: int) -> dict[str, Errors]:
        """`last` predicts no change, `linear` is a regression on the last washout + 1 values, fitted on train."""

        def features(values_BTC: np.ndarray) -> np.ndarray:
            return with_one(last_values(values_BTC, self.washout + 1))

        def labelled(values_BTC: np.ndarray) -> np.ndarray:
            return values_BTC[:, self.washout :].reshape(-1, self.channels)

        values_BTC, changes_BTC = self._float64("train", 1 + FITTED // (self.length - self.washout))
        weights_FC = least_squares(features(values_BTC), labelled(changes_BTC))
        values_BTC, changes_BTC = self._float64("test", size)
        changes_NC = labelled(changes_BTC)
        predictions = {
            "mean": -labelled(values_BTC),
            "last": np.zeros_like(changes_NC),
            "linear": applied(weights_FC, features, values_BTC),
        }
        return {name: errors_of(predicted_NC, changes_NC) for name, predicted_NC in predictions.items()}

    def _float64(self, split: Split, size: int) -> tuple[np.ndarray, np.ndarray]:
        values_BTC, changes_BTC, _ = self.batch(split, 0, size)
        return values_BTC.double().numpy(), changes_BTC.double().numpy()


def initial_states(channels: int) -> np.ndarray:
    """Returns float64 (channels, M), uniform in [0, 1): the splits' trajectories one after the other, as `SPLITS`."""
    drawn = [stream(split, _INITIAL).random((channels, TRAJECTORIES)) for split in SPLITS]
    return np.concatenate(drawn, axis=1)


def by_split(states_NCM: np.ndarray) -> dict[Split, np.ndarray]:
    """Returns x_MNC of each split, read-only as it is shared, from the trajectories that began at `initial_states`."""
    states_MNC = np.ascontiguousarray(states_NCM.transpose(2, 0, 1))
    states_MNC.flags.writeable = False
    return dict(zip(SPLITS, np.split(states_MNC, len(SPLITS)), strict=True))
