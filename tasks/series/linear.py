"""What a linear model predicts of a series: the reference that every network has to beat."""

from collections.abc import Callable, Iterable

import numpy as np

from tasks.series.series import Errors

FITTED = 1 << 15  # positions are enough for the few hundred weights of `least_squares`
_PENALTY = 1e-9  # of the mean square of a feature: it only keeps the equations solvable


def least_squares(features_NF: np.ndarray, targets_NO: np.ndarray) -> np.ndarray:
    """Returns weights_FO of the exact fit, which tells features apart that hardly differ, as those of a smooth series."""
    return np.linalg.lstsq(features_NF, targets_NO)[0]


def applied(weights_FO: np.ndarray, features: Callable[[np.ndarray], np.ndarray], values_BTC: np.ndarray) -> np.ndarray:
    """Returns predictions_NO, computed from a few examples at a time as their features take a lot of memory."""
    parts = np.array_split(values_BTC, 1 + values_BTC.shape[0] * values_BTC.shape[1] // FITTED)
    return np.concatenate([features(part_BTC) @ weights_FO for part_BTC in parts])


def ridge(parts: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Returns weights_FO of the fit to all parts taken together, no two of which have to be in memory at once."""
    gram_FF, cross_FO = 0, 0
    for features_NF, targets_NO in parts:
        gram_FF = gram_FF + features_NF.T @ features_NF
        cross_FO = cross_FO + features_NF.T @ targets_NO
    return np.linalg.solve(gram_FF + _PENALTY * np.trace(gram_FF) / len(gram_FF) * np.eye(len(gram_FF)), cross_FO)


def with_one(features_NF: np.ndarray) -> np.ndarray:
    """Returns the features and a constant, whose weight is the intercept."""
    return np.pad(features_NF, ((0, 0), (0, 1)), constant_values=1)


def last_values(values_BTC: np.ndarray, taps: int) -> np.ndarray:
    """Returns features_NF: of every position that has them, one after the other, the last `taps` values of each channel."""
    features_BTCK = np.lib.stride_tricks.sliding_window_view(values_BTC, taps, axis=1)
    return features_BTCK.reshape(-1, values_BTC.shape[2] * taps)


def errors_of(predictions: np.ndarray, targets: np.ndarray) -> Errors:
    difference = predictions - targets
    return Errors(float((difference * difference).mean()), float(np.abs(difference).mean()))
