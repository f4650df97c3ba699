"""Pieces that two or more mixers share, and the short convolution that can stand before any of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.mixer import SequenceMixer, State


class InputProjection(nn.Linear):
    """A linear map from the residual stream into a layer. A network finds it by its type, to draw its weights."""


class OutputProjection(nn.Linear):
    """A linear map from a layer to the residual stream. A network finds it by its type, to draw its weights."""


class HeadNorm(nn.Module):
    """Layer norm over the channels of each head, one weight a channel, no bias (Beck et al. 2024, figures 10, 11)."""

    def __init__(self, heads: int, *, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(heads * channels))
        self.channels = channels

    def forward(self, h_BTHV: Tensor) -> Tensor:
        """Returns y_BTW, the heads side by side; leading axes other than B and T are taken as they come."""
        return F.layer_norm(h_BTHV, (self.channels,), eps=1e-6).flatten(-2) * self.weight


class CausalConvolution(nn.Module):
    """y_t = x_t + sum_j weight_j x_{t-j} with j < kernel, for each channel by itself.

    The Canon layer before the mixer (Canon-A) of Allen-Zhu 2025, arXiv 2512.17351: residual and without activation, so that it
    serves attention, linear recurrences and state space models alike. The convolutions that papers put inside their own
    blocks belong to those blocks. `weight` holds the oldest token's factor first.
    """

    def __init__(self, width: int, *, kernel: int):
        super().__init__()
        bound = kernel**-0.5  # torch's own bound for a convolution with one input channel
        self.weight = nn.Parameter(torch.empty(width, kernel).uniform_(-bound, bound))

    def forward(self, x_BTW: Tensor) -> Tensor:
        """Returns y_BTW, with zeros before the first token."""
        return x_BTW + self.convolve(F.pad(x_BTW, (0, 0, self.weight.shape[1] - 1, 0)))

    def convolve(self, x_BTW: Tensor) -> Tensor:
        """Returns the sums for the tokens that have a full window in x: kernel - 1 fewer of them."""
        x_BW1T = x_BTW.mT[:, :, None]  # an image of height one in channels-last order: no transposition is carried out
        y_BW1T = F.conv2d(x_BW1T, self.weight[:, None, None], groups=len(self.weight))
        return y_BW1T[:, :, 0].mT

    def initial_state(self, batch: int) -> Tensor:
        """Returns window_BFW, the zeros before the first token."""
        width, kernel = self.weight.shape
        return self.weight.new_zeros(batch, kernel - 1, width)

    def prefill(self, x_BTW: Tensor, window_BFW: Tensor) -> tuple[Tensor, Tensor]:
        """Returns y_BTW and the window of the last kernel - 1 inputs."""
        seen_BTW = torch.cat([window_BFW, x_BTW.to(window_BFW.dtype)], dim=1)
        return x_BTW + self.convolve(seen_BTW), seen_BTW[:, seen_BTW.shape[1] - window_BFW.shape[1] :].clone()

    def step(self, x_BW: Tensor, window_BFW: Tensor) -> tuple[Tensor, Tensor]:
        """Returns y_BW and the next window."""
        seen_BFW = torch.cat([window_BFW, x_BW[:, None].to(window_BFW.dtype)], dim=1)
        return x_BW + (seen_BFW * self.weight.mT).sum(1), seen_BFW[:, 1:]

    def flops(self, time: int) -> int:
        return 2 * time * self.weight.numel()


class ConvolvedState(NamedTuple):
    window_BFW: Tensor  # the last inputs, as many as the kernel reaches back
    inner: State


class Convolved(SequenceMixer):
    """Any mixer behind the same short causal convolution of its input."""

    def __init__(self, inner: SequenceMixer, *, width: int, kernel: int):
        super().__init__()
        self.convolution = CausalConvolution(width, kernel=kernel)
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


@contextmanager
def operand_precision(device: torch.device) -> Iterator[None]:
    """Suspends autocast: inside, a product has the type of its factors, so that a float32 recurrence stays float32."""
    if torch.amp.is_autocast_available(device.type):
        with torch.autocast(device.type, enabled=False):
            yield
    else:  # the meta device
        yield


def channels_per_head(width: int, *, heads: int) -> int:
    """Returns width / heads; ValueError if the heads do not divide the width."""
    if width % heads:
        raise ValueError(f"width={width} is not divisible by heads={heads}: make width a multiple of heads")
    return width // heads


def chunk_lengths(time: int, *, chunk: int) -> tuple[int, int]:
    """Returns count and length of the fewest equal chunks of at most `chunk` tokens that cover `time` tokens."""
    count = -(-time // chunk)
    return count, -(-time // count)


def chunks(x: Tensor, *, dim: int, length: int) -> Tensor:
    """Returns x with its time axis `dim` split into axes C and L, padded at its end with zeros to whole chunks."""
    missing = -x.shape[dim] % length
    if missing:
        x = torch.cat([x, x.new_zeros(*x.shape[:dim], missing, *x.shape[dim + 1 :])], dim)
    return x.unflatten(dim, (-1, length))


def scanned(initial: Tensor, *, added: Tensor, kept: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Returns the states before each chunk, on axis `dim`, and the last: state = kept * state + added, each chunk."""
    states = [initial]
    for added_once, kept_once in zip(added.unbind(dim), kept.unbind(dim), strict=True):
        states.append(torch.addcmul(added_once, kept_once, states[-1]))
    return torch.stack(states[:-1], dim), states[-1]
