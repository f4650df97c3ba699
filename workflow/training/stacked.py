"""Runs that differ in learning rate and seed, trained as one program: their weights stacked, each operation done for all.

A member's arithmetic is that of `Alone` but for rounding, and what becomes of one member touches no other.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from tasks.task import IGNORE
from workflow.batches import Prepared, Supply
from workflow.evaluation import network_of
from workflow.runs import TrainingRun
from workflow.training.alone import drawn
from workflow.training.objective import Objective
from workflow.training.optimizer import adamw, parameter_groups, schedule
from workflow.training.replay import Replay

_MEAN_DECAY, _EPSILON = 0.9, 1e-8  # those of `optimizer.adamw`
_ALIGNED = 16  # numbers: a parameter of every member starts where vector instructions like it


class Stacked:
    """A program of E members. Row e of weights_EP is all that network e learns: its parameters are views of it."""

    def __init__(self, runs: Sequence[TrainingRun], *, learning_rates: Sequence[float], device: torch.device):
        self._runs, self._rates, self._device = list(runs), list(learning_rates), device
        self.networks = [drawn(run, device=device) for run in runs]
        self._optimizers = [adamw(network, runs[0].optimizer) for network in self.networks]  # hold moments, never step
        with torch.device("meta"):
            self._code = Objective(network_of(runs[0].network, runs[0].task))
        self._lay_out()
        names = [name for name, _ in self._code.named_buffers()]
        buffers = [dict(Objective(network).named_buffers()) for network in self.networks]
        self._buffers = {name: torch.stack([found[name] for found in buffers]) for name in names}
        size = runs[0].optimizer.batch_size
        self._supplies = {
            run.seed: Supply(run.task, seed=run.seed, size=size, micro_batch=None, device=device) for run in runs
        }
        self._advance = Replay(self._advanced, device=device)

    def _lay_out(self) -> None:
        """Puts the parameters of all members, and their moments, into one tensor each, in the order of the optimizer."""
        parameters = [[p for group in parameter_groups(network) for p in group] for network in self.networks]
        names = {id(parameter): name for name, parameter in Objective(self.networks[0]).named_parameters()}
        self._parts: list[tuple[str, torch.Size, slice]] = []
        end = 0
        for parameter in parameters[0]:
            start, end = end, end + parameter.numel()
            self._parts.append((names[id(parameter)], parameter.shape, slice(start, end)))
            end += -end % _ALIGNED
        self._weights_EP = torch.zeros(len(parameters), end, device=self._device)
        self._mean_EP, self._square_EP = torch.zeros_like(self._weights_EP), torch.zeros_like(self._weights_EP)
        self._decay_P = torch.zeros(end, device=self._device)
        self._count = torch.zeros(())
        spec, decayed = self._runs[0].optimizer, len(parameter_groups(self.networks[0])[0])
        for _, _, part in self._parts[:decayed]:
            self._decay_P[part] = spec.weight_decay
        for e, (own, optimizer) in enumerate(zip(parameters, self._optimizers, strict=True)):
            for parameter, (_, shape, part) in zip(own, self._parts, strict=True):
                weights, mean, square = (x_EP[e, part].view(shape) for x_EP in self._all)
                parameter.data = weights.copy_(parameter.data)
                optimizer.state[parameter] = {"step": self._count, "exp_avg": mean, "exp_avg_sq": square}

    @property
    def _all(self) -> tuple[Tensor, Tensor, Tensor]:
        return self._weights_EP, self._mean_EP, self._square_EP

    def step(self, step: int) -> Tensor:
        """Takes step number `step`, from 0, and returns losses_E, without waiting for the device."""
        batches = {seed: supply.at(step) for seed, supply in self._supplies.items()}
        mine = [batches[run.seed] for run in self._runs]
        spec = self._runs[0].optimizer
        self._count.fill_(step + 1)
        share = schedule(step, spec)
        rates_E = [rate * share for rate in self._rates]
        mean, square = 1 - _MEAN_DECAY ** (step + 1), 1 - spec.beta2 ** (step + 1)
        knobs = [
            [batch.predicted for batch in mine],
            rates_E,
            [rate / mean for rate in rates_E],
            [square**0.5] * len(mine),
        ]
        on_device = torch.tensor(knobs, dtype=torch.float32).to(self._device, non_blocking=True)
        return self._advance(*_together([batch.parts[0] for batch in mine]), on_device)

    def _advanced(self, inputs: Tensor, index_EN: Tensor | None, targets: Tensor, knobs_4E: Tensor) -> Tensor:
        """Takes one AdamW step of all members, each down its own clipped gradient, and returns losses_E."""
        predicted_E, rate_E, scaled_rate_E, root_E = knobs_4E
        spec = self._runs[0].optimizer
        weights_EP = self._weights_EP.detach().requires_grad_()
        with self._autocast(), torch.enable_grad():
            losses_E = self._losses(weights_EP, inputs, index_EN, targets) / predicted_E
            (gradient_EP,) = torch.autograd.grad(losses_E.sum(), weights_EP)
        with torch.no_grad():
            norm_E = torch.linalg.vector_norm(gradient_EP, dim=1)
            gradient_EP.mul_((spec.gradient_clip / (norm_E + 1e-6)).clamp_(max=1)[:, None])
            self._mean_EP.lerp_(gradient_EP, 1 - _MEAN_DECAY)
            self._square_EP.mul_(spec.beta2).addcmul_(gradient_EP, gradient_EP, value=1 - spec.beta2)
            size_EP = self._square_EP.sqrt().div_(root_E[:, None]).add_(_EPSILON)
            self._weights_EP.addcmul_(self._weights_EP * self._decay_P, rate_E[:, None], value=-1)
            self._weights_EP.addcmul_(self._mean_EP / size_EP, scaled_rate_E[:, None], value=-1)
        return losses_E.detach()

    def _losses(self, weights_EP: Tensor, inputs: Tensor, index_EN: Tensor | None, targets: Tensor) -> Tensor:
        sizes = [part.stop - part.start + -part.stop % _ALIGNED for _, _, part in self._parts]
        pieces = weights_EP.split(sizes, dim=1)
        parameters = {
            name: piece[:, : shape.numel()].unflatten(1, shape) if shape else piece[:, 0]
            for (name, shape, _), piece in zip(self._parts, pieces, strict=True)
        }

        def loss(own: dict[str, Tensor], buffers: dict[str, Tensor], *batch: Tensor | None) -> Tensor:
            return functional_call(self._code, (own, buffers), batch)

        axes = (0, 0, 0, None if index_EN is None else 0, 0)
        return vmap(loss, in_dims=axes)(parameters, self._buffers, inputs, index_EN, targets)

    def _autocast(self) -> torch.autocast:
        enabled = self._runs[0].precision == "bfloat16"
        return torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=enabled, cache_enabled=False)

    def state(self, member: int) -> dict[str, Any]:
        """Returns what `restore` needs to go on from here, in a stack or alone."""
        state = {
            "network": self.networks[member].state_dict(),
            "optimizer": self._optimizers[member].state_dict(),
        }
        return _copied(state)  # a view would bring what it is a view of

    def restore(self, member: int, state: dict[str, Any]) -> None:
        """Goes on from where a state was taken; the members' states are of the same step."""
        self.networks[member].load_state_dict(state["network"])
        moments = state["optimizer"]["state"]
        for index, (_, shape, part) in enumerate(self._parts):
            for name, x_EP in (("exp_avg", self._mean_EP), ("exp_avg_sq", self._square_EP)):
                x_EP[member, part].view(shape).copy_(moments[index][name])

    def ended(self, member: int) -> None:
        """Holds the weights of a member still: what is computed for it from here on is for nothing."""
        self._rates[member] = 0.0

    def kept(self, members: list[int]) -> "Stacked":
        """Returns the program of these members alone, where they are now."""
        runs, rates = [self._runs[e] for e in members], [self._rates[e] for e in members]
        fewer = Stacked(runs, learning_rates=rates, device=self._device)
        for new, old in enumerate(members):
            fewer.restore(new, self.state(old))
        return fewer


def _together(parts: list[Prepared]) -> tuple[Tensor, Tensor | None, Tensor]:
    """Returns the members' batches side by side; where one has fewer labels, targets to ignore fill it up."""
    inputs = torch.stack([part.inputs for part in parts])
    if all(part.index_N is None for part in parts):
        return inputs, None, torch.stack([part.targets for part in parts])
    count = max(len(part.targets) for part in parts)
    everywhere = torch.arange(inputs[0, ..., 0].numel() if inputs.is_floating_point() else inputs[0].numel())
    index, targets = [], []
    for part in parts:
        own, missing = part.index_N if part.index_N is not None else everywhere, count - len(part.targets)
        index.append(torch.nn.functional.pad(own.to(inputs.device), (0, missing)))
        assert not missing or not inputs.is_floating_point(), "windows of a series have equally many labels"
        targets.append(torch.nn.functional.pad(part.targets, (0, missing), value=IGNORE) if missing else part.targets)
    return inputs, torch.stack(index), torch.stack(targets)


def _copied(state: Any) -> Any:
    if isinstance(state, Tensor):
        return state.clone()
    if isinstance(state, dict):
        return {key: _copied(value) for key, value in state.items()}
    return [_copied(value) for value in state] if isinstance(state, list) else state
