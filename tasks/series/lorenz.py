"""The Lorenz system: chaos in three variables, all of them to be read or only one."""

from functools import lru_cache
from typing import Literal

import numpy as np

from tasks.draws import Split
from tasks.series.chaos import SAMPLES, ChaoticSeries, by_split, initial_states

STEP = 0.01  # of the integrator
EVERY = 2  # steps between two samples
_TRANSIENT = 1000  # samples that are discarded

# Mean and deviation of x, y and z on the attractor, measured on the train trajectories; x and y are symmetric about zero.
MEAN = (0.0, 0.0, 23.53)
DEVIATION = (7.92, 9.01, 8.64)


class Lorenz(ChaoticSeries):
    """x' = 10 (y - x), y' = x (28 - z) - y, z' = x y - 8/3 z (Lorenz 1963, J. Atmos. Sci. 20:130), sampled at 0.02.

        length 6, washout 3, ahead 2, observed x: the first window of test batch 0, which goes on with -0.41 and -0.48

        values    -0.18  -0.20  -0.23  -0.26  -0.30  -0.35
        targets      .      .      .   -0.09  -0.11  -0.13

    Of `xyz` the values read are the whole state and the past adds nothing; of `x` alone the state has to be inferred from
    the past. States that hardly differ do so e-fold in about 55 samples. Runge-Kutta of order 4 with step 0.01.
    """

    name: Literal["lorenz"]
    observed: Literal["x", "xyz"]

    @property
    def channels(self) -> int:
        return len(self.observed)

    def _trajectories(self) -> dict[Split, np.ndarray]:
        return {split: states_MNC[:, :, : self.channels] for split, states_MNC in standardized().items()}


@lru_cache
def standardized() -> dict[Split, np.ndarray]:
    unit_CM = initial_states(3)
    start_CM = np.array([[-10.0], [-10.0], [15.0]]) + 20 * unit_CM
    states_NCM = samples(start_CM, count=_TRANSIENT + SAMPLES)[_TRANSIENT:]
    return by_split((states_NCM - np.array(MEAN)[:, None]) / np.array(DEVIATION)[:, None])


def samples(state_CM: np.ndarray, *, count: int) -> np.ndarray:
    """Returns states_NCM at times 0, 0.02, ..., of the solutions that begin at `state_CM`."""
    found_NCM = np.empty((count, *state_CM.shape))
    for n in range(count):
        found_NCM[n] = state_CM
        for _ in range(EVERY):
            first = slope(state_CM)
            second = slope(state_CM + STEP / 2 * first)
            third = slope(state_CM + STEP / 2 * second)
            fourth = slope(state_CM + STEP * third)
            state_CM = state_CM + STEP / 6 * (first + 2 * (second + third) + fourth)
    return found_NCM


def slope(state_CM: np.ndarray) -> np.ndarray:
    x, y, z = state_CM
    return np.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])
