"""AdamW with a warm-up, a cosine and a clipped gradient (Loshchilov and Hutter 2019, arXiv 1711.05101)."""

import math

import torch
from torch import Tensor, nn

from workflow.runs import OptimizerSpec


def adamw(network: nn.Module, spec: OptimizerSpec) -> torch.optim.AdamW:
    """Returns the optimizer; weight decay acts on matrices and convolutions, not on embeddings, biases, norms and scalars."""
    decayed, plain = parameter_groups(network)
    groups = [{"params": decayed, "weight_decay": spec.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, betas=(0.9, spec.beta2), fused=True)


def parameter_groups(network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Returns the parameters that decay and those that do not."""
    embeddings = {id(module.weight) for module in network.modules() if isinstance(module, nn.Embedding)}
    decayed, plain = [], []
    for parameter in network.parameters():
        (decayed if parameter.ndim >= 2 and id(parameter) not in embeddings else plain).append(parameter)
    return decayed, plain


def schedule(step: int, spec: OptimizerSpec) -> float:
    """Returns the learning rate of a step as a share of its peak: linear warm-up, then a cosine to `final_rate`."""
    if step < spec.warmup_steps:
        return (step + 1) / (spec.warmup_steps + 1)
    progress = (step - spec.warmup_steps) / (spec.steps - spec.warmup_steps)
    return spec.final_rate + (1 - spec.final_rate) * (1 + math.cos(math.pi * progress)) / 2


def descend(network: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, *, gradient_clip: float) -> Tensor:
    """Takes one optimizer step down the clipped gradient of a loss, and returns the loss, detached."""
    optimizer.zero_grad()
    loss.backward()
    clipped_step(network, optimizer, gradient_clip=gradient_clip)
    return loss.detach()


def clipped_step(network: nn.Module, optimizer: torch.optim.Optimizer, *, gradient_clip: float) -> None:
    """Takes one optimizer step down the gradient, whose norm is clipped."""
    nn.utils.clip_grad_norm_(network.parameters(), gradient_clip)
    optimizer.step()


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets the learning rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = rate
