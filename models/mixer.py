"""The contract every architecture keeps: a causal map from a sequence to one of the same shape.

Legend of the shape suffixes used in all of `models/` (`q_BHTK` is a batch of heads of key vectors over time):

    B  batch        T  time (tokens)      W  width of the residual stream
    H  heads        K  key dimension      V  value dimension (per head)
    C  chunk index  L  time inside a chunk      N  vocabulary      F  feed-forward or convolution window
    G  gates of one head, side by side, or groups of heads          R  rank          1  an axis of length one
    E  members of an ensemble, stacked: one of them is what all other code reads (see `models.stacking`)
"""

from abc import ABC, abstractmethod
from typing import Any, Self

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

State = Any  # a NamedTuple of tensors, possibly nested; every mixer names its own


class UnsupportedKernel(RuntimeError):
    """A fused kernel that a specification names cannot run here; the message says what to install or to change."""


class MixerSpec(BaseModel, ABC):
    """Parameters of one mixer: complete, frozen, strict. A subclass adds `name: Literal[...]` and its own fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @abstractmethod
    def build(self, width: int) -> "SequenceMixer":
        """Returns the mixer for a residual stream of `width` channels; ValueError, with the remedy, if it cannot be."""

    def at(self, index: int) -> Self:
        """Returns the mixer of block `index`: itself, as it is no hybrid."""
        return self


class SequenceMixer(nn.Module, ABC):
    """Mixes information across time. It reads all at once, all at once keeping the state, or one by one, and agrees.

    Its linear maps from and to the residual stream are `layers.InputProjection` and `layers.OutputProjection`, whose
    weights the network draws. Everything else it starts by itself.
    """

    @abstractmethod
    def forward(self, x_BTW: Tensor) -> Tensor:
        """Returns y_BTW, where y[:, t] depends on x[:, :t+1] only."""

    @abstractmethod
    def initial_state(self, batch: int, max_time: int) -> State:
        """Returns the state before the first token, able to take `max_time` tokens."""

    @abstractmethod
    def prefill(self, x_BTW: Tensor, state: State) -> tuple[Tensor, State]:
        """Returns y_BTW and the state after the last token of x. `state` is consumed."""

    @abstractmethod
    def step(self, x_BW: Tensor, state: State) -> tuple[Tensor, State]:
        """Returns y_BW for the next token and the state after it. `state` is consumed: in-place caches are legal."""

    @abstractmethod
    def flops(self, time: int) -> int:
        """Returns the floating-point operations of `forward` on one sequence: matrix products and convolutions only.

        A multiply-add counts as two, as in `torch.utils.flop_counter.FlopCounterMode`, which must count the same.
        """


def state_tensors(state: State) -> list[Tensor]:
    """Returns every tensor of a state, nested states included."""
    if isinstance(state, Tensor):
        return [state]
    return [tensor for part in state for tensor in state_tensors(part)]


def state_bytes(state: State) -> int:
    """Returns the bytes a state holds, read off its tensors."""
    return sum(tensor.numel() * tensor.element_size() for tensor in state_tensors(state))


def state_type(x: Tensor) -> torch.dtype:
    """Returns the type recurrent states are kept in: float32 for half-precision inputs, else the input's own type."""
    return torch.promote_types(x.dtype, torch.float32)
