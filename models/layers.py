"""Pieces that two or more mixers share."""

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.mixer import state_type
from models.stacking import is_stacked, of_members


class InputProjection(nn.Linear):
    """A linear map from the residual stream into a layer. A network finds it by its type, to draw its weights."""


class OutputProjection(nn.Linear):
    """A linear map from a layer to the residual stream. A network finds it by its type, to draw its weights."""


class HeadNorm(nn.Module):
    """Layer norm over the channels of each head, one weight a channel, no bias (Beck et al. 2024, figures 10, 11)."""

    def __init__(self, heads: int, *, channels: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(heads * channels))
        self.channels, self.eps = channels, eps

    def forward(self, h_BTHV: Tensor) -> Tensor:
        """Returns y_BTW, the heads side by side; leading axes other than B and T are taken as they come."""
        return F.layer_norm(h_BTHV, (self.channels,), eps=self.eps).flatten(-2) * self.weight


class RMSNorm(nn.RMSNorm):
    """y = w x / sqrt(mean(x^2) + eps) (Zhang and Sennrich 2019, arXiv 1910.07467, equation 4), with a quick gradient on a CPU.

    There PyTorch takes it one small operation at a time, which costs two to four times as much as what is written out here.
    """

    def __init__(self, width: int, *, eps: float):
        super().__init__(width, eps=eps)

    def forward(self, x_BTW: Tensor) -> Tensor:
        if is_stacked(x_BTW):
            return of_members(rms_norm_of_members, x_BTW, self.weight, self.eps)
        if quick(x_BTW, self.weight):
            return RootMeanSquare.apply(x_BTW, self.weight, self.eps)
        return super().forward(x_BTW)


def quick(x: Tensor, weight: Tensor) -> bool:
    """Returns whether what is written out here is for these, and whether there will be a gradient."""
    return torch.is_grad_enabled() and x.device.type == "cpu" and x.dtype == weight.dtype == state_type(x)


def rms_norm_of_members(x_EBTW: Tensor, weight_EW: Tensor, eps: float) -> Tensor:
    """Returns what `RMSNorm` says, each member's with its own weight."""
    x_ETW, weight_E1W = x_EBTW.flatten(1, -2), weight_EW[:, None]
    if quick(x_ETW, weight_E1W):
        y_ETW = RootMeanSquare.apply(x_ETW, weight_E1W, eps)
    else:
        y_ETW = F.rms_norm(x_ETW, x_ETW.shape[-1:], eps=eps) * weight_E1W
    return y_ETW.view(x_EBTW.shape)


class RootMeanSquare(torch.autograd.Function):
    """What `RMSNorm` says, and its gradient; of members, for x_ETW and weight_E1W."""

    @staticmethod
    def forward(ctx: Any, x_BTW: Tensor, weight_W: Tensor, eps: float) -> Tensor:
        size_BT1 = torch.linalg.vector_norm(x_BTW, dim=-1, keepdim=True)
        scale_BT1 = size_BT1.square_().div_(weight_W.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x_BTW, weight_W, scale_BT1)
        return (x_BTW * scale_BT1).mul_(weight_W)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_BTW: Tensor) -> tuple[Tensor, Tensor, None]:
        """With s the scale of a token, dw = sum_t s x dy and dx = s w dy - s^3 x (x . w dy) / W."""
        x_BTW, weight_W, scale_BT1 = ctx.saved_tensors
        product_BTW = dy_BTW * x_BTW
        with operand_precision(x_BTW.device):
            if weight_W.dim() == 1:
                dweight_W = scale_BT1.flatten() @ product_BTW.flatten(0, -2)
                along_BT1 = (product_BTW @ weight_W)[..., None]
            else:
                dweight_W, along_BT1 = scale_BT1.mT @ product_BTW, product_BTW @ weight_W.mT
            along_BT1.mul_(scale_BT1**3).div_(-weight_W.shape[-1])
        dx_BTW = torch.mul(dy_BTW, scale_BT1, out=product_BTW).mul_(weight_W).addcmul_(x_BTW, along_BT1)
        return dx_BTW, dweight_W, None


def operand_precision(device: torch.device) -> AbstractContextManager[object]:
    """Suspends autocast: inside, a product has the type of its factors, so that a float32 recurrence stays float32."""
    active = torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)
    return torch.autocast(device.type, enabled=False) if active else nullcontext()


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


def initial_dt_bias(count: int) -> Tensor:
    """Returns the values whose softplus is dt, log-uniform in [0.001, 0.1] (section 3.6 of the first Mamba paper)."""
    dt = torch.empty(count).uniform_(math.log(1e-3), math.log(1e-1)).exp_()
    return dt + torch.log(-torch.expm1(-dt))


def sinusoids(time: int, *, width: int) -> Tensor:
    """Returns p_TW in float32, sines and cosines of the position at geometric wavelengths (Vaswani et al. 2017, section 3.5)."""
    angles_TF = torch.arange(time)[:, None] * 10000.0 ** (-torch.arange(0, width, 2) / width)
    return torch.stack([angles_TF.sin(), angles_TF.cos()], dim=-1).flatten(1)[:, :width]
