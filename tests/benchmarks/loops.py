"""Training loops in turn: ours take theirs while a peer's own loop waits between two of its steps."""

import argparse
import copy
import statistics
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.network import Network
from tasks.draws import Split
from tasks.language.modeling import LanguageModeling
from tasks.language.tokens import read_tokens
from tasks.task import IGNORE
from workflow import batches
from workflow.planfile import SCALES
from workflow.plans import plan
from workflow.runs import TrainingRun
from workflow.training.alone import Alone
from workflow.training.optimizer import adamw, schedule, set_rate

Step = Callable[[int], Tensor]  # takes the training step of this number and returns the loss, detached


class Quartiles(NamedTuple):
    first: float
    median: float
    third: float


class Race:
    """The seconds per step of every loop, by round. In a round each takes `steps` steps; a round before those warms up."""

    def __init__(self, ours: dict[str, Step], *, peer: str, steps: int, rounds: int) -> None:
        self._ours, self._peer = ours, peer
        self._steps, self._rounds = steps, rounds
        self._taken = 0
        self._started = 0.0
        self.seconds: dict[str, list[float]] = {name: [] for name in (peer, *ours)}

    @property
    def peer_steps(self) -> int:
        """How many steps the peer's loop has to take: the last of them only ends the last round."""
        return (self._rounds + 1) * self._steps + 1

    @property
    def timed(self) -> bool:
        """Whether the peer's steps count by now."""
        return self._steps < self._taken < self.peer_steps

    def wait(self) -> None:
        """To be called by the peer's loop at one and the same place of every step of it."""
        now = time.perf_counter()
        before, within = divmod(self._taken, self._steps)
        self._taken += 1
        if within:
            return
        if before > 1:
            self.seconds[self._peer].append((now - self._started) / self._steps)
        if before <= self._rounds:
            for name, step in self._ours.items():
                seconds = seconds_per_step(step, range(before * self._steps, (before + 1) * self._steps))
                self.seconds[name] += [seconds] * (before > 0)
        self._started = time.perf_counter()

    def ratio(self, slow: str, fast: str) -> Quartiles:
        """Returns how many times as fast one loop was as the other, within the same round."""
        return quartiles(a / b for a, b in zip(self.seconds[slow], self.seconds[fast], strict=True))

    def table(self) -> str:
        """Returns a line per loop: milliseconds per step, and how many times as fast as the peer's."""
        lines = []
        for name, seconds in self.seconds.items():
            first, median, third = (1e3 * value for value in quartiles(seconds))
            lines.append(
                f"{name:36} {median:9.2f} ms a step ({first:.2f} to {third:.2f}, least {1e3 * min(seconds):.2f})"
            )
            if name != self._peer:
                first, median, third = self.ratio(self._peer, name)
                lines[-1] += f"   ratio {median:.2f} ({first:.2f} to {third:.2f})"
        return "\n".join(lines)


def seconds_per_step(step: Step, numbers: Iterable[int]) -> float:
    """Returns the seconds that each of these steps took on average."""
    started = time.perf_counter()
    taken = [step(number) for number in numbers]
    return (time.perf_counter() - started) / len(taken)


def quartiles(values: Iterable[float]) -> Quartiles:
    values = list(values)
    return Quartiles(*(statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else 3 * values))


def training_run(experiment: str, *, scale: str, mixer: str) -> TrainingRun:
    """Returns the first tuning run of an experiment with this mixer; ValueError where there is none."""
    found = {
        planned.run.network.mixer.name: planned.run
        for planned in reversed(plan(experiment, scale=scale).runs)
        if planned.role == "tune"
    }
    if mixer not in found:
        raise ValueError(f"{experiment} at {scale} has no {mixer}: choose one of {', '.join(sorted(found))}")
    return found[mixer]


def budgeted(run: TrainingRun, *, steps: int, rounds: int) -> TrainingRun:
    """Returns the run with a schedule that lasts as long as a race."""
    length = run.optimizer.warmup_steps + (rounds + 1) * steps + 1
    return run.model_copy(update={"optimizer": run.optimizer.model_copy(update={"steps": length})})


def text_parser(doc: str) -> argparse.ArgumentParser:
    """Returns the command line of a race on the bytes of the language modelling experiment."""
    parser = argparse.ArgumentParser(description=doc.split("\n")[0])
    parser.add_argument("--scale", choices=SCALES, default="quick")
    parser.add_argument("--mixer", default="attention")
    parser.add_argument("--steps", type=int, default=10, help="of each loop in a round")
    parser.add_argument("--rounds", type=int, default=10)
    return parser


class TextRace(NamedTuple):
    """The network and the run that all loops of a race on text train, the network from the same weights."""

    network: Network
    run: TrainingRun
    steps: int
    rounds: int

    def against(self, peer: str) -> Race:
        contenders = {"ours": ours(copy.deepcopy(self.network), self.run)}
        return Race(contenders, peer=peer, steps=self.steps, rounds=self.rounds)


def text_race(arguments: argparse.Namespace) -> TextRace:
    """Returns what the command line asks for, and tells of it; from here on torch has one thread."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    run = training_run("language-modeling", scale=arguments.scale, mixer=arguments.mixer)
    run = budgeted(run, steps=arguments.steps, rounds=arguments.rounds)
    print(f"{arguments.mixer}, batch {run.optimizer.batch_size}, length {run.task.length}")
    return TextRace(run.network.build(run.task.vocabulary_size), run, arguments.steps, arguments.rounds)


def flat_text(task: LanguageModeling, split: Split) -> np.ndarray:
    """Returns the tokens of a split's documents, one document after the other."""
    return read_tokens(task.corpus, task.corpus_sha256, task.tokenizer)[split].text_N


def our_optimizer(network: nn.Module, run: TrainingRun) -> torch.optim.Optimizer:
    return adamw(network, run.optimizer)


def ours(network: nn.Module, run: TrainingRun) -> Step:
    """Returns our loop on any network that has `features` and a `head`; a round makes the batches of its own steps."""
    program = Alone(run, network, learning_rate=run.optimizer.learning_rate)

    def step(number: int) -> Tensor:
        with mock.patch.object(batches, "TOGETHER", 1):
            return program.step(number)[0]

    return step


def everywhere(network: nn.Module, run: TrainingRun) -> Step:
    """Returns the textbook's loop, with our optimizer: head and loss at every position, each batch made when it is due."""
    optimizer = our_optimizer(network, run)

    def step(number: int) -> Tensor:
        set_rate(optimizer, run.optimizer.learning_rate * schedule(number, run.optimizer))
        batch = run.task.batch("train", run.seed << 32 | number, run.optimizer.batch_size)
        optimizer.zero_grad()
        loss = cross_entropy_everywhere(network.head(network.features(batch.inputs)), batch.targets)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), run.optimizer.gradient_clip)
        optimizer.step()
        return loss.detach()

    return step


def cross_entropy_everywhere(logits_BTN: Tensor, targets_BT: Tensor) -> Tensor:
    return F.cross_entropy(logits_BTN.flatten(0, 1), targets_BT.flatten(), ignore_index=IGNORE)


def stand_in(step: Step, race: Race) -> None:
    """Takes the part of a peer that is missing."""
    for number in range(race.peer_steps):
        race.wait()
        step(number)
