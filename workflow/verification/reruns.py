"""Runs done again, the cheapest first, and held against their records."""

import shutil
import subprocess
import sys
from pathlib import Path

from workflow.files import write
from workflow.provenance import Provenance
from workflow.results import Measurement, Result, read_result
from workflow.runs import ReferenceRun, RunFile, TrainingRun
from workflow.verification.limits import EARLY_LOSS, EARLY_STEPS, PLATFORM

_ROOT = Path(__file__).parent.parent.parent
_MODULES = {"training": ["workflow.training", "--stack", "never"], "reference": ["workflow.references"]}


def platform(made: Provenance) -> tuple[object, ...]:
    """Returns what two results must share for their bits to be the same."""
    return tuple(getattr(made, name) for name in PLATFORM)


def cheapest(results: list[Result], *, count: int) -> list[Result]:
    """Returns so many finished runs, those that took the least time."""
    ended = [result for result in results if result.status == "finished"]
    return sorted(ended, key=lambda result: (result.provenance.seconds, result.id))[:count]


def rerun(result: Result, *, runs: Path, folder: Path) -> tuple[list[str], str]:
    """Does the run again, in `folder`, and returns how it differs, and how it was compared."""
    run, told = result.run, f"runs/{result.id}"
    again = folder / "runs" / result.id
    write(again / "run.json", RunFile(run=run).model_dump_json(indent=1) + "\n")
    for id in run.chosen_from if isinstance(run, TrainingRun) else ():
        (folder / "runs" / id).mkdir(exist_ok=True)
        shutil.copy(runs / id / "result.json", folder / "runs" / id / "result.json")
    command = [sys.executable, "-m", *_MODULES[run.kind], str(again)]
    ended = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    if ended.returncode:
        return [f"{told} cannot be run again: {(ended.stderr.strip() or 'no reason given').splitlines()[-1]}"], ""
    return compared(result, read_result(again / "result.json"))


def compared(stored: Result, again: Result) -> tuple[list[str], str]:
    """Returns how a result differs from its record, and how it was compared: to the bit where the platform is the same."""
    told = f"runs/{stored.id}/result.json"
    if stored.status != again.status:
        return [f"{told}, status: stored {stored.status}, run again {again.status}"], ""
    same = platform(stored.provenance) == platform(again.provenance) and stored.provenance.company == 1
    exact = same or isinstance(stored.run, ReferenceRun)
    kept = [row for row in stored.measurements if exact or early(row)]
    found = {_address(row): row.value for row in again.measurements}
    allowed = 0.0 if same else EARLY_LOSS
    wrong = []
    for row in kept:
        value = found.get(_address(row))
        if value is None or abs(value - row.value) > allowed:
            wrong.append(f"{told}, {_told(row)}: stored {row.value!r}, run again {value!r}")
    if exact and len(found) != len(kept):
        wrong.append(f"{told}: stored {len(kept)} numbers, run again {len(found)}")
    how = "to the bit" if same else f"within {EARLY_LOSS:g}" + ("" if exact else f", losses to step {EARLY_STEPS}")
    return wrong, f"{told}: {len(kept)} numbers compared {how}"


def early(row: Measurement) -> bool:
    """Returns whether a number is a loss so early that platforms still agree on it."""
    return row.name == "loss" and int(row.at.get("step", EARLY_STEPS + 1)) <= EARLY_STEPS


def _address(row: Measurement) -> tuple[object, ...]:
    return (row.name, row.unit, *sorted(row.at.items()))


def _told(row: Measurement) -> str:
    at = " ".join(f"{name}={value}" for name, value in row.at.items())
    return f"{row.name} at {at}" if at else row.name
