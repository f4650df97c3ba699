"""Tells, during long work, how far it is and how long it may still take.

    python -m workflow.progress results/quick

does so for a whole scale, from another terminal, until its last run has its result.
"""

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from workflow.curves import CSVCurve, Curve, TensorBoardCurve
from workflow.results import Measurement
from workflow.runs import ProfilingRun, Run, TrainingRun

_SECONDS_BETWEEN_LINES = 10.0
_BAR = 30


class Progress:
    """Prints a line now and then: the run, its place in the cohort, and the share of the whole that is done."""

    def __init__(
        self, watched: Path | None, *, total: int, curves: bool = False, tensorboard: Path | None = None
    ) -> None:
        self._standings, self._total = Standings(watched) if watched else None, total
        self._curves, self._tensorboard = curves, tensorboard
        self._told = time.monotonic()
        self._done = 0

    def passed(self, runs: int) -> None:
        """Counts runs that have their results."""
        self._done += runs

    def of(self, run: Run, folder: Path) -> Callable[[int, float, list[Measurement]], None]:
        """Returns what a run calls with its step, its loss and what it scored; a run without steps calls it with 0."""
        curves: list[Curve] = [CSVCurve(folder / "curve.csv")] if self._curves else []
        if self._tensorboard is not None:
            curves.append(TensorBoardCurve(self._tensorboard / folder.name))
        first: list[tuple[float, int]] = []  # when the run was first heard of, and at which step

        def tell(step: int, loss: float, rows: list[Measurement]) -> None:
            now = time.monotonic()
            first[:] = first or [(now, step)]
            for curve in curves:
                curve.add(rows)
            if now - self._told < _SECONDS_BETWEEN_LINES:
                return
            self._told = now
            line = f"{describe(run)} | {self._done} of {self._total} runs done"
            if isinstance(run, TrainingRun) and step:
                line += f", step {step} of {run.optimizer.last_step}, loss {loss:.3g}"
                (began, at), examples = first[0], run.optimizer.batch_size
                if step > at and now > began:
                    pace = (step - at) / (now - began)
                    left = (run.optimizer.last_step - step) / pace
                    line += f", {pace * examples:,.0f} sequences/s, at most {clock(left)} left"
            print(line + self._whole(), file=sys.stderr, flush=True)

        return tell

    def _whole(self) -> str:
        """Returns how much of the watched scale is done, and a guess of the time left."""
        if self._standings is None:
            return ""
        told = self._standings.read()
        return f" | all: {summary(told)}" if told else ""


class Standing(NamedTuple):
    """How many runs of an experiment have their results, of how many, and what those that are missing may take."""

    experiment: str
    done: int
    total: int
    seconds_left: float | None  # of one core; None as long as no run has told


class Standings:
    """What is done of a scale, by the plans and results in its folder; a result is read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seconds: dict[str, float] = {}  # of the runs seen finished

    def read(self) -> list[Standing]:
        """Returns the experiments as they stand: a run takes what ended ones of its kind took, a new kind what training took."""
        pending: dict[str, list[str]] = {}
        ended: dict[str, list[float]] = defaultdict(list)
        done: dict[str, int] = {}
        for path in sorted(self._folder.glob("*/plan.json")):
            name = path.parent.name
            pending[name], done[name] = [], 0
            for planned in json.loads(path.read_text(encoding="utf-8"))["runs"]:
                group = f"{name} {planned['role']} {planned['network']}"
                seconds = self._ended_in(planned["id"])
                if seconds is None:
                    pending[name].append(group)
                else:
                    ended[group].append(seconds)
                    done[name] += 1
        learnt = [
            seconds
            for group, runs in ended.items()
            if any(f" {role} " in group for role in ("pretrain", "screen", "tune", "confirm", "control"))
            for seconds in runs
        ]
        mean = {group: sum(runs) / len(runs) for group, runs in ended.items()}
        unseen = sum(learnt) / len(learnt) if learnt else None  # what a run of a network not met yet may take
        return [
            Standing(
                name,
                done[name],
                done[name] + len(groups),
                None if unseen is None else sum(mean.get(group, unseen) for group in groups),
            )
            for name, groups in pending.items()
        ]

    def _ended_in(self, id: str) -> float | None:
        if id not in self._seconds:
            path = self._folder.parent / "runs" / id / "result.json"
            if not path.exists():
                return None
            self._seconds[id] = json.loads(path.read_text(encoding="utf-8"))["provenance"]["seconds"]
        return self._seconds[id]


def summary(standings: list[Standing]) -> str:
    """Returns how much is done of some experiments, and how long the rest may take on all cores of this machine."""
    done, total = (sum(getattr(standing, count) for standing in standings) for count in ("done", "total"))
    left = [standing.seconds_left for standing in standings if standing.seconds_left is not None]
    time_left = "" if done == total or not left else f", about {clock(sum(left) / (os.cpu_count() or 1))} left"
    return f"{done} of {total} runs{time_left}"


def board(standings: list[Standing]) -> str:
    """Returns a bar for each experiment that is begun and one for all."""
    begun = [standing for standing in standings if standing.done] or standings
    rows = [(standing.experiment, [standing]) for standing in begun] + [("all", standings)]
    width = max(len(name) for name, _ in rows)
    lines = []
    for name, of in rows:
        share = sum(standing.done for standing in of) / max(1, sum(standing.total for standing in of))
        bar = "#" * int(share * _BAR)
        lines.append(f"{name:{width}} [{bar:{_BAR}}] {summary(of)}")
    return "\n".join(lines)


def describe(run: Run) -> str:
    """Returns a run in a few words."""
    if isinstance(run, ProfilingRun):
        return f"{run.phase} of {run.network.mixer.name} at length {run.length}"
    if isinstance(run, TrainingRun):
        return f"{run.network.mixer.name} on {run.task.name}, seed {run.seed}"
    return f"references of {run.task.name}"


def clock(seconds: float) -> str:
    """Returns a duration as minutes and seconds, with hours where there are some."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Tell how far a scale is, until its last run has its result.")
    parser.add_argument("folder", type=Path, help="folder of a scale, as results/quick")
    parser.add_argument(
        "experiments", nargs="*", help="experiments to tell of; without any, all that are planned there"
    )
    parser.add_argument("--once", action="store_true", help="tell it once")
    arguments = parser.parse_args()
    standings = Standings(arguments.folder)
    while True:
        told = [row for row in standings.read() if not arguments.experiments or row.experiment in arguments.experiments]
        if not told:
            sys.exit(
                f"error: nothing of that is planned in {arguments.folder}: plan with snakemake, or name another folder"
            )
        print(("\033[2J\033[H" if sys.stdout.isatty() and not arguments.once else "") + board(told), flush=True)
        if arguments.once or all(row.done == row.total for row in told):
            return
        time.sleep(_SECONDS_BETWEEN_LINES)


if __name__ == "__main__":
    main()
