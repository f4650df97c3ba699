"""Tells, during long work, how far it is and how long it may still take."""

import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from workflow.curves import CSVCurve, Curve, TensorBoardCurve
from workflow.results import Measurement
from workflow.runs import ProfilingRun, Run, TrainingRun

_SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Prints a line now and then: the run, its place in the cohort, and the share of the whole that is done."""

    def __init__(
        self, watched: Path | None, *, total: int, curves: bool = False, tensorboard: Path | None = None
    ) -> None:
        self._watched, self._total = watched, total
        self._curves, self._tensorboard = curves, tensorboard
        self._told = time.monotonic()
        self._done = 0
        self._seconds: dict[str, float] = {}  # of the runs seen finished

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
        """Returns how much of the watched scale is done, and a guess of the time left from the runs that have ended."""
        if self._watched is None:
            return ""
        pending: list[str] = []
        ended: dict[str, list[float]] = defaultdict(list)
        for path in self._watched.glob("*/plan.json"):
            for planned in json.loads(path.read_text(encoding="utf-8"))["runs"]:
                group = f"{path.parent.name} {planned['role']} {planned['network']}"
                seconds = self._ended_in(planned["id"])
                if seconds is None:
                    pending.append(group)
                else:
                    ended[group].append(seconds)
        learnt = [
            seconds
            for group, runs in ended.items()
            if any(f" {role} " in group for role in ("pretrain", "screen", "tune", "confirm", "control"))
            for seconds in runs
        ]
        done = sum(map(len, ended.values()))
        if not learnt:
            return f" | all: {done} of {done + len(pending)} runs"
        unseen = sum(learnt) / len(learnt)  # what a run of a network not met yet may take
        left = sum(sum(ended[group]) / len(ended[group]) if group in ended else unseen for group in pending)
        return f" | all: {done} of {done + len(pending)} runs, about {clock(left / (os.cpu_count() or 1))} left"

    def _ended_in(self, id: str) -> float | None:
        if id not in self._seconds:
            path = self._watched.parent / "runs" / id / "result.json"
            if not path.exists():
                return None
            self._seconds[id] = json.loads(path.read_text(encoding="utf-8"))["provenance"]["seconds"]
        return self._seconds[id]


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
