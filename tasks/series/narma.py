"""NARMA-10: how far back, and how nonlinearly, does a model use what it reads?"""

from typing import Annotated, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from tasks.draws import Split
from tasks.series.linear import FITTED, applied, errors_of, last_values, least_squares, with_one
from tasks.series.series import Errors, SeriesBatch, SeriesTask

ORDER = 10
LONGEST = 1 << 16  # of longer sequences hardly any stays bounded
# Mean and deviation: of the input, which is uniform, exactly; of the output, after its transient, as measured on train.
INPUT = (0.25, 0.14433756729740643)
OUTPUT = (0.388, 0.1085)


class Narma(SeriesTask):
    """y_(t+1) = 0.3 y_t + 0.05 y_t (y_t + ... + y_(t-9)) + 1.5 u_(t-9) u_t + 0.1 (Atiya and Parlos 2000, IEEE TNN 11:697).

        length 12, washout 8, inputs that happen to be 0.2 throughout

        u            0.200  0.200  0.200  0.200  0.200  0.200  0.200  0.200  0.200  0.200  0.200  0.200
        y_(t+1)      0.100  0.131  0.141  0.145  0.147  0.149  0.151  0.152  0.154  0.216  0.241  0.252
        values       -0.35  -0.35  -0.35  -0.35  -0.35  -0.35  -0.35  -0.35  -0.35  -0.35  -0.35  -0.35
        targets          .      .      .      .      .      .      .      .  -2.15  -1.58  -1.36  -1.25

    Position t reads the input u_t, uniform in [0, 0.5), and its target is the output y_(t+1), both less their mean and in
    units of their deviation. Every example starts at rest, u and y zero before, so that what is read decides all targets;
    outputs are never read, the model has to carry them. The first `washout` positions are not labelled. The system
    diverges now and then: sequences whose output reaches 1 are discarded and others drawn in their place, 0.05 % at
    length 64 and 0.8 % at 512.
    """

    name: Literal["narma"]
    length: Annotated[int, Field(ge=1, le=LONGEST)]
    washout: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        if self.washout >= self.length:
            raise ValueError(
                f"washout {self.washout} leaves no position of length {self.length} to label: raise length to "
                f"{self.washout + 1} or lower washout"
            )
        return self

    @property
    def channels(self) -> int:
        return 1

    @property
    def outputs(self) -> int:
        return 1

    def draw(self, rng: np.random.Generator, size: int) -> SeriesBatch:
        kept: list[np.ndarray] = []
        missing = size
        while missing > 0:
            u_TB = 0.5 * rng.random((missing + missing // 16 + 1, self.length)).T
            y_TB = outputs(u_TB)
            bounded_B = (y_TB < 1).all(axis=0)
            kept.append(np.stack([u_TB, y_TB], axis=2)[:, bounded_B][:, :missing])
            missing -= kept[-1].shape[1]
        u_BT, y_BT = np.concatenate(kept, axis=1).transpose(2, 1, 0)
        return SeriesBatch(
            torch.from_numpy(_standardized(u_BT, INPUT)),
            torch.from_numpy(_standardized(y_BT, OUTPUT)),
            (torch.arange(self.length) >= self.washout).repeat(size, 1),
        )

    def errors(self, size: int) -> dict[str, Errors]:
        """`linear` is a regression on the last washout + 1 inputs, `product` knows u_(t-9) u_t as well, fitted on train."""

        def inputs(values_BTC: np.ndarray) -> np.ndarray:
            return with_one(last_values(values_BTC, self.washout + 1))

        def inputs_and_product(values_BTC: np.ndarray) -> np.ndarray:
            earlier_BTC = np.pad(values_BTC, ((0, 0), (ORDER - 1, 0), (0, 0)))[:, : self.length]
            product_N1 = (values_BTC * earlier_BTC)[:, self.washout :].reshape(-1, 1)
            return np.concatenate([inputs(values_BTC), product_N1], axis=1)

        values_BTC, wanted_N1 = self._float64("train", 1 + FITTED // (self.length - self.washout))
        weights = {
            name: (features, least_squares(features(values_BTC), wanted_N1))
            for name, features in {"linear": inputs, "product": inputs_and_product}.items()
        }
        values_BTC, wanted_N1 = self._float64("test", size)
        predictions = {name: applied(fitted, features, values_BTC) for name, (features, fitted) in weights.items()}
        predictions["mean"] = np.zeros_like(wanted_N1)
        return {name: errors_of(predicted_N1, wanted_N1) for name, predicted_N1 in predictions.items()}

    def _float64(self, split: Split, size: int) -> tuple[np.ndarray, np.ndarray]:
        values_BTC, targets_BTH, labelled_BT = self.batch(split, 0, size)
        return values_BTC.double().numpy(), targets_BTH[labelled_BT].double().numpy()


def outputs(u_TB: np.ndarray) -> np.ndarray:
    """Returns y_TB, at t what follows input t, of the system at rest before; 1 where it diverges."""
    earlier_TB = np.concatenate([np.zeros((ORDER, u_TB.shape[1])), u_TB])[1 : 1 + len(u_TB)]
    drive_TB = 1.5 * earlier_TB * u_TB + 0.1
    y_TB = np.zeros((ORDER + len(u_TB), u_TB.shape[1]))
    recent_B = np.zeros(u_TB.shape[1])  # the sum of the last ten outputs
    for t, drive_B in enumerate(drive_TB, start=ORDER):
        y_TB[t] = np.minimum((0.3 + 0.05 * recent_B) * y_TB[t - 1] + drive_B, 1)
        recent_B = recent_B + y_TB[t] - y_TB[t - ORDER]
    return y_TB[ORDER:]


def _standardized(values_BT: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    mean, deviation = scale
    return ((values_BT - mean) / deviation).astype(np.float32, order="C")[:, :, None]
