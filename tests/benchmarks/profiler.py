"""Whether the profiler adds anything to what it times: its samples against a bare loop over the same calls, in turn.

    python -m tests.benchmarks.profiler --length 256

`ratio` is the median of the profiler's samples over the median second of bare calls, which take turns call by call, with the
95 % percentile interval over resampled pairs: 1 but for noise.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from workflow.plans import plan
from workflow.profiling.sampling import seconds_of_call
from workflow.profiling.workloads import workload
from workflow.runs import ProfilingRun

_RESAMPLES = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=400)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    runs: dict[str, ProfilingRun] = {}
    for planned in plan("cost", scale="quick").runs:
        if planned.run.phase == "train_step":
            runs.setdefault(planned.run.network.mixer.name, planned.run)
    for name, run in runs.items():
        seconds = compared(run.model_copy(update={"length": arguments.length}), pairs=arguments.pairs)
        ratio, low, high = told(seconds)
        print(f"{name}: ratio {ratio:.3f} ({low:.3f} to {high:.3f})", flush=True)


def compared(run: ProfilingRun, *, pairs: int) -> np.ndarray:
    """Returns pairs of seconds, the profiler's and a bare call's; which of the two comes first alternates."""
    on = torch.device("cpu")
    work = workload(run, on=on)
    ways = [lambda: seconds_of_call(work, run, on=on), lambda: _bare(work.call)]
    for way in ways:
        way()
    seconds = np.empty((pairs, 2))
    for pair in range(pairs):
        for which in (0, 1) if pair % 2 else (1, 0):
            seconds[pair, which] = ways[which]()
    return seconds


def told(seconds: np.ndarray) -> tuple[float, float, float]:
    """Returns the ratio of the medians and its interval."""
    rng = np.random.default_rng(0)
    drawn = seconds[rng.integers(len(seconds), size=(_RESAMPLES, len(seconds)))]
    profiled, bare = np.median(drawn, axis=1).T
    low, high = np.quantile(profiled / bare, [0.025, 0.975])
    profiled, bare = np.median(seconds, axis=0)
    return float(profiled / bare), float(low), float(high)


def _bare(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
