"""Whether the profiler adds anything to what it times: its samples against a bare loop over the same calls, in turn.

    python -m tests.benchmarks.profiler --length 256

`ratio` is the median of the profiler's samples over the median second per call of bare loops, by block: 1 but for noise.
"""

import argparse
import statistics
import time

import torch

from tests.benchmarks.loops import quartiles
from workflow.plans import plan
from workflow.profiling.sampling import seconds_of_call
from workflow.profiling.workloads import workload
from workflow.runs import ProfilingRun

_CALLS = 9  # of a block


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    runs: dict[str, ProfilingRun] = {}
    for planned in plan("cost", scale="quick").runs:
        if planned.run.phase == "train_step":
            runs.setdefault(planned.run.network.mixer.name, planned.run)
    for name, run in runs.items():
        ratios = compared(run.model_copy(update={"length": arguments.length}), rounds=arguments.rounds)
        first, median, third = quartiles(ratios)
        print(f"{name}: ratio {median:.3f} ({first:.3f} to {third:.3f})", flush=True)


def compared(run: ProfilingRun, *, rounds: int) -> list[float]:
    """Returns the profiler's median second per call over a bare loop's, of blocks that follow one another."""
    on = torch.device("cpu")
    work = workload(run, on=on)
    work.call()
    ratios = []
    for _ in range(rounds):
        profiled = statistics.median(seconds_of_call(work, run, on=on) for _ in range(_CALLS))
        bare = []
        for _ in range(_CALLS):
            started = time.perf_counter()
            work.call()
            bare.append(time.perf_counter() - started)
        ratios.append(profiled / statistics.median(bare))
    return ratios


if __name__ == "__main__":
    main()
