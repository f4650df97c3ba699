"""What making the data costs: the time of one batch of every task of an experiment, as a share of a training step on it.

    python -m tests.benchmarks.generation --experiment recall --scale quick

Both are timed in turn, in one thread, on the batches of the experiment; the step is that of its fastest network. Prints the
fastest of some rounds of each, in milliseconds, and their ratio.
"""

import argparse
import time

import torch

from workflow.planfile import SCALES
from workflow.plans import plan, reproduced_names
from workflow.runs import TrainingRun
from workflow.training.alone import Alone, drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--experiment", nargs="*", default=reproduced_names(), help="all of them, if none is named")
    parser.add_argument("--scale", choices=SCALES, default="quick")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.experiment:
        runs = [planned.run for planned in plan(name, scale=arguments.scale).runs if planned.role == "confirm"]
        tasks = {run.task.model_dump_json(): run.task for run in runs}
        for told, task in tasks.items():
            alike = [run for run in runs if run.task.model_dump_json() == told]
            by_network = {run.network.model_dump_json(): run for run in alike}
            made, step = timed(list(by_network.values()), rounds=arguments.rounds)
            said = f"{name}, {task.name}: a batch {made * 1e3:.2f} ms, a step {step * 1e3:.2f} ms"
            print(f"{said}, ratio {made / step:.3f}", flush=True)


def timed(runs: list[TrainingRun], *, rounds: int) -> tuple[float, float]:
    """Returns the seconds of making a batch and of the rest of a training step, of the fastest network."""
    device = torch.device("cpu")
    making, stepping = [], []
    for run in runs:
        program = Alone(run, drawn(run, device=device), learning_rate=1e-3)
        for index in range(rounds + 1):
            started = time.perf_counter()
            run.task.batch("train", index, run.optimizer.batch_size)
            between = time.perf_counter()
            program.step(index)
            ended = time.perf_counter()
            if index:  # the first of each warms up, and reads the corpus
                making.append(between - started)
                stepping.append(ended - between)
    return min(making), min(stepping)


if __name__ == "__main__":
    main()
