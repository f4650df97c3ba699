"""Mamba: selective state spaces (Gu and Dao 2023, arXiv 2312.00752).

One deviation: the paper's block passes x through a short convolution and SiLU of its own. In the shared block neither is
inside: the short convolution is an option of the network, before any mixer, and the same for all.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.convolution import InnerConvolution
from models.kernels.mamba import causal_conv1d, mamba_ssm
from models.layers import InputProjection, OutputProjection, initial_dt_bias, operand_precision
from models.mixer import MixerSpec, SequenceMixer, state_type
from models.stacking import along_batch, is_stacked

Kernel = Literal["torch", "mamba-ssm"]

SLAB = 2**19  # numbers of the states that the scan holds at once, so that they stay in a processor's cache
FEWEST = 16  # tokens between two states that are kept for the gradient


class MambaSpec(MixerSpec):
    """`state_dim` numbers for each of expand * width channels; dt goes through `rank` channels (the paper: width / 16)."""

    name: Literal["mamba"]
    state_dim: PositiveInt
    expand: PositiveInt
    rank: PositiveInt
    kernel: Kernel

    def build(self, width: int) -> "Mamba":
        return Mamba(
            width, state_dim=self.state_dim, expand=self.expand, rank=self.rank, convolution=0, kernel=self.kernel
        )


class MambaState(NamedTuple):
    """What the convolution inside the layer still needs of its inputs (nothing without one), and the state S of the scan."""

    window_BFV: Tensor
    S_BKV: Tensor


class Mamba(SequenceMixer):
    """y = (scan(x, dt, A, B, C, D) * SiLU(z)) W_out with x, z = u W_in and dt, B, C = x W_select (section 3.4).

    The paper's B and C, which write to and read from the state, are `k` and `q` here. dt is softplus(dt W_dt + b). As
    released, A starts at -1, -2, ... (S4D-real), D at 1, dt log-uniform in [0.001, 0.1]. `convolution` is the kernel of the
    convolution over x inside the layer, 0 for none.
    """

    def __init__(self, width: int, *, state_dim: int, expand: int, rank: int, convolution: int, kernel: Kernel):
        super().__init__()
        inner = expand * width
        self.rank, self.state_dim, self.kernel = rank, state_dim, kernel
        self.xz = InputProjection(width, 2 * inner, bias=False)
        self.convolution = InnerConvolution(inner, kernel=convolution) if convolution else None
        self.select = nn.Linear(inner, rank + 2 * state_dim, bias=False)
        self.dt = nn.Linear(rank, inner, bias=False)
        self.dt_bias_V = nn.Parameter(initial_dt_bias(inner))
        self.log_minus_A_KV = nn.Parameter(torch.arange(1.0, state_dim + 1).log()[:, None].repeat(1, inner))
        self.D_V = nn.Parameter(torch.ones(inner))
        self.out = OutputProjection(inner, width, bias=False)
        nn.init.uniform_(self.dt.weight, -(rank**-0.5), rank**-0.5)

    def select_from(self, x_BTV: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Returns those of `selective_scan` in the state's type; a fused kernel is given x, k and q as they come."""
        parts = [self.rank, self.state_dim, self.state_dim]
        dt_BTR, k_BTK, q_BTK = self.select(x_BTV).split(parts, dim=-1)
        dtype = state_type(x_BTV)
        dt_BTV = F.softplus(self.dt(dt_BTR).to(dtype) + self.dt_bias_V)
        A_KV = -self.log_minus_A_KV.to(dtype).exp()
        if self.kernel == "torch":
            x_BTV, k_BTK, q_BTK = x_BTV.to(dtype), k_BTK.to(dtype), q_BTK.to(dtype)
        return x_BTV, dt_BTV, A_KV, k_BTK, q_BTK, self.D_V.to(dtype)

    def merge(self, y_BTV: Tensor, z_BTV: Tensor) -> Tensor:
        return self.out((y_BTV * F.silu(z_BTV)).to(z_BTV.dtype))

    def forward(self, x_BTW: Tensor) -> Tensor:
        return self.prefill(x_BTW, self.initial_state(len(x_BTW), x_BTW.shape[1]))[0]

    def initial_state(self, batch: int, max_time: int) -> MambaState:
        A_KV = self.log_minus_A_KV
        S_BKV = A_KV.new_zeros(batch, *A_KV.shape, dtype=state_type(A_KV))
        return MambaState(self.convolution.initial_state(batch) if self.convolution else S_BKV[:, :0, 0], S_BKV)

    def prefill(self, x_BTW: Tensor, state: MambaState) -> tuple[Tensor, MambaState]:
        (x_BTV, z_BTV), window_BFV = self.xz(x_BTW).chunk(2, dim=-1), state.window_BFV
        if self.convolution:
            x_BTV, window_BFV = convolved(self.convolution, x_BTV, window_BFV, kernel=self.kernel)
        operands = self.select_from(x_BTV)
        with operand_precision(x_BTW.device):
            y_BTV, S_BKV = scan(self.kernel)(*operands, state.S_BKV)
        return self.merge(y_BTV, z_BTV), MambaState(window_BFV, S_BKV)

    def step(self, x_BW: Tensor, state: MambaState) -> tuple[Tensor, MambaState]:
        (x_BV, z_BV), window_BFV = self.xz(x_BW).chunk(2, dim=-1), state.window_BFV
        if self.convolution:
            x_BV, window_BFV = self.convolution.step(x_BV, window_BFV)
        operands = (part.to(state.S_BKV.dtype) for part in self.select_from(x_BV))
        with operand_precision(x_BW.device):
            y_BV, S_BKV = recurrent(*operands, state.S_BKV)
        return self.merge(y_BV, z_BV), MambaState(window_BFV, S_BKV)

    def flops(self, time: int) -> int:
        weights = self.xz.weight, self.select.weight, self.dt.weight, self.out.weight, self.log_minus_A_KV
        convolution = self.convolution.flops(time) if self.convolution else 0
        return convolution + 2 * time * sum(weight.numel() for weight in weights)


def convolved(
    convolution: InnerConvolution, x_BTW: Tensor, window_BFW: Tensor, *, kernel: Kernel
) -> tuple[Tensor, Tensor]:
    """Returns what `convolution.prefill` does, by the package causal-conv1d for the kernel mamba-ssm."""
    if kernel == "torch":
        return convolution.prefill(x_BTW, window_BFW)
    return causal_conv1d(x_BTW, convolution.weight, convolution.bias, window_BFW)


def scan(kernel: Kernel) -> Callable[..., tuple[Tensor, Tensor]]:
    """Returns `selective_scan` or its fused form."""
    return {"torch": selective_scan, "mamba-ssm": mamba_ssm}[kernel]


def recurrent(
    x_BV: Tensor, dt_BV: Tensor, A_KV: Tensor, k_BK: Tensor, q_BK: Tensor, D_V: Tensor, S_BKV: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns y_BV and the next state: equation 2 with Abar = exp(dt A) of (4).

    As in the released code, Bbar is dt B, where (4) has (dt A)^-1 (exp(dt A) - 1) dt B, and D x passes by the state.
    """
    written_BKV = k_BK[..., None] * (dt_BV * x_BV)[:, None]
    S_BKV = torch.addcmul(written_BKV, torch.exp(dt_BV[:, None] * A_KV), S_BKV)  # (2a)
    return torch.addcmul((q_BK[:, None] @ S_BKV)[:, 0], D_V, x_BV), S_BKV  # (2b)


def selective_scan(
    x_BTV: Tensor, dt_BTV: Tensor, A_KV: Tensor, k_BTK: Tensor, q_BTK: Tensor, D_V: Tensor, S_BKV: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns y_BTV and the state after the last token: `recurrent`, token after token, for A < 0 < dt."""
    A = A_KV.expand_as(S_BKV) if is_stacked(A_KV) else A_KV
    y_BTV, S_BKV = along_batch(scanned, dt_BTV * x_BTV, dt_BTV, A, k_BTK, q_BTK, S_BKV)
    return torch.addcmul(y_BTV, x_BTV, D_V), S_BKV


def scanned(
    w_BTV: Tensor, dt_BTV: Tensor, A: Tensor, k_BTK: Tensor, q_BTK: Tensor, S_BKV: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns what `_Scan` does; A is A_KV, or A_BKV where sequences differ in it.

    So many sequences are read together as leave room for `FEWEST` tokens in a slab.
    """
    together = max(1, SLAB // (FEWEST * S_BKV[0].numel()))
    parts = [x.split(together) for x in (w_BTV, dt_BTV, k_BTK, q_BTK, S_BKV)]
    parts.append(A.split(together) if A.dim() == S_BKV.dim() else [A] * len(parts[0]))
    scans = [
        _Scan.apply(*(x.transpose(0, 1) for x in sequences), A, state)
        for *sequences, state, A in zip(*parts, strict=True)
    ]
    return torch.cat([y_TBV.transpose(0, 1) for y_TBV, _ in scans]), torch.cat([state for _, state in scans])


class _Scan(torch.autograd.Function):
    """S_t = exp(dt_t A) S_{t-1} + k_t w_t^T and y_t = q_t^T S_t, from slab to slab of some tokens.

    Within a slab everything is one operation over all tokens, which finds its operands in the cache, but for the one
    multiply-add of a token that has to wait for that of the token before. The gradient runs through the slabs from the
    last to the first: only the state before each slab is kept for it, those within are computed again. A_KV may be A_BKV.
    """

    @staticmethod
    def forward(
        ctx: Any, w_TBV: Tensor, dt_TBV: Tensor, k_TBK: Tensor, q_TBK: Tensor, A_KV: Tensor, S_BKV: Tensor
    ) -> tuple[Tensor, Tensor]:
        time, before = len(w_TBV), [S_BKV]
        length = min(time, max(FEWEST, SLAB // S_BKV.numel()))
        slabs = [slice(start, min(start + length, time)) for start in range(0, time, length)]
        decay_TBKV, S_TBKV = S_BKV.new_empty(length, *S_BKV.shape), S_BKV.new_empty(length + 1, *S_BKV.shape)
        y_TBV = S_BKV.new_empty(w_TBV.shape)
        for slab in slabs:
            count = slab.stop - slab.start
            decay, S = decay_TBKV[:count], S_TBKV[: count + 1]
            write_states(w_TBV[slab], dt_TBV[slab], k_TBK[slab], A_KV, before[-1], decay, S)
            torch.bmm(rows(q_TBK[slab]), S[1:].flatten(0, 1), out=rows(y_TBV[slab]))
            before.append(S[-1].clone())
        ctx.save_for_backward(w_TBV, dt_TBV, k_TBK, q_TBK, A_KV, *before[:-1])
        ctx.slabs = slabs
        return y_TBV, before[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_TBV: Tensor, dS_BKV: Tensor) -> tuple[Tensor, ...]:
        w_TBV, dt_TBV, k_TBK, q_TBK, A_KV, *before = ctx.saved_tensors
        length, shape = ctx.slabs[0].stop, dS_BKV.shape
        decay_TBKV, dS_TBKV, S_TBKV = (dS_BKV.new_empty(n, *shape) for n in (length, length, length + 1))
        dw_TBV, ddt_TBV, dk_TBK, dq_TBK = (dS_BKV.new_empty(x.shape) for x in (w_TBV, dt_TBV, k_TBK, q_TBK))
        dS_BKV, dA_KV = dS_BKV.clone(), torch.zeros_like(A_KV)
        with operand_precision(dS_BKV.device):
            for slab, before_BKV in zip(reversed(ctx.slabs), reversed(before), strict=True):
                w, dt, k, dy, count = w_TBV[slab], dt_TBV[slab], k_TBK[slab], dy_TBV[slab], slab.stop - slab.start
                decay, dS, S = decay_TBKV[:count], dS_TBKV[:count], S_TBKV[: count + 1]
                write_states(w, dt, k, A_KV, before_BKV, decay, S)
                torch.bmm(S[1:].flatten(0, 1), rows(dy).mT, out=rows(dq_TBK[slab]).mT)
                write_state_gradients(dy, q_TBK[slab], decay, dS_BKV, dS)
                torch.bmm(dS.flatten(0, 1), rows(w).mT, out=rows(dk_TBK[slab]).mT)
                torch.bmm(rows(k), dS.flatten(0, 1), out=rows(dw_TBV[slab]))
                torch.mul(decay[0], dS[0], out=dS_BKV)
                exponent = decay.mul_(S[:-1]).mul_(dS)  # the gradient of dt A
                torch.sum(torch.mul(exponent, A_KV, out=dS), 2, out=ddt_TBV[slab])
                dA_KV += exponent.mul_(dt[:, :, None]).sum_to_size(dA_KV.shape)
        return dw_TBV, ddt_TBV, dk_TBK, dq_TBK, dA_KV, dS_BKV


def rows(x_TBV: Tensor) -> Tensor:
    """Returns every vector as a matrix of one row."""
    return x_TBV.flatten(0, 1)[:, None]


def write_states(
    w_TBV: Tensor, dt_TBV: Tensor, k_TBK: Tensor, A_KV: Tensor, before_BKV: Tensor, decay_TBKV: Tensor, S_TBKV: Tensor
) -> None:
    """Writes exp(dt A) into `decay`, and into S, which is one longer, the state before the first token and all after."""
    torch.mul(dt_TBV[:, :, None], A_KV, out=decay_TBKV).exp_()
    torch.mul(k_TBK[..., None], w_TBV[:, :, None], out=S_TBKV[1:])
    S_TBKV[0] = before_BKV
    for decay_BKV, (earlier_BKV, later_BKV) in zip(decay_TBKV.unbind(0), pairwise(S_TBKV.unbind(0)), strict=True):
        later_BKV.addcmul_(decay_BKV, earlier_BKV)


def write_state_gradients(
    dy_TBV: Tensor, q_TBK: Tensor, decay_TBKV: Tensor, after_BKV: Tensor, dS_TBKV: Tensor
) -> None:
    """Writes into dS the gradients of the states after each token, from `after`, that of the last through later tokens."""
    torch.mul(q_TBK[..., None], dy_TBV[:, :, None], out=dS_TBKV)
    dS_TBKV[-1].add_(after_BKV)
    reverse = pairwise(reversed(dS_TBKV.unbind(0)))
    for decay_BKV, (later_BKV, earlier_BKV) in zip(reversed(decay_TBKV[1:].unbind(0)), reverse, strict=True):
        earlier_BKV.addcmul_(decay_BKV, later_BKV)
