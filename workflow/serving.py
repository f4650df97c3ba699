"""One process serves the runs of a cohort: each under a lock, once, and written whole. Shared by every kind of run."""

import argparse
import fcntl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from pydantic import ValidationError

from models.mixer import UnsupportedKernel
from workflow.checkpoints import Checkpoint
from workflow.files import write
from workflow.identity import run_id
from workflow.progress import Progress
from workflow.provenance import device, provenance
from workflow.results import Outcome, Result
from workflow.runs import Run, RunFile, Selected, TrainingRun
from workflow.selection import selected_rate


class Desk(NamedTuple):
    """What the process lays out for a run that is being executed."""

    folder: Path
    device: torch.device
    checkpoint: Checkpoint
    watch: Callable[[int, float], None]

    def learning_rate(self, run: TrainingRun) -> float:
        """Returns the learning rate of the run; one still to be selected is looked up in the results of its tuning runs."""
        rate = run.optimizer.learning_rate
        return selected_rate(rate, runs=self.folder.parent) if isinstance(rate, Selected) else rate


Execute = Callable[[Desk, Run], Outcome]


def serve(folders: list[Path], *, kind: type[Run], execute: Execute, watched: Path | None) -> None:
    """Leaves a `result.json` in every folder that has none; ValueError, before any work, if a `run.json` is not fit."""
    runs = {folder: read_run(folder, kind=kind) for folder in folders}
    progress = Progress(watched=watched, total=len(folders))
    for done, (folder, run) in enumerate(runs.items()):
        with _locked(folder):
            if (folder / "result.json").exists():
                continue
            for leftover in (*folder.glob(".result.json.*"), *folder.glob(".checkpoint.pt.*")):  # of a killed process
                leftover.unlink()
            started = time.monotonic()
            checkpoint = Checkpoint(folder / "checkpoint.pt")
            watch = progress.of(run, done=done)
            outcome = execute(Desk(folder, device(), checkpoint, watch), run)
            made = provenance(seconds=time.monotonic() - started, resumed=checkpoint.resumed)
            result = Result(id=run_id(run), run=run, **outcome._asdict(), provenance=made)
            write(folder / "result.json", result.model_dump_json(indent=1) + "\n")
            checkpoint.remove()


def read_run(folder: Path, *, kind: type[Run]) -> Run:
    """Returns the run of a folder. A folder named as a run must hold just that run, so that its name stays the truth."""
    path = folder / "run.json"
    if not path.exists():
        raise ValueError(f"{path} is missing: a run folder holds the run's specification in run.json")
    try:
        run = RunFile.model_validate_json(path.read_text(encoding="utf-8")).run
    except ValidationError as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from None
    if not isinstance(run, kind):
        raise ValueError(f"{path} is a {run.kind} run, not one for this command")
    if folder.resolve().parent.name == "runs" and folder.resolve().name != run_id(run):
        raise ValueError(
            f"{folder} is not named after its run ({run_id(run)}): the specification or the code changed since. "
            "Plan again with snakemake, or try the run in a folder of your own outside results/runs"
        )
    return run


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds the folder for this process; another one waits. The lock dies with its process, however that ends."""
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main(kind: type[Run], execute: Execute) -> None:
    """The command line of every kind of run."""
    parser = argparse.ArgumentParser(
        description=f"Execute {kind.__name__}s and leave a result.json beside each run.json."
    )
    parser.add_argument("folders", nargs="+", type=Path, help="run folders, each with a run.json")
    parser.add_argument(
        "--watch", type=Path, help="folder of a scale, as results/quick, to tell the time left for all of it"
    )
    arguments = parser.parse_args()
    if device().type == "cpu":
        torch.set_num_threads(1)
    try:
        serve(arguments.folders, kind=kind, execute=execute, watched=arguments.watch)
    except (ValueError, UnsupportedKernel) as error:
        sys.exit(f"error: {error}")
