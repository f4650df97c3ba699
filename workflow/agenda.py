"""Which runs of a sweep start next. No clock and no process is needed to say so: `workflow.sweep` has those."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from statistics import fmean
from typing import NamedTuple

from workflow.plans import Plan, needs
from workflow.runs import Run, TrainingRun

STARTING_SECONDS = 4.0  # of a process, before its first run
SHORT_SECONDS = 30.0  # runs of one network, or profiles, share a process while it takes no longer

_STAGES = {"reference": 0, "profile": 1, "pretrain": 2, "screen": 2, "tune": 2, "confirm": 3, "control": 4}

Stage = tuple[int, int]


class Item(NamedTuple):
    """A run in its place. `alike` names its cell, its network and its kind, whose runs take about as long a step."""

    id: str
    experiment: str
    stage: Stage
    alike: tuple[str, str, str]
    steps: int
    needs: frozenset[str]

    @property
    def alone(self) -> bool:
        """Whether nothing else may run meanwhile."""
        return self.alike[-1] == "profiling"


def items_of(plans: Iterable[Plan], *, seeds: int) -> list[Item]:
    """Returns the runs in the order in which they are to start, each once; `seeds` of a cell are confirmed at a time.

    Stage by stage, and in each the networks take turns, a cell of each.
    """
    found: dict[str, tuple[Stage, int, Item]] = {}
    for plan in plans:
        turns: dict[tuple[Stage, str], dict[str, int]] = defaultdict(dict)
        for planned, stage in zip(plan.runs, _stages(plan, seeds=seeds), strict=True):
            alike = _alike(planned.run)
            steps = planned.run.optimizer.last_step if isinstance(planned.run, TrainingRun) else 1
            item = Item(planned.id, plan.experiment, stage, alike, steps, frozenset(needs([planned])))
            cell, network, _ = alike
            turn = turns[stage, network].setdefault(cell, len(turns[stage, network]))
            found[item.id] = min(
                found.get(item.id, (stage, turn, item)), (stage, turn, item), key=lambda place: place[:2]
            )
    return [item for _, _, item in sorted(found.values(), key=lambda place: place[:2])]


def _stages(plan: Plan, *, seeds: int) -> list[Stage]:
    """Returns the stages of a plan's runs: references, profiles, tuning by rung, confirmation by seed, and controls."""
    stages: list[Stage] = []
    rungs: dict[str, int] = {}
    confirmed: Counter[str] = Counter()
    for planned in plan.runs:
        place = rungs[planned.id] = max((rungs[id] + 1 for id in needs([planned])), default=0)
        if planned.role == "confirm":
            cell = _alike(planned.run)[0]
            place = confirmed[cell] // seeds
            confirmed[cell] += 1
        stages.append((_STAGES[planned.role], place))
    return stages


def _alike(run: Run) -> tuple[str, str, str]:
    if not isinstance(run, TrainingRun):
        network = "" if run.kind == "reference" else run.network.model_dump_json()
        return run.model_dump_json(), network, run.kind
    optimizer = run.optimizer.model_copy(update={"learning_rate": 1.0})
    cell = run.model_copy(update={"seed": 0, "optimizer": optimizer})
    return cell.model_dump_json(), run.network.model_dump_json(), run.kind


class Agenda:
    """What is done, runs, failed and waits, and so what starts next: of an experiment no run before all of earlier stages."""

    def __init__(self, items: list[Item], *, jobs: int) -> None:
        self.items = items
        self.done: set[str] = set()
        self.failed: set[str] = set()
        self.running: list[list[Item]] = []
        self._jobs = jobs
        self._budget = 0.0
        self._apart: set[str] = set()  # lost by a process that others may have ended
        self._known: dict[str, list[float]] = defaultdict(list)  # seconds a step, of those alike

    def finish(self, item: Item, *, seconds: float | None) -> None:
        """Counts a run as done; its seconds (None where they tell nothing of others) predict those of runs like it."""
        self.done.add(item.id)
        if seconds is not None:
            for name in item.alike:
                self._known[name].append(seconds / item.steps)

    def predicted(self, item: Item) -> float | None:
        """Returns the seconds that a run may take, None where none of its kind is known."""
        known = next((self._known[name] for name in item.alike if name in self._known), None)
        return fmean(known) * item.steps if known else None

    def start(self, *, left: float) -> list[Item]:
        """Returns the runs for the next process, then counted as running, or none if none should start.

        As far as can be predicted they end in the `left` seconds, but for a run that a whole budget, which is the most that ever
        was left, does not hold either: that is done in pieces.
        """
        self._budget = max(self._budget, left)
        busy = len(self.running) >= self._jobs or any(batch[0].alone for batch in self.running)
        batch = [] if busy else self._batch(left)
        if batch:
            self.running.append(batch)
        return batch

    def end(self, batch: list[Item]) -> None:
        """Counts the process of these runs as ended. A run not done has failed if it was alone; else it will be."""
        self.running.remove(batch)
        lost = {item.id for item in batch} - self.done
        if len(batch) > 1:
            self._apart |= lost
            return
        self.failed |= lost
        for item in self.items:  # what is needed comes first
            if item.needs & self.failed:
                self.failed.add(item.id)

    def _batch(self, left: float) -> list[Item]:
        ready = self._ready()
        for place, first in enumerate(ready):
            if first.alone and self.running:
                return []
            spent = STARTING_SECONDS + (self.predicted(first) or 0.0)
            if left < spent <= self._budget:
                continue
            if first.id in self._apart:
                return [first]
            peers = [item for item in ready[place + 1 :] if item.stage == first.stage and item.id not in self._apart]
            return self._with_company(first, peers, spent=spent, left=left)
        return []

    def _with_company(self, first: Item, peers: list[Item], *, spent: float, left: float) -> list[Item]:
        """Returns the run with those of its cell and, while short, of its network or other profiles: all jobs get some."""
        batch = [first]
        most = math.ceil((len(peers) + 1) / (1 if first.alone else self._jobs))
        for item in peers:
            seconds = self.predicted(item)
            total = spent + (seconds or 0.0)
            akin = item.alike[1:] == first.alike[1:] or (item.alone and first.alone)
            short = akin and seconds is not None and total <= SHORT_SECONDS
            if len(batch) < most and total <= left and (short or item.alike[0] == first.alike[0]):
                batch.append(item)
                spent = total
        return batch

    def _ready(self) -> list[Item]:
        """Returns, in order, what may start: of the earliest waiting stage of its experiment, if all that it needs is done."""
        taken = self.done | self.failed | {item.id for batch in self.running for item in batch}
        waiting = [item for item in self.items if item.id not in taken]
        stages: dict[str, Stage] = {}
        for item in waiting:
            stages.setdefault(item.experiment, item.stage)
        return [item for item in waiting if item.stage == stages[item.experiment] and item.needs <= self.done]
