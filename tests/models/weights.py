"""Weights for tests: none at zero, at one or equal to another, as after training."""

from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def perturbed(module: M, *, deviation: float) -> M:
    """The module with a normal number added to every parameter, from torch's global generator."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=deviation)
    return module
