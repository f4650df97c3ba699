"""From the first step of some runs to the outcome of each, whatever cuts it: the protocol of training, once for all programs."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from models.mixer import state_bytes
from models.network import Network
from tasks import AnyTask
from workflow.checkpoints import Checkpoint
from workflow.evaluation import by_position, loss_unit, measurements, scores
from workflow.interruption import Interrupted
from workflow.processes import Questions, averaged
from workflow.results import Measurement, Outcome
from workflow.runs import TrainingRun

# Called at every evaluation with the step, the training loss, and what was scored.
Watch = Callable[[int, float, list[Measurement]], None]


class Program(Protocol):
    """Networks of one specification that take their steps together; see `alone.Alone` and `stacked.Stacked`."""

    networks: list[Network]

    def step(self, step: int) -> Tensor: ...
    def state(self, member: int) -> dict[str, Any]: ...
    def restore(self, member: int, state: dict[str, Any]) -> None: ...
    def ended(self, member: int) -> None: ...
    def kept(self, members: list[int]) -> "Program": ...


@dataclass
class Trainee:
    """A run on its way: where its checkpoints are, what was measured so far, and whether anything has ended its training."""

    name: str
    run: TrainingRun
    learning_rate: float
    checkpoint: Checkpoint
    watch: Watch
    curve: list[Measurement] = field(default_factory=list)
    ended: str = ""  # "stopped" at its goal, or "diverged"


class Training:
    """The runs of one program, which differ in learning rate and seed only, hence evaluate at the same steps.

    `trainees` are by their place in the program; a place without one holds a run that has its result, and is kept so that
    the bits of the others stay what they were. `company` names who has which place.
    """

    def __init__(self, program: Program, trainees: dict[int, Trainee], *, company: list[str], device: torch.device):
        self._program, self._live, self._company, self._device = program, dict(trainees), company, device
        self._run = next(iter(trainees.values())).run
        self._unit, self._per_nat = loss_unit(self._run.task)
        self._step = self._since = 0
        self._sums_E = self._zeros()  # of this process: the mean over all of them counts
        self._questions = Questions()
        for member in range(len(company)):
            if member not in trainees:
                program.ended(member)

    def resume(self, step: int) -> None:
        """Goes on from the checkpoints of a step, which all trainees have."""
        self._step = step
        for member, trainee in self._live.items():
            saved = trainee.checkpoint.load(step, self._device)
            self._program.restore(member, saved)
            trainee.curve = [Measurement.model_validate(row) for row in saved["curve"]]
            trainee.ended = saved["ended"]
            self._since = saved["since"]
            self._sums_E[member] = saved["loss_sum"]
            torch.set_rng_state(saved["rng"].cpu())

    def outcomes(self) -> Iterator[tuple[Trainee, Outcome]]:
        """Yields the outcome of every trainee as it ends; Interrupted, with all saved, if the process was asked to stop."""
        try:
            while True:
                if self._step > self._since and self._evaluates():
                    self._evaluate()
                yield from self._endings()
                if not self._live:
                    return
                if self._questions.due(next(iter(self._live.values())).checkpoint.due()):
                    self._save()
                self._sums_E += self._program.step(self._step)
                self._step += 1
        except Interrupted:
            self._save()
            raise

    def _evaluates(self) -> bool:
        return self._step % self._run.evaluation.every_steps == 0 or self._step == self._run.optimizer.last_step

    def _evaluate(self) -> None:
        """Scores every trainee, or none of them: an evaluation that is cut is made again."""
        losses = (averaged(self._sums_E) / (self._step - self._since) * self._per_nat).tolist()
        found = {}
        for member, trainee in self._live.items():
            if math.isfinite(losses[member]):
                found[member] = scores(
                    self._program.networks[member], trainee.run.task, split="validation", run=trainee.run
                )
        for member, trainee in self._live.items():
            if member not in found:
                trainee.ended = "diverged"
                continue
            at = {"split": "train", "step": self._step}
            rows = [Measurement(name="loss", value=losses[member], unit=self._unit, at=at)]
            rows += measurements(found[member], trainee.run.task, at=at | {"split": "validation"})
            goal = trainee.run.evaluation.stop_accuracy
            if goal is not None and found[member].mean("right") >= goal:
                trainee.ended = "stopped"
            trainee.curve += rows
            trainee.watch(self._step, losses[member], rows)
        self._since = self._step
        self._sums_E.zero_()

    def _endings(self) -> Iterator[tuple[Trainee, Outcome]]:
        """Yields the outcomes of those whose training is over, and goes on without them."""
        over = {m: trainee for m, trainee in self._live.items() if trainee.ended or self._since == self._last}
        if over and (len(self._company) > 1 or self._run.optimizer.until is not None):
            self._save()  # before any result is there: the others find their company again, the next rung its start
        for member, trainee in over.items():
            yield trainee, self._outcome(trainee, self._program.networks[member])
            self._program.ended(member)
            del self._live[member]
        # Also of a run that is continued there: when a stack shrinks must not depend on who ended in which process.
        evaluated = 0 < self._since == self._step
        if evaluated and self._live and 2 * len(self._live) <= len(self._company):
            members = sorted(self._live)
            self._program = self._program.kept(members)
            self._company = [self._company[member] for member in members]
            self._live = {new: self._live[old] for new, old in enumerate(members)}
            self._sums_E = self._zeros()

    @property
    def _last(self) -> int:
        return self._run.optimizer.last_step

    def _outcome(self, trainee: Trainee, network: Network) -> Outcome:
        if trainee.ended == "diverged":
            rows = _costs(trainee, network, self._step)
            return Outcome("diverged", f"loss was not finite by step {self._step}", (*rows, *trainee.curve))
        # A run that is cut short on purpose is one of several to choose from: the test is not for that.
        told = [] if self._run.optimizer.until is not None else tested(trainee.run, network)
        return Outcome("finished", "", (*_costs(trainee, network, self._step), *trainee.curve, *told))

    def _save(self) -> None:
        sums_E = averaged(self._sums_E)
        for member, trainee in self._live.items():
            content = self._program.state(member) | {
                "curve": [row.model_dump() for row in trainee.curve],
                "ended": trainee.ended,
                "since": self._since,
                "loss_sum": sums_E[member].clone(),
                "rng": torch.get_rng_state(),
            }
            trainee.checkpoint.save(self._step, content, company=self._company)

    def _zeros(self) -> Tensor:
        return torch.zeros(len(self._company), dtype=torch.float64, device=self._device)


def tested(run: TrainingRun, network: Network) -> list[Measurement]:
    """Returns the test scores on the task and at every point of the grid, by position too where they are in bits."""
    rows = []
    for point in ({}, *run.evaluation.points):
        task, at = run.task.at(point), {"split": "test", **point}
        found = scores(network, task, split="test", run=run)
        rows += measurements(found, task, at=at)
        if task.score == "bits_per_byte":
            rows += by_position(found, at=at)
    return rows


def _costs(trainee: Trainee, network: Network, steps: int) -> list[Measurement]:
    """Returns what the run and its network cost."""
    run = trainee.run
    length, *others = (_length(run.task.at(point)) for point in ({}, *run.evaluation.points))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    costs = [
        Measurement(name="steps", value=steps, unit="step"),
        Measurement(name="learning_rate", value=trainee.learning_rate, unit="1"),
        Measurement(name="parameters", value=parameters, unit="1"),
        Measurement(name="flops", value=network.flops(length) / length, unit="FLOP/token"),
    ]
    for tokens in dict.fromkeys([length, *others]):
        held = state_bytes(network.initial_state(1, tokens))
        costs.append(Measurement(name="state_bytes", value=held, unit="B", at={"length": tokens}))
    return costs


def _length(task: AnyTask) -> int:
    return task.batch("test", 0, 1).inputs.shape[1]
