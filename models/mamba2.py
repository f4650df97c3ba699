"""Mamba-2: structured state space duality (Dao and Gu 2024, "Transformers are SSMs", arXiv 2405.21060).

One deviation: the paper's block passes x, B and C through a short convolution and SiLU of its own. Here neither is
inside: the short convolution is an option of the network, before any mixer, and the same for all.
"""

import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from models.layers import InputProjection, OutputProjection, chunk_lengths, chunks, operand_precision, scanned
from models.mixer import MixerSpec, SequenceMixer, state_type


class Mamba2Spec(MixerSpec):
    """`heads` states of `state_dim` x (expand * width / heads); B and C are shared by all heads (one group)."""

    name: Literal["mamba2"]
    heads: PositiveInt
    state_dim: PositiveInt
    expand: PositiveInt
    chunk: PositiveInt

    def build(self, width: int) -> "Mamba2":
        if self.expand * width % self.heads:
            raise ValueError(
                f"expand={self.expand} times width={width} is not divisible by heads={self.heads}: "
                "make expand * width a multiple of heads"
            )
        return Mamba2(width, heads=self.heads, state_dim=self.state_dim, expand=self.expand, chunk=self.chunk)


class Mamba2State(NamedTuple):
    """The state S of every head; the heads' channels lie side by side, as all of them meet the same B and C."""

    S_BKHV: Tensor


class Mamba2(SequenceMixer):
    """y = norm(SSD(x, dt, A, B, C) * SiLU(z)) W_out with z, x, B, C, dt = u W_in.

    The paper's B and C, which write to and read from the state, are `k` and `q` here. A starts uniform in [1, 16], dt
    log-uniform in [0.001, 0.1].
    """

    def __init__(self, width: int, *, heads: int, state_dim: int, expand: int, chunk: int):
        super().__init__()
        self.heads, self.chunk, inner = heads, chunk, expand * width
        self.parts = [inner, inner, state_dim, state_dim, heads]
        self.zxbcdt = InputProjection(width, sum(self.parts), bias=False)
        self.log_minus_A_H = nn.Parameter(torch.empty(heads).uniform_(1, 16).log_())
        dt_H = torch.empty(heads).uniform_(math.log(1e-3), math.log(1e-1)).exp_()
        self.dt_bias_H = nn.Parameter(dt_H + torch.log(-torch.expm1(-dt_H)))  # softplus of it is dt
        self.D_H = nn.Parameter(torch.ones(heads))
        self.norm_weight_W = nn.Parameter(torch.ones(inner))
        self.out = OutputProjection(inner, width, bias=False)

    def project(self, x_BTW: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Returns x_BTHV, k_BTK, q_BTK and dt_BTH in the state's type, and the gate's z_BTW."""
        z_BTW, x_BTW, k_BTK, q_BTK, dt_BTH = self.zxbcdt(x_BTW).split(self.parts, dim=-1)
        dtype = state_type(x_BTW)
        dt_BTH = F.softplus(dt_BTH.to(dtype) + self.dt_bias_H)
        return x_BTW.to(dtype).unflatten(-1, (self.heads, -1)), k_BTK.to(dtype), q_BTK.to(dtype), dt_BTH, z_BTW

    def merge(self, y_BTHV: Tensor, x_BTHV: Tensor, z_BTW: Tensor) -> Tensor:
        y_BTW = torch.addcmul(y_BTHV, x_BTHV, self.D_H[:, None]).flatten(-2) * F.silu(z_BTW)
        y_BTW = F.rms_norm(y_BTW, y_BTW.shape[-1:], eps=1e-5) * self.norm_weight_W
        return self.out(y_BTW.to(z_BTW.dtype))

    def forward(self, x_BTW: Tensor) -> Tensor:
        x_BTHV, k_BTK, q_BTK, dt_BTH, z_BTW = self.project(x_BTW)
        log_decay_BTH = dt_BTH * -self.log_minus_A_H.exp()
        with operand_precision(x_BTW.device):
            if x_BTW.shape[1] <= self.chunk:
                y_BTHV = attended(x_BTHV * dt_BTH[..., None], k_BTK, q_BTK, log_decay_BTH.cumsum(1))
            else:
                state = self.initial_state(len(x_BTW), x_BTW.shape[1])
                y_BTHV, _ = chunkwise(x_BTHV * dt_BTH[..., None], k_BTK, q_BTK, log_decay_BTH, state, chunk=self.chunk)
        return self.merge(y_BTHV, x_BTHV, z_BTW)

    def initial_state(self, batch: int, max_time: int) -> Mamba2State:
        weight, (inner, _, state_dim, _, heads) = self.out.weight, self.parts
        return Mamba2State(weight.new_zeros(batch, state_dim, heads, inner // heads, dtype=state_type(weight)))

    def prefill(self, x_BTW: Tensor, state: Mamba2State) -> tuple[Tensor, Mamba2State]:
        x_BTHV, k_BTK, q_BTK, dt_BTH, z_BTW = self.project(x_BTW)
        log_decay_BTH = dt_BTH * -self.log_minus_A_H.exp()
        with operand_precision(x_BTW.device):
            y_BTHV, state = chunkwise(x_BTHV * dt_BTH[..., None], k_BTK, q_BTK, log_decay_BTH, state, chunk=self.chunk)
        return self.merge(y_BTHV, x_BTHV, z_BTW), state

    def step(self, x_BW: Tensor, state: Mamba2State) -> tuple[Tensor, Mamba2State]:
        x_BHV, k_BK, q_BK, dt_BH, z_BW = self.project(x_BW)
        log_decay_BH = dt_BH * -self.log_minus_A_H.exp()
        with operand_precision(x_BW.device):
            y_BHV, state = recurrent(x_BHV * dt_BH[..., None], k_BK, q_BK, log_decay_BH, state)
        return self.merge(y_BHV, x_BHV, z_BW), state

    def flops(self, time: int) -> int:
        inner, _, K, _, _ = self.parts
        count, length = chunk_lengths(time, chunk=self.chunk)
        projections = self.zxbcdt.weight.numel() + self.out.weight.numel()
        within = count * length**2 * (K + inner)
        across = 0 if time <= self.chunk else 2 * count * length * K * inner
        return 2 * (time * projections + within + across)


def recurrent(
    x_BHV: Tensor, k_BK: Tensor, q_BK: Tensor, log_decay_BH: Tensor, state: Mamba2State
) -> tuple[Tensor, Mamba2State]:
    """Returns y_BHV and the next state, from x_BHV = dt x and log_decay_BH = dt A: equation 1, A a scalar per head."""
    S_BKHV = log_decay_BH.exp()[:, None, :, None] * state.S_BKHV + k_BK[:, :, None, None] * x_BHV[:, None]  # (1a)
    y_BHV = (q_BK[:, None] @ S_BKHV.flatten(2)).view_as(x_BHV)  # (1b)
    return y_BHV, Mamba2State(S_BKHV)


def attended(x_THV: Tensor, k_TK: Tensor, q_TK: Tensor, b_TH: Tensor) -> Tensor:
    """Returns y_THV = (L o C B^T) x within one chunk, L_tj = exp(b_t - b_j) for j <= t: the dual form, section 3.

    b is the running sum of dt A; any axes may come before T.
    """
    b_HT = b_TH.mT
    future_TT = torch.full((b_HT.shape[-1], b_HT.shape[-1]), torch.inf, dtype=b_HT.dtype, device=b_HT.device).triu(1)
    decay_HTT = torch.exp(b_HT[..., :, None] - b_HT[..., None, :] - future_TT)
    weights_HTT = (q_TK @ k_TK.mT).unsqueeze(-3) * decay_HTT
    return (weights_HTT @ x_THV.transpose(-3, -2)).transpose(-3, -2)


def chunkwise(
    x_BTHV: Tensor, k_BTK: Tensor, q_BTK: Tensor, log_decay_BTH: Tensor, state: Mamba2State, *, chunk: int
) -> tuple[Tensor, Mamba2State]:
    """Returns y_BTHV and the state after the last token: quadratic within chunks, recurrent across them (section 6)."""
    time, heads = x_BTHV.shape[1], x_BTHV.shape[2]
    _, length = chunk_lengths(time, chunk=chunk)
    x_BCLHV, k_BCLK, q_BCLK, log_decay_BCLH = (
        chunks(x, dim=1, length=length) for x in (x_BTHV, k_BTK, q_BTK, log_decay_BTH)
    )
    b_BCLH = log_decay_BCLH.cumsum(2)

    written_BCLHV = x_BCLHV * torch.exp(b_BCLH[:, :, -1:] - b_BCLH)[..., None]
    added_BCKHV = (k_BCLK.mT @ written_BCLHV.flatten(3)).unflatten(-1, (heads, -1))
    kept_BC1H1 = torch.exp(b_BCLH[:, :, -1:, :, None])
    S_BCKHV, S_BKHV = scanned(state.S_BKHV, added=added_BCKHV, kept=kept_BC1H1, dim=1)

    y_BCLHV = (q_BCLK @ S_BCKHV.flatten(3)).unflatten(-1, (heads, -1)) * torch.exp(b_BCLH)[..., None]
    y_BCLHV = y_BCLHV + attended(x_BCLHV, k_BCLK, q_BCLK, b_BCLH)
    return y_BCLHV.flatten(1, 2)[:, :time], Mamba2State(S_BKHV)
