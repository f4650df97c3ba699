"""Profiling runs -> their outcomes: runs that differ in the network only take turns, each time in a process of its own."""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from workflow import interruption
from workflow.isolation import in_process
from workflow.memory import available_bytes
from workflow.profiling.gate import ALLOWED
from workflow.profiling.sampling import Samples, checked, in_stream, memory, sampled
from workflow.profiling.shapes import least_bytes
from workflow.provenance import device
from workflow.results import Measurement, Outcome
from workflow.runs import ProfilingRun
from workflow.serving import Desk, Ended

BUSY = 0.1  # the share of the processors, in the hands of others, from which on it is said
_GIB = 2**30


@dataclass
class Point:
    """A run on its way: what was measured so far, or how it ended."""

    run: ProfilingRun
    spent: float = 0.0
    rounds: list[Samples] = field(default_factory=list)
    deviation: float = 0.0
    bytes: dict[str, int] = field(default_factory=dict)
    stream: list[Measurement] = field(default_factory=list)
    failed: Outcome | None = None

    def ask(self, function: Callable[..., Any]) -> Any:
        """Returns what the function gives in a process of its own, None if that is how the point ends."""
        started = time.monotonic()
        left = self.run.timeout_seconds - self.spent
        answer = in_process(function, self.run, timeout_seconds=max(left, 0.001))
        self.spent += time.monotonic() - started
        if answer.status == "timed_out":
            self.failed = Outcome("timed_out", f"more than {self.run.timeout_seconds:g} s", ())
        elif answer.status != "finished":
            self.failed = Outcome(answer.status, answer.detail, ())
        return answer.value

    def check(self) -> None:
        """Ends the point if it cannot fit, or is wrong."""
        self.failed = predicted(self.run)
        if self.failed is None:
            found = self.ask(checked)
            if self.failed is None and not found <= ALLOWED[self.run.precision]:
                told = f"differs from its definition by {found:.2g} of the largest number"
                self.failed = Outcome("unequal", f"{told}, {ALLOWED[self.run.precision]:g} allowed", ())
            self.deviation = found

    def sample(self) -> None:
        """Takes a round's samples, or reads the whole stream where that is the phase."""
        if self.run.phase == "stream":
            self._read_on()
            return
        found = self.ask(partial(sampled, first=not self.rounds))
        if found is not None:
            self.rounds.append(found)

    def _read_on(self) -> None:
        if self.stream:
            return
        self.stream = self.ask(in_stream) or []
        for row in self.stream:
            if row.name == "first_nonfinite":
                told = f"read {row.at['form']}, the logits after token {row.value:.0f} are not finite"
                self.failed = Outcome("diverged", told, ())

    def weigh(self) -> None:
        if self.run.phase != "stream":
            self.bytes = self.ask(memory)

    def outcome(self) -> Outcome:
        """Returns every sample and all that was counted; a point that failed leaves its status alone."""
        return self.failed or Outcome("finished", "", tuple(_rows(self)))


def execute(desks: list[Desk]) -> Iterator[Ended]:
    """Yields how each run ended: one that fails does not concern the others."""
    points = [Point(desk.run) for desk in desks]
    for desk, point in zip(desks, points, strict=True):
        _going(desk)
        point.check()
    for turn in range(desks[0].run.rounds):
        order = [*points[turn % len(points) :], *points[: turn % len(points)]]  # none is always the first after another
        for point in order:
            interruption.check()
            if point.failed is None:
                point.sample()
    for desk, point in zip(desks, points, strict=True):
        _going(desk)
        if point.failed is None:
            point.weigh()
        yield Ended(desk, point.outcome(), point.spent, 1)
    _tell_of_others(points)


def _going(desk: Desk) -> None:
    interruption.check()
    desk.watch(0, 0.0, [])


def _rows(point: Point) -> Iterator[Measurement]:
    yield Measurement(name="definition_deviation", value=point.deviation, unit="1")
    yield from point.stream
    place = 0
    for turn, samples in enumerate(point.rounds):
        at = {"round": turn}
        yield Measurement(name="first_seconds", value=samples.warmup[0], unit="s", at=at)
        yield Measurement(name="warmup_seconds", value=sum(samples.warmup), unit="s", at=at)
        for seconds in samples.seconds:
            yield Measurement(name="seconds", value=seconds, unit="s", at=at | {"sample": place})
            place += 1
        for name, (value, unit) in samples.readings.items():
            yield Measurement(name=name, value=value, unit=unit, at=at)
        for name, (value, unit) in samples.once.items():
            yield Measurement(name=name, value=value, unit=unit)
    for name, value in point.bytes.items():
        yield Measurement(name=name, value=value, unit="B")


def _tell_of_others(points: list[Point]) -> None:
    """Says so where the machine was not this process's alone."""
    shares = [
        max(samples.readings["busy"][0] for samples in point.rounds)
        for point in points
        if point.rounds and all("busy" in samples.readings for samples in point.rounds)
    ]
    disturbed = [share for share in shares if share > BUSY]
    if disturbed:
        run = points[0].run
        where = f"{len(disturbed)} of {len(points)} networks were timed ({run.phase}, length {run.length})"
        print(f"warning: others had up to {max(disturbed):.0%} of the processors while {where}", file=sys.stderr)


def predicted(run: ProfilingRun) -> Outcome | None:
    """Returns the outcome of a point whose weights, state and logits alone exceed the memory there is, else None."""
    least, there = least_bytes(run), available_bytes(device())
    if least <= there:
        return None
    told = f"predicted: at least {least / _GIB:.1f} GiB of weights, state and predictions, and {there / _GIB:.1f} GiB are there"
    return Outcome("out_of_memory", told, ())
