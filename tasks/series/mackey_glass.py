"""The Mackey-Glass equation: chaos by delay, whose state is a stretch of the past."""

from functools import lru_cache
from typing import Literal

import numpy as np

from tasks.draws import Split
from tasks.series.chaos import SAMPLES, ChaoticSeries, by_split, initial_states

_STEPS = 10  # of the integrator in a unit of time, which is the distance of two samples
_TRANSIENT = 2000  # units of time that are discarded, ten times what it takes to forget

Delay = Literal[17, 30]
# Mean and deviation of x on the attractor, measured on the train trajectories.
SCALE: dict[Delay, tuple[float, float]] = {17: (0.93, 0.2263), 30: (0.896, 0.28)}


class MackeyGlass(ChaoticSeries):
    """x' = 0.2 x_(t - delay) / (1 + x_(t - delay)^10) - 0.1 x (Mackey and Glass 1977, Science 197:287), sampled at 1.

        length 6, washout 3, ahead 2, delay 17: the first window of test batch 0, which goes on with -0.75 and -0.96

        values     0.69   0.43   0.17  -0.08  -0.31  -0.54
        targets      .      .      .   -0.47  -0.44  -0.41

    Delay 17 is mildly chaotic, 30 more so: states that hardly differ do so e-fold in about 200 and 140 units of time. The
    past of a trajectory is constant, 1.2 give or take 0.3. Runge-Kutta of order 4 with step 0.1; the delayed value half
    a step on is a cubic Hermite interpolant, where many implementations hold the delayed value for a whole step.
    """

    name: Literal["mackey-glass"]
    delay: Delay

    @property
    def channels(self) -> int:
        return 1

    def _trajectories(self) -> dict[Split, np.ndarray]:
        return standardized(self.delay)


@lru_cache
def standardized(delay: Delay) -> dict[Split, np.ndarray]:
    mean, deviation = SCALE[delay]
    past_M = 0.9 + 0.6 * initial_states(1)[0]
    x_NM = samples(past_M, delay=delay, count=_TRANSIENT + SAMPLES)[_TRANSIENT:]
    return by_split((x_NM[:, None] - mean) / deviation)


def samples(past_M: np.ndarray, *, delay: int, count: int) -> np.ndarray:
    """Returns x_NM at times 0 to count - 1, of the solutions that were constantly `past_M` until time 0."""
    step, lag = 1 / _STEPS, delay * _STEPS
    x_KM, slope_KM = np.tile(past_M, (lag + 1, 1)), np.zeros((lag + 1, len(past_M)))
    stretches = []
    for _ in range(-(-count // delay)):  # by the method of steps: of one delay, all that is delayed is known
        middle_KM = (x_KM[:-1] + x_KM[1:]) / 2 + step / 8 * (slope_KM[:-1] - slope_KM[1:])
        gain_KM, middle_gain_KM = gain(x_KM), gain(middle_KM)
        x_M = x_KM[-1]
        x_KM, slope_KM = np.empty_like(x_KM), np.empty_like(slope_KM)
        for k in range(lag):
            x_KM[k] = x_M
            slope_M = slope_KM[k] = gain_KM[k] - 0.1 * x_M
            second_M = middle_gain_KM[k] - 0.1 * (x_M + step / 2 * slope_M)
            third_M = middle_gain_KM[k] - 0.1 * (x_M + step / 2 * second_M)
            fourth_M = gain_KM[k + 1] - 0.1 * (x_M + step * third_M)
            x_M = x_M + step / 6 * (slope_M + 2 * (second_M + third_M) + fourth_M)
        x_KM[lag], slope_KM[lag] = x_M, gain_KM[lag] - 0.1 * x_M
        stretches.append(x_KM[:lag:_STEPS])
    return np.concatenate(stretches)[:count]


def gain(delayed: np.ndarray) -> np.ndarray:
    """Returns 0.2 x / (1 + x^10), the power by multiplication alone: its last bit is the same everywhere."""
    square = delayed * delayed
    fourth = square * square
    return 0.2 * delayed / (1 + fourth * fourth * square)
