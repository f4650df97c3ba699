"""A small cohort that is trained in processes of its own, for those that disturb it."""

import hashlib
import json
import multiprocessing
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.workflow.test_training import folder_of, run_of
from workflow import checkpoints
from workflow.progress import Progress
from workflow.results import read_result
from workflow.runs import TrainingRun
from workflow.serving import work
from workflow.training.choice import Policy
from workflow.training.cohort import execute

_SETTINGS = {"optimizer.batch_size": 16, "evaluation.every_steps": 10, "evaluation.stop_accuracy": 0.3}

# Imports torch once, in a server that never runs anything, and forks from there: a kill costs no start of Python.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.workflow.test_training", "torch._dynamo"])


def members(settings: dict[str, Any]) -> list[TrainingRun]:
    """Returns runs of two learning rates and two seeds; in 120 steps both of the larger rate reach their goal early."""
    points = [{"optimizer.learning_rate": rate, "seed": seed} for rate in (0.003, 0.02) for seed in (1, 2)]
    return [run_of(_SETTINGS | settings | point) for point in points]


def cohort(folder: Path, runs: list[TrainingRun]) -> list[Path]:
    """Returns the folders of the runs, made anew."""
    return [folder_of(folder / f"run-{place}", run) for place, run in enumerate(runs)]


def train(folders: list[Path], *, policy: Policy, between_seconds: float) -> None:
    """Does what `python -m workflow.training` does, with checkpoints so many seconds apart."""
    checkpoints._SECONDS_BETWEEN = between_seconds
    progress = Progress(None, total=len(folders))
    work(folders, kind=TrainingRun, execute=partial(execute, policy=policy), progress=progress)


def begun(folders: list[Path], *, policy: Policy, between_seconds: float) -> BaseProcess:
    """Returns a process that trains, and has a process id of its own to be killed by."""
    process = PROCESSES.Process(
        target=train, args=(folders,), kwargs={"policy": policy, "between_seconds": between_seconds}
    )
    process.start()
    return process


def digest(folders: list[Path]) -> str:
    """Returns the SHA-256 of how every run ended and all that was measured of it."""
    results = [read_result(folder / "result.json") for folder in folders]
    told = [[result.status, [row.model_dump() for row in result.measurements]] for result in results]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()
