"""Tells, during long work, how far it is and how long it may still take."""

import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from workflow.runs import ProfilingRun, Run, TrainingRun

_SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Prints a line now and then: the run, its place in the cohort, and the share of the whole that is done."""

    def __init__(self, *, watched: Path | None, total: int) -> None:
        self._watched = watched
        self._total = total
        self._told = time.monotonic()
        self._seconds: dict[str, float] = {}  # of the runs seen finished

    def of(self, run: Run, *, done: int) -> Callable[[int, float], None]:
        """Returns what a run calls with its step and its loss; a run without steps calls it with 0."""
        started = time.monotonic()

        def tell(step: int, loss: float) -> None:
            now = time.monotonic()
            if now - self._told < _SECONDS_BETWEEN_LINES:
                return
            self._told = now
            line = f"{describe(run)} | run {done + 1} of {self._total}"
            if isinstance(run, TrainingRun) and step:
                left = (now - started) / step * (run.optimizer.steps - step)
                line += f", step {step} of {run.optimizer.steps}, loss {loss:.3g}, at most {clock(left)} left"
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
            seconds for group, runs in ended.items() if " tune " in group or " confirm " in group for seconds in runs
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
