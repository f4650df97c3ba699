"""One process serves the runs of a cohort: each held by a lease, once, and written whole. Shared by every kind of run."""

import argparse
import errno
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from pydantic import ValidationError

from models.mixer import UnsupportedKernel
from workflow import interruption
from workflow.checkpoints import Checkpoint
from workflow.files import write
from workflow.identity import run_id
from workflow.leases import Leases, LostLease, visible
from workflow.processes import joined, led, processes
from workflow.progress import Progress
from workflow.provenance import device, provenance
from workflow.results import Measurement, Outcome, Result
from workflow.runs import ProfilingRun, ReferenceRun, Run, RunFile, Selected, TrainingRun


class Desk(NamedTuple):
    """A run that is being executed, and what the process lays out for it."""

    run: Run
    folder: Path
    device: torch.device
    checkpoint: Checkpoint
    watch: Callable[[int, float, list[Measurement]], None]


class Ended(NamedTuple):
    """How a run ended, in how many seconds of its own, and in how large a company."""

    desk: Desk
    outcome: Outcome
    seconds: float
    company: int


Execute = Callable[[list[Desk]], Iterator[Ended]]

_PLAIN_ERRORS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.ENOMEM,
)
_WHOLE = "what was saved before is whole, call again"


def serve(folders: list[Path], *, kind: type[Run], execute: Execute, progress: Progress) -> None:
    """Leaves a `result.json` in every folder that has none; ValueError, before any work, if a `run.json` is not fit.

    Of several processes the first holds the folders and writes; all go through the same runs in the same order.
    """
    runs = {folder: read_run(folder, kind=kind) for folder in dict.fromkeys(folders)}
    for folder, run in runs.items():
        _refuse_uneven(folder, run)
    with Leases() as leases:
        for group in _alike(runs):
            left = led(partial(_left, group, leases))
            progress.passed(len(group) - len(left))
            desks = [_desk(folder, runs[folder], progress, leases) for folder in left]
            for ended in execute(desks) if desks else ():
                _conclude(ended, leases)
                progress.passed(1)
            for folder in group:  # also of runs that had their results: their process may have been killed before this
                for spent in _spent(folder, runs[folder]):
                    led(Checkpoint(spent / "checkpoints").remove)
                leases.let_go(folder, done=True)


def _spent(folder: Path, run: Run) -> list[Path]:
    """Returns the folders whose checkpoints are of no more use once the run has its result.

    Its own, unless another run may go on from there, and those of the runs among which it was selected to go on.
    """
    if not isinstance(run, TrainingRun):
        return [folder]
    rate = run.optimizer.learning_rate
    before = [folder.parent / name for name in rate.best_of] if isinstance(rate, Selected) else []
    return before if run.optimizer.until is not None else [folder, *before]


def _left(group: list[Path], leases: Leases) -> list[Path]:
    """Takes the folders and returns those that have no result."""
    done = {folder: leases.take(folder) for folder in sorted(group)}  # sorted, so that no two wait for each other
    results = {folder: folder / "result.json" for folder in group}
    return [folder for folder, path in results.items() if not (visible(path) if done[folder] else path.exists())]


def _refuse_uneven(folder: Path, run: Run) -> None:
    """Raises ValueError if the processes cannot have equal parts of the run."""
    count = processes().count
    if count == 1:
        return
    if not isinstance(run, TrainingRun):
        raise ValueError(
            f"{folder} is a {run.kind} run: only training is spread over processes, call it without torchrun"
        )
    micro = run.execution.micro_batch or 1
    if run.optimizer.batch_size % (count * micro):
        parts = f"{count} processes" + f" x execution.micro_batch={micro}" * (micro > 1)
        raise ValueError(f"{folder}: optimizer.batch_size={run.optimizer.batch_size} is no multiple of {parts}")


def one_by_one(execute: Callable[[Desk], Outcome]) -> Execute:
    """Returns what executes runs of a kind that never share a program."""

    def each(desks: list[Desk]) -> Iterator[Ended]:
        for desk in desks:
            interruption.check()
            started = time.monotonic()
            yield Ended(desk, execute(desk), time.monotonic() - started, 1)

    return each


def _alike(runs: dict[Path, Run]) -> list[list[Path]]:
    """Returns the folders whose runs may be executed together, group by group.

    Of training those that differ in learning rate and seed only, of profiling those that differ in the network only.
    """
    groups: dict[object, list[Path]] = {}
    for folder, run in runs.items():
        groups.setdefault(folder if isinstance(run, ReferenceRun) else _shape(run), []).append(folder)
    return list(groups.values())


def _shape(run: TrainingRun | ProfilingRun) -> str:
    if isinstance(run, ProfilingRun):
        return run.model_dump_json(exclude={"network"})
    optimizer = run.optimizer.model_copy(update={"learning_rate": 1.0})
    return run.model_copy(update={"seed": 0, "optimizer": optimizer}).model_dump_json()


def _desk(folder: Path, run: Run, progress: Progress, leases: Leases) -> Desk:
    checkpoint = Checkpoint(folder / "checkpoints", check=partial(leases.check, folder))
    led(partial(_sweep, folder, checkpoint))
    watch = progress.of(run, folder) if processes().leads else _unwatched
    return Desk(run, folder, device(), checkpoint, watch)


def _sweep(folder: Path, checkpoint: Checkpoint) -> None:
    """Deletes what a killed process was writing."""
    for leftover in folder.glob(".result.json.*"):
        leftover.unlink()
    checkpoint.sweep()


def _unwatched(_: int, __: float, ___: list[Measurement]) -> None:
    pass


def _conclude(ended: Ended, leases: Leases) -> None:
    """Writes the result of a run.

    Where memory runs out on one of several processes, the others wait for it inside a step: it writes, and ends them.
    """
    if processes().count > 1 and ended.outcome.status == "out_of_memory":
        _write_result(ended, leases)
        sys.exit(
            f"error: {ended.desk.folder}: memory ran out on process {processes().rank}, which is the run's result now; "
            "call again for the runs that are left"
        )
    led(partial(_write_result, ended, leases))


def _write_result(ended: Ended, leases: Leases) -> None:
    desk = ended.desk
    leases.check(desk.folder)
    made = provenance(seconds=ended.seconds, resumed=desk.checkpoint.resumed, company=ended.company)
    result = Result(id=run_id(desk.run), run=desk.run, **ended.outcome._asdict(), provenance=made)
    write(desk.folder / "result.json", result.model_dump_json(indent=1) + "\n")


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


def parser(kind: type[Run]) -> argparse.ArgumentParser:
    """Returns the command line of every kind of run."""
    parser = argparse.ArgumentParser(
        description=f"Execute {kind.__name__}s and leave a result.json beside each run.json."
    )
    parser.add_argument("folders", nargs="+", type=Path, help="run folders, each with a run.json")
    parser.add_argument(
        "--watch", type=Path, help="folder of a scale, as results/quick, to tell the time left for all of it"
    )
    return parser


def main(kind: type[Run], execute: Execute) -> None:
    """Serves the folders of the command line."""
    arguments = parser(kind).parse_args()
    work(
        arguments.folders, kind=kind, execute=execute, progress=Progress(arguments.watch, total=len(arguments.folders))
    )


def work(folders: list[Path], *, kind: type[Run], execute: Execute, progress: Progress) -> None:
    """Serves the folders and ends the process: with one line where a user can mend what is wrong, or when asked to stop."""
    interruption.listen()
    if device().type == "cpu":
        torch.set_num_threads(1)
    try:
        with joined(device()):
            serve(folders, kind=kind, execute=execute, progress=progress)
    except interruption.Interrupted:
        if processes().leads:
            print("interrupted: what was done is saved; the same command goes on from here", file=sys.stderr)
        sys.exit(interruption.EXIT_CODE)
    except (ValueError, UnsupportedKernel, LostLease) as error:
        sys.exit(f"error: {error}" if processes().leads else 1)
    except MemoryError:
        sys.exit(f"error: {folders[0]}: no memory is left; {_WHOLE}" if processes().leads else 1)
    except OSError as error:
        if error.errno not in _PLAIN_ERRORS:
            raise
        told = f"error: {error.filename or folders[0]}: {error.strerror}; {_WHOLE}"
        sys.exit(told if processes().leads else 1)
