"""Short causal convolutions over time, one per channel: inside a layer, and as an option before any mixer."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.mixer import SequenceMixer, State, state_type
from models.stacking import is_stacked, of_members


class CausalConvolution(nn.Module):
    """y_t = sum_j weight_j x_{t-j} with j < kernel, for each channel by itself, with zeros before the first token.

    `weight` holds the oldest token's factor first. A subclass says what becomes of the sums.
    """

    def __init__(self, width: int, *, kernel: int):
        super().__init__()
        bound = kernel**-0.5  # torch's own bound for a convolution with one input channel
        self.weight = nn.Parameter(torch.empty(width, kernel).uniform_(-bound, bound))

    def completed(self, sums_BTW: Tensor, x_BTW: Tensor) -> Tensor:
        """Returns y of the sums and of the inputs at the same tokens; any axes may come before W."""
        return sums_BTW

    def forward(self, x_BTW: Tensor) -> Tensor:
        return self.prefill(x_BTW, self.initial_state(len(x_BTW)))[0]

    def initial_state(self, batch: int) -> Tensor:
        """Returns window_BFW, the zeros before the first token."""
        width, kernel = self.weight.shape
        return self.weight.new_zeros(batch, kernel - 1, width, dtype=state_type(self.weight))

    def prefill(self, x_BTW: Tensor, window_BFW: Tensor) -> tuple[Tensor, Tensor]:
        """Returns y_BTW and the window of the last kernel - 1 inputs."""
        seen_BTW = torch.cat([window_BFW, x_BTW.to(window_BFW.dtype)], dim=1)
        operands = seen_BTW.to(self.weight.dtype), self.weight
        sums_BTW = of_members(sums_of_members, *operands) if is_stacked(self.weight) else sums(*operands)
        return self.completed(sums_BTW, x_BTW), seen_BTW[:, seen_BTW.shape[1] - window_BFW.shape[1] :].clone()

    def step(self, x_BW: Tensor, window_BFW: Tensor) -> tuple[Tensor, Tensor]:
        """Returns y_BW and the next window."""
        seen_BFW = torch.cat([window_BFW, x_BW[:, None].to(window_BFW.dtype)], dim=1)
        return self.completed((seen_BFW * self.weight.mT).sum(1).to(x_BW.dtype), x_BW), seen_BFW[:, 1:]

    def flops(self, time: int) -> int:
        return 2 * time * self.weight.numel()


def sums(seen_BTW: Tensor, weight_WF: Tensor) -> Tensor:
    """Returns each channel's sums over F tokens, from the first F tokens on."""
    seen_BW1T = seen_BTW.mT[:, :, None]  # an image in channels-last order: nothing is transposed
    return F.conv2d(seen_BW1T, weight_WF[:, None, None], groups=len(weight_WF)).squeeze(2).mT


def sums_of_members(seen_EBTW: Tensor, weight_EWF: Tensor) -> Tensor:
    """Returns the sums with the channels of all members side by side in one image, which vmap would make channels-first."""
    sums_BTW = sums(seen_EBTW.permute(1, 2, 0, 3).flatten(2), weight_EWF.flatten(0, 1))
    return sums_BTW.unflatten(2, (len(weight_EWF), -1)).permute(2, 0, 1, 3)


class InnerConvolution(CausalConvolution):
    """y = SiLU(sums + bias), the convolution inside the blocks of Mamba and xLSTM. It starts as torch starts a convolution."""

    def __init__(self, width: int, *, kernel: int):
        super().__init__(width, kernel=kernel)
        bound = kernel**-0.5
        self.bias = nn.Parameter(torch.empty(width).uniform_(-bound, bound))

    def completed(self, sums_BTW: Tensor, x_BTW: Tensor) -> Tensor:
        # Given to the convolution itself, the bias would make its gradient several times as slow.
        return F.silu(sums_BTW + self.bias)


class CanonConvolution(CausalConvolution):
    """y = x + sums: the Canon layer before the mixer (Canon-A) of Allen-Zhu 2025, arXiv 2512.17351.

    Residual and without activation, it serves attention, linear recurrences and state space models alike. The convolutions
    that papers put inside their own blocks belong to those blocks.
    """

    def completed(self, sums_BTW: Tensor, x_BTW: Tensor) -> Tensor:
        return x_BTW + sums_BTW


class ConvolvedState(NamedTuple):
    window_BFW: Tensor  # the last inputs, as many as the kernel reaches back
    inner: State


class Convolved(SequenceMixer):
    """Any mixer behind the same short causal convolution of its input."""

    def __init__(self, inner: SequenceMixer, *, width: int, kernel: int):
        super().__init__()
        self.convolution = CanonConvolution(width, kernel=kernel)
        self.inner = inner

    def forward(self, x_BTW: Tensor) -> Tensor:
        return self.inner(self.convolution(x_BTW))

    def initial_state(self, batch: int, max_time: int) -> ConvolvedState:
        return ConvolvedState(self.convolution.initial_state(batch), self.inner.initial_state(batch, max_time))

    def prefill(self, x_BTW: Tensor, state: ConvolvedState) -> tuple[Tensor, ConvolvedState]:
        x_BTW, window_BFW = self.convolution.prefill(x_BTW, state.window_BFW)
        y_BTW, inner = self.inner.prefill(x_BTW, state.inner)
        return y_BTW, ConvolvedState(window_BFW, inner)

    def step(self, x_BW: Tensor, state: ConvolvedState) -> tuple[Tensor, ConvolvedState]:
        x_BW, window_BFW = self.convolution.step(x_BW, state.window_BFW)
        y_BW, inner = self.inner.step(x_BW, state.inner)
        return y_BW, ConvolvedState(window_BFW, inner)

    def flops(self, time: int) -> int:
        return self.convolution.flops(time) + self.inner.flops(time)
