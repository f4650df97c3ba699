"""One network, trained by itself."""

from typing import Any

import torch
from torch import Tensor

from models.network import Network
from workflow.batches import StepBatch, Supply
from workflow.evaluation import autocast, network_of
from workflow.runs import TrainingRun
from workflow.training.objective import objective_of
from workflow.training.optimizer import adamw, clipped_step, schedule, set_rate


class Alone:
    """A program of one member: a network, drawn from the run's seed, and its optimizer."""

    def __init__(self, run: TrainingRun, *, learning_rate: float, device: torch.device):
        self.networks = [drawn(run, device=device)]
        self._run, self._rate, self._device = run, learning_rate, device
        self._objective = objective_of(self.networks[0], run.execution)
        self._optimizer = adamw(self.networks[0], run.optimizer)
        size, micro_batch = run.optimizer.batch_size, run.execution.micro_batch
        self._supply = Supply(run.task, seed=run.seed, size=size, micro_batch=micro_batch, device=device)

    def step(self, step: int) -> Tensor:
        """Takes step number `step`, from 0, and returns losses_E, of the one member, without waiting for the device."""
        return self.advance(self._supply.at(step), rate=self._rate * schedule(step, self._run.optimizer))[None]

    def advance(self, batch: StepBatch, *, rate: float) -> Tensor:
        """Takes one step on a batch and returns its mean loss."""
        set_rate(self._optimizer, rate)
        self._optimizer.zero_grad()
        losses = []
        for part in batch.parts:
            with autocast(self._device, self._run.precision):
                loss = self._objective(*part) / batch.predicted
            loss.backward()
            losses.append(loss.detach())
        clipped_step(self._objective, self._optimizer, gradient_clip=self._run.optimizer.gradient_clip)
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def state(self, member: int) -> dict[str, Any]:
        """Returns what `restore` needs to go on from here, alone or in a stack."""
        return {"network": self.networks[member].state_dict(), "optimizer": self._optimizer.state_dict()}

    def restore(self, member: int, state: dict[str, Any]) -> None:
        """Goes on from where a state was taken."""
        self.networks[member].load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])

    def ended(self, member: int) -> None:
        """Does nothing: a program whose only member has ended is not run on."""

    def kept(self, members: list[int]) -> "Alone":
        """Returns itself, as there is one member to keep."""
        return self


def drawn(run: TrainingRun, *, device: torch.device) -> Network:
    """Returns the network of the run on the device, its weights drawn from the run's seed."""
    torch.manual_seed(run.seed)
    return network_of(run.network, run.task).to(device)
