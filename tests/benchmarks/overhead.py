"""What share of a quick run's time is neither a step's forward, backward and optimizer nor the forward of an evaluation.

    python -m tests.benchmarks.overhead --experiment recall

Counts from the drawing of the weights to the outcome: making batches, schedules, counting scores, checkpoints. The start of
Python and torch, which a cohort shares, comes apart. `ratio` is that share.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import torch

from workflow import batches, evaluation
from workflow.checkpoints import Checkpoint
from workflow.plans import plan
from workflow.runs import TrainingRun
from workflow.training.alone import Alone, drawn
from workflow.training.loop import Trainee, Training


class Stopwatch:
    """Adds up the seconds spent in a function."""

    def __init__(self, function: Callable[..., object]):
        self.seconds, self._function = 0.0, function

    def __call__(self, *arguments: object, **named: object) -> object:
        started = time.perf_counter()
        try:
            return self._function(*arguments, **named)
        finally:
            self.seconds += time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiment", default="recall")
    parser.add_argument("--scale", default="quick")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tuning = [
        planned.run for planned in plan(arguments.experiment, scale=arguments.scale).runs if planned.role == "tune"
    ]
    runs: dict[str, TrainingRun] = {}
    for run in tuning:
        runs.setdefault(run.network.mixer.model_dump_json(), run)
    for run in runs.values():
        taken(run)  # reads the corpus and pages in the code
        whole, computing, making = taken(run)
        share = (whole - computing) / whole
        print(
            f"{arguments.experiment}, {run.network.mixer.name}: {whole:.1f} s, ratio {share:.3f}, "
            f"of which making batches {making / whole:.3f}",
            flush=True,
        )


def taken(run: TrainingRun) -> tuple[float, float, float]:
    """Returns the seconds of a run, those of its steps and evaluations proper, and those of making batches."""
    rate = 0.003
    advance, predict = Stopwatch(Alone.advance), Stopwatch(evaluation.predictions)
    make, again = Stopwatch(batches.Supply.at), Stopwatch(evaluation.batch_of)
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(Alone, "advance", lambda *a, **k: advance(*a, **k)),
        patch.object(batches.Supply, "at", lambda *a: make(*a)),
        patch.object(evaluation, "predictions", predict),
        patch.object(evaluation, "batch_of", again),
    ):
        started = time.perf_counter()
        program = Alone(run, drawn(run, device=torch.device("cpu")), learning_rate=rate)
        trainee = Trainee("it", run, rate, Checkpoint(Path(folder)), lambda *told: None)
        for _ in Training(program, {0: trainee}, company=["it"], device=torch.device("cpu")).outcomes():
            pass
        whole = time.perf_counter() - started
    return whole, advance.seconds + predict.seconds, make.seconds + again.seconds


if __name__ == "__main__":
    main()
