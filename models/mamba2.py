"""Mamba-2: structured state space duality (Dao and Gu 2024, "Transformers are SSMs", arXiv 2405.21060).

One deviation: the paper's block passes x, B and C through a short convolution and SiLU of its own. In the shared block
neither is inside: the short convolution is an option of the network, before any mixer, and the same for all.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from models.convolution import InnerConvolution
from models.kernels.mamba2 import mamba_ssm
from models.layers import (
    InputProjection,
    OutputProjection,
    chunk_lengths,
    chunks,
    initial_dt_bias,
    operand_precision,
    scanned,
)
from models.mamba import Kernel, convolved
from models.mixer import MixerSpec, SequenceMixer, state_type


class Mamba2Spec(MixerSpec):
    """`heads` states of `state_dim` x (expand * width / heads); B and C are shared by all heads (one group)."""

    name: Literal["mamba2"]
    heads: PositiveInt
    state_dim: PositiveInt
    expand: PositiveInt
    chunk: PositiveInt
    kernel: Kernel

    def build(self, width: int) -> "Mamba2":
        return Mamba2(
            width,
            heads=self.heads,
            state_dim=self.state_dim,
            expand=self.expand,
            groups=1,
            convolution=0,
            chunk=self.chunk,
            kernel=self.kernel,
        )


class Mamba2State(NamedTuple):
    """What the convolution inside the layer still needs of its inputs (nothing without one), and the state S of all heads.

    The heads' channels lie side by side, as all heads of a group meet the same B and C.
    """

    window_BFW: Tensor
    S_BKHV: Tensor


class Mamba2(SequenceMixer):
    """y = norm(SSD(x, dt, A, B, C, D) * SiLU(z)) W_out with z, x, B, C, dt = u W_in, dt = softplus(dt + b).

    The paper's B and C, which write to and read from the state, are `k` and `q` here; each of `groups` of heads has its own,
    and its own mean square in the norm. As released, A starts uniform in [-16, -1], D at 1, dt log-uniform in [0.001, 0.1].
    `convolution` is the kernel of the convolution over x, B and C inside the layer, 0 for none.
    """

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        state_dim: int,
        expand: int,
        groups: int,
        convolution: int,
        chunk: int,
        kernel: Kernel,
    ):
        super().__init__()
        inner = expand * width
        if inner % heads:
            raise ValueError(
                f"expand={expand} times width={width} is not divisible by heads={heads}: "
                "make expand * width a multiple of heads"
            )
        if heads % groups:
            raise ValueError(f"heads={heads} is not divisible by groups={groups}: make heads a multiple of groups")
        self.heads, self.state_dim, self.groups, self.chunk, self.kernel = heads, state_dim, groups, chunk, kernel
        self.parts = [inner, groups * state_dim, groups * state_dim]
        self.zxkqdt = InputProjection(width, inner + sum(self.parts) + heads, bias=False)
        self.convolution = InnerConvolution(sum(self.parts), kernel=convolution) if convolution else None
        self.log_minus_A_H = nn.Parameter(torch.empty(heads).uniform_(1, 16).log_())
        self.dt_bias_H = nn.Parameter(initial_dt_bias(heads))
        self.D_H = nn.Parameter(torch.ones(heads))
        self.norm_weight_W = nn.Parameter(torch.ones(inner))
        self.out = OutputProjection(inner, width, bias=False)

    def project(self, u_BTW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the gate's z_BTW, x, k and q side by side before their convolution, and dt_BTH before its softplus."""
        inner = self.parts[0]
        return self.zxkqdt(u_BTW).split([inner, sum(self.parts), self.heads], dim=-1)

    def operands(self, xkq_BTW: Tensor, dt_BTH: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Returns those of `chunkwise` in the state's type; a fused kernel is given x, k and q as they come."""
        dtype = state_type(xkq_BTW)
        dt_BTH = F.softplus(dt_BTH.to(dtype) + self.dt_bias_H)
        x_BTW, k_BTW, q_BTW = (xkq_BTW.to(dtype) if self.kernel == "torch" else xkq_BTW).split(self.parts, dim=-1)
        k_BTGK, q_BTGK = (part.unflatten(-1, (self.groups, -1)) for part in (k_BTW, q_BTW))
        A_H = -self.log_minus_A_H.to(dtype).exp()
        return x_BTW.unflatten(-1, (self.heads, -1)), dt_BTH, A_H, k_BTGK, q_BTGK, self.D_H.to(dtype)

    def merge(self, y_BTHV: Tensor, z_BTW: Tensor) -> Tensor:
        y_BTGW = (y_BTHV.flatten(-2) * F.silu(z_BTW)).unflatten(-1, (self.groups, -1))
        y_BTW = F.rms_norm(y_BTGW, y_BTGW.shape[-1:], eps=1e-5).flatten(-2) * self.norm_weight_W
        return self.out(y_BTW.to(z_BTW.dtype))

    def forward(self, x_BTW: Tensor) -> Tensor:
        if self.kernel != "torch" or x_BTW.shape[1] > self.chunk:
            return self.prefill(x_BTW, self.initial_state(len(x_BTW), x_BTW.shape[1]))[0]
        z_BTW, xkq_BTW, dt_BTH = self.project(x_BTW)
        if self.convolution:
            xkq_BTW = self.convolution(xkq_BTW)
        with operand_precision(x_BTW.device):
            y_BTHV = dual(*self.operands(xkq_BTW, dt_BTH))
        return self.merge(y_BTHV, z_BTW)

    def initial_state(self, batch: int, max_time: int) -> Mamba2State:
        weight, inner = self.out.weight, self.parts[0]
        S_BKHV = weight.new_zeros(batch, self.state_dim, self.heads, inner // self.heads, dtype=state_type(weight))
        empty = S_BKHV.new_zeros(batch, 0, sum(self.parts))
        return Mamba2State(self.convolution.initial_state(batch) if self.convolution else empty, S_BKHV)

    def prefill(self, x_BTW: Tensor, state: Mamba2State) -> tuple[Tensor, Mamba2State]:
        (z_BTW, xkq_BTW, dt_BTH), window_BFW = self.project(x_BTW), state.window_BFW
        if self.convolution:
            xkq_BTW, window_BFW = convolved(self.convolution, xkq_BTW, window_BFW, kernel=self.kernel)
        with operand_precision(x_BTW.device):
            y_BTHV, S_BKHV = scan(self.kernel)(*self.operands(xkq_BTW, dt_BTH), state.S_BKHV, chunk=self.chunk)
        return self.merge(y_BTHV, z_BTW), Mamba2State(window_BFW, S_BKHV)

    def step(self, x_BW: Tensor, state: Mamba2State) -> tuple[Tensor, Mamba2State]:
        (z_BW, xkq_BW, dt_BH), window_BFW = self.project(x_BW), state.window_BFW
        if self.convolution:
            xkq_BW, window_BFW = self.convolution.step(xkq_BW, window_BFW)
        with operand_precision(x_BW.device):
            y_BHV, S_BKHV = recurrent(
                *(part.to(state.S_BKHV.dtype) for part in self.operands(xkq_BW, dt_BH)), state.S_BKHV
            )
        return self.merge(y_BHV, z_BW), Mamba2State(window_BFW, S_BKHV)

    def flops(self, time: int) -> int:
        inner, keys, _ = self.parts
        count, length = chunk_lengths(time, chunk=self.chunk)
        projections = self.zxkqdt.weight.numel() + self.out.weight.numel()
        convolution = self.convolution.flops(time) if self.convolution else 0
        within = count * length**2 * (keys + inner)
        across = 0 if time <= self.chunk else 2 * count * length * self.state_dim * inner
        return convolution + 2 * (time * projections + within + across)


def scan(kernel: Kernel) -> Callable[..., tuple[Tensor, Tensor]]:
    """Returns `chunkwise` or its fused form."""
    return {"torch": chunkwise, "mamba-ssm": mamba_ssm}[kernel]


def recurrent(
    x_BHV: Tensor, dt_BH: Tensor, A_H: Tensor, k_BGK: Tensor, q_BGK: Tensor, D_H: Tensor, S_BKHV: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns y_BHV and the next state: equation 1 with A a scalar per head, and the path D x past the state."""
    groups = k_BGK.shape[1]
    written_BKHV = (k_BGK.mT[..., None, None] * grouped(x_BHV * dt_BH[..., None], groups, dim=1)[:, None]).flatten(2, 3)
    S_BKHV = torch.addcmul(written_BKHV, torch.exp(dt_BH * A_H)[:, None, :, None], S_BKHV)  # (1a)
    S_BGKW = grouped(S_BKHV, groups, dim=2).transpose(1, 2).flatten(3)
    y_BHV = (q_BGK[:, :, None] @ S_BGKW).view_as(x_BHV)  # (1b)
    return torch.addcmul(y_BHV, D_H[:, None], x_BHV), S_BKHV


def grouped(x_H: Tensor, groups: int, *, dim: int) -> Tensor:
    """Returns x with its axis `dim` of heads split into groups and the heads of a group."""
    return x_H.unflatten(dim, (groups, -1))


def attended(x_THV: Tensor, k_TK: Tensor, q_TK: Tensor, b_TH: Tensor) -> Tensor:
    """Returns y_THV = (L o C B^T) x within one chunk, L_tj = exp(b_t - b_j) for j <= t: the dual form, section 3.

    b is the running sum of dt A; any axes may come before T.
    """
    b_HT = b_TH.mT
    future_TT = torch.full((b_HT.shape[-1], b_HT.shape[-1]), torch.inf, dtype=b_HT.dtype, device=b_HT.device).triu(1)
    decay_HTT = torch.exp(b_HT[..., :, None] - b_HT[..., None, :] - future_TT)
    weights_HTT = (q_TK @ k_TK.mT).unsqueeze(-3) * decay_HTT
    return (weights_HTT @ x_THV.transpose(-3, -2)).transpose(-3, -2)


def by_group(
    x_BTHV: Tensor, dt_BTH: Tensor, A_H: Tensor, k_BTGK: Tensor, q_BTGK: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns dt x and dt A, split into groups of heads and those before the time, k and q."""
    groups = k_BTGK.shape[2]
    w_BGTHV = grouped(x_BTHV * dt_BTH[..., None], groups, dim=2).transpose(1, 2)
    return w_BGTHV, grouped(dt_BTH * A_H, groups, dim=2).transpose(1, 2), k_BTGK.transpose(1, 2), q_BTGK.transpose(1, 2)


def dual(x_BTHV: Tensor, dt_BTH: Tensor, A_H: Tensor, k_BTGK: Tensor, q_BTGK: Tensor, D_H: Tensor) -> Tensor:
    """Returns y_BTHV from the empty state, without computing any state: all as one chunk."""
    w_BGTHV, log_decay_BGTH, k_BGTK, q_BGTK = by_group(x_BTHV, dt_BTH, A_H, k_BTGK, q_BTGK)
    y_BGTHV = attended(w_BGTHV, k_BGTK, q_BGTK, log_decay_BGTH.cumsum(2))
    return torch.addcmul(y_BGTHV.transpose(1, 2).flatten(2, 3), x_BTHV, D_H[:, None])


def chunkwise(
    x_BTHV: Tensor,
    dt_BTH: Tensor,
    A_H: Tensor,
    k_BTGK: Tensor,
    q_BTGK: Tensor,
    D_H: Tensor,
    S_BKHV: Tensor,
    *,
    chunk: int,
) -> tuple[Tensor, Tensor]:
    """Returns y_BTHV and the state after the last token: quadratic within chunks, recurrent across them (section 6).

    The heads of the suffixes are those of one group wherever there is an axis G of groups.
    """
    time, groups = x_BTHV.shape[1], k_BTGK.shape[2]
    _, length = chunk_lengths(time, chunk=chunk)
    w_BGCLHV, log_decay_BGCLH, k_BGCLK, q_BGCLK = (
        chunks(x, dim=2, length=length) for x in by_group(x_BTHV, dt_BTH, A_H, k_BTGK, q_BTGK)
    )
    b_BGCLH = log_decay_BGCLH.cumsum(3)

    written_BGCLHV = w_BGCLHV * torch.exp(b_BGCLH[:, :, :, -1:] - b_BGCLH)[..., None]
    added_BGCKHV = (k_BGCLK.mT @ written_BGCLHV.flatten(4)).unflatten(-1, w_BGCLHV.shape[-2:])
    kept_BGC1H1 = torch.exp(b_BGCLH[:, :, :, -1:, :, None])
    S_BGKHV = grouped(S_BKHV, groups, dim=2).transpose(1, 2)
    S_BGCKHV, S_BGKHV = scanned(S_BGKHV, added=added_BGCKHV, kept=kept_BGC1H1, dim=2)

    before_BGCLHV = (q_BGCLK @ S_BGCKHV.flatten(4)).view_as(w_BGCLHV)
    within_BGCLHV = attended(w_BGCLHV, k_BGCLK, q_BGCLK, b_BGCLH)
    y_BGCLHV = torch.addcmul(within_BGCLHV, before_BGCLHV, torch.exp(b_BGCLH)[..., None])
    y_BTHV = y_BGCLHV.flatten(2, 3)[:, :, :time].transpose(1, 2).flatten(2, 3)
    return torch.addcmul(y_BTHV, x_BTHV, D_H[:, None]), S_BGKHV.transpose(1, 2).flatten(2, 3)
