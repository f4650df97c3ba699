"""One network, trained by itself, on one device or spread over several."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from models.network import Network
from workflow.batches import StepBatch, Supply
from workflow.checkpoints import read_shards
from workflow.evaluation import autocast, network_of
from workflow.processes import processes
from workflow.runs import TrainingRun
from workflow.training.objective import objective_of
from workflow.training.optimizer import adamw, clipped_step, schedule, set_rate


class Alone:
    """A program of one member: a network, as `drawn` or any that has `features` and a `head`, and its optimizer."""

    def __init__(self, run: TrainingRun, network: Network, *, learning_rate: float):
        self.networks = [network]
        self._run, self._rate, self._device = run, learning_rate, network.head.weight.device
        self._objective = objective_of(network, run.execution, device=self._device)
        self._optimizer = adamw(network, run.optimizer)
        size, micro_batch = run.optimizer.batch_size, run.execution.micro_batch
        self._processes = processes()
        share = self._processes.rank, self._processes.count
        self._supply = Supply(
            run.task, seed=run.seed, size=size, micro_batch=micro_batch, device=self._device, share=share
        )

    def step(self, step: int) -> Tensor:
        """Takes step number `step`, from 0, and returns losses_E, of the one member, without waiting for the device."""
        return self.advance(self._supply.at(step), rate=self._rate * schedule(step, self._run.optimizer))[None]

    def advance(self, batch: StepBatch, *, rate: float) -> Tensor:
        """Takes one step on a batch and returns its mean loss: that is the mean of what all processes return."""
        set_rate(self._optimizer, rate)
        self._optimizer.zero_grad()
        losses = []
        predicted = batch.predicted / self._processes.count  # as gradients are averaged, not added
        for part in batch.parts:
            with self._added_up(last=part is batch.parts[-1]):
                with autocast(self._device, self._run.precision):
                    loss = self._objective(*part) / predicted
                loss.backward()
            losses.append(loss.detach())
        clipped_step(self._objective, self._optimizer, gradient_clip=self._run.optimizer.gradient_clip)
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def _added_up(self, *, last: bool) -> AbstractContextManager[None]:
        """Returns the context of one part: gradients wait for the last one before they are averaged.

        Not so where weights are sharded: whole gradients would have to be kept.
        """
        waits = isinstance(self._objective, DistributedDataParallel) and not last
        return self._objective.no_sync() if waits else nullcontext()

    def state(self, member: int) -> dict[str, Any]:
        """Returns what `restore` needs to go on from here: alone, in a stack, or spread over any number of processes."""
        if self._processes.sharded:
            return {"shards": self._tensors()}
        return {"network": self.networks[member].state_dict(), "optimizer": self._optimizer.state_dict()}

    def restore(self, member: int, state: dict[str, Any]) -> None:
        """Goes on from where a state was taken."""
        if "shards" in state:
            read_shards(state["shards"], into=self._tensors())
            return
        if self._processes.sharded:
            self._take_share(state)
            return
        self.networks[member].load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])

    def _tensors(self) -> dict[str, Tensor]:
        """Returns by name, for changes in place, all that steps change: weights, and moments, zero before the first step."""
        (network,) = self.networks
        found = {f"network.{name}": x for name, x in network.state_dict().items()}
        names = {id(parameter): name for name, parameter in network.named_parameters()}
        for parameter in self._parameters:
            held = self._optimizer.state[parameter]
            if not held:
                held["step"] = torch.zeros((), device=self._device)
                held |= {name: torch.zeros_like(parameter).detach() for name in ("exp_avg", "exp_avg_sq")}
            found |= {f"optimizer.{names[id(parameter)]}.{name}": x for name, x in held.items()}
        return found

    @property
    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self._optimizer.param_groups for parameter in group["params"]]

    @torch.no_grad()
    def _take_share(self, state: dict[str, Any]) -> None:
        """Goes on from a state that was not sharded, with this process's part of it."""
        from torch.distributed.tensor import DTensor, distribute_tensor

        mine = self._tensors()
        names = {id(parameter): name for name, parameter in self.networks[0].named_parameters()}
        whole = {f"network.{name}": x for name, x in state["network"].items()}
        for index, parameter in enumerate(self._parameters):
            held = state["optimizer"]["state"][index]
            whole |= {f"optimizer.{names[id(parameter)]}.{name}": x for name, x in held.items()}
        for name, x in mine.items():
            split = isinstance(x, DTensor)
            x.copy_(distribute_tensor(whole[name], x.device_mesh, x.placements) if split else whole[name])

    def ended(self, member: int) -> None:
        """Does nothing: a program whose only member has ended is not run on."""

    def kept(self, members: list[int]) -> "Alone":
        """Returns itself, as there is one member to keep."""
        return self


def drawn(run: TrainingRun, *, device: torch.device) -> Network:
    """Returns the network of the run on the device, its weights drawn from the run's seed."""
    torch.manual_seed(run.seed)
    return network_of(run.network, run.task).to(device)
