"""What floors and ceilings score is a number of the task, and of nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from workflow.files import write
from workflow.plans import plan
from workflow.results import read_result
from workflow.runs import ReferenceRun, RunFile

ROOT = Path(__file__).parents[2]
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@pytest.fixture(scope="module")
def solved():
    """A run whose floors solve equations, in sums so long that threads would share them."""
    runs = [planned.run for planned in plan("forecasting", scale="smoke").runs]
    return next(run for run in runs if isinstance(run, ReferenceRun) and run.task.name == "narma")


def test_scores_are_to_the_bit_those_of_one_thread_whatever_the_environment_gives(solved, tmp_path):
    told = []
    for threads in ("1", "2"):  # as Snakemake gives a rule
        folder = tmp_path / threads
        write(folder / "run.json", RunFile(run=solved).model_dump_json())
        command = [sys.executable, "-m", "workflow.references", str(folder)]
        subprocess.run(command, cwd=ROOT, env=os.environ | dict.fromkeys(THREADS, threads), check=True)
        told.append(read_result(folder / "result.json").measurements)
    assert told[0] == told[1]
    assert {row.at["predictor"] for row in told[0]} >= {"linear", "mean"}
