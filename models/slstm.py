"""sLSTM, the scalar memory of xLSTM, recurrent within each head (Beck et al. 2024, arXiv 2405.04517, (8) to (18)).

All gates see the same input, densely projected; the paper's own block feeds i and f from a short convolution, which
here stands before the whole mixer, for all mixers alike. The forget gate is a sigmoid, as in all official code. Its
bias starts on the official power law of a network's first block, other biases at 0, the recurrence at 0 or N(0, 1 / V).
"""

from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.layers import HeadNorm, InputProjection, OutputProjection, channels_per_head, operand_precision
from models.mixer import MixerSpec, SequenceMixer, state_type


class SLSTMSpec(MixerSpec):
    """`heads` of width / heads cells, each cell connected to those of its head."""

    name: Literal["slstm"]
    heads: PositiveInt
    recurrent_init: Literal["zeros", "normal"]

    def build(self, width: int) -> "SLSTM":
        if channels_per_head(width, heads=self.heads) < 2:
            raise ValueError(
                f"width={width} leaves heads={self.heads} one channel each, which a norm erases: lower heads"
            )
        return SLSTM(width, heads=self.heads, recurrent_init=self.recurrent_init)


class SLSTMState(NamedTuple):
    """Output h, memory c, normaliser n (both scaled by exp(-m)) and stabiliser m, -inf while the memory is empty.

    The batch comes last: in that order no step of the recurrence has to move memory.
    """

    h_HVB: Tensor
    c_HVB: Tensor
    n_HVB: Tensor
    m_HVB: Tensor


class SLSTM(SequenceMixer):
    """y = norm(h) W_out with h the cell's output."""

    def __init__(self, width: int, *, heads: int, recurrent_init: str):
        super().__init__()
        self.heads, channels = heads, width // heads
        self.gates = InputProjection(width, 4 * width)  # head by head, in each the gates i, f, z, o
        self.recurrence_HGV = nn.Parameter(torch.zeros(heads, 4 * channels, channels))
        self.norm = HeadNorm(heads, channels=channels)
        self.out = OutputProjection(width, width, bias=False)
        with torch.no_grad():
            if recurrent_init == "normal":
                self.recurrence_HGV.normal_(0, channels**-0.5)
            bias_HGV = self.gates.bias.zero_().view(heads, 4, channels)
            bias_HGV[:, 1] = 5 - 12 * torch.linspace(0, 1, channels) ** 0.3

    def project(self, x_BTW: Tensor) -> Tensor:
        """Returns the input's part of the gates' pre-activations, x_THGB in the state's type."""
        return self.gates(x_BTW).to(state_type(x_BTW)).permute(1, 2, 0).unflatten(1, (self.heads, -1)).contiguous()

    def merge(self, h_THVB: Tensor, *, dtype: torch.dtype) -> Tensor:
        return self.out(self.norm(h_THVB.permute(3, 0, 1, 2)).to(dtype))

    def forward(self, x_BTW: Tensor) -> Tensor:
        return self.prefill(x_BTW, self.initial_state(len(x_BTW), x_BTW.shape[1]))[0]

    def initial_state(self, batch: int, max_time: int) -> SLSTMState:
        heads, _, channels = self.recurrence_HGV.shape
        zeros_HVB = self.out.weight.new_zeros(heads, channels, batch, dtype=state_type(self.out.weight))
        return SLSTMState(zeros_HVB, zeros_HVB.clone(), zeros_HVB.clone(), torch.full_like(zeros_HVB, -torch.inf))

    def prefill(self, x_BTW: Tensor, state: SLSTMState) -> tuple[Tensor, SLSTMState]:
        x_THGB = self.project(x_BTW)
        with operand_precision(x_BTW.device):
            h_THVB, c_HVB, n_HVB, m_HVB = Scan.apply(x_THGB, self.recurrence_HGV.to(x_THGB.dtype), *state)
        return self.merge(h_THVB, dtype=x_BTW.dtype), SLSTMState(h_THVB[-1], c_HVB, n_HVB, m_HVB)

    def step(self, x_BW: Tensor, state: SLSTMState) -> tuple[Tensor, SLSTMState]:
        x_HGB = self.project(x_BW[:, None])[0]
        with operand_precision(x_BW.device):
            state = recurrent(torch.baddbmm(x_HGB, self.recurrence_HGV.to(x_HGB.dtype), state.h_HVB), state)
        return self.merge(state.h_HVB[None], dtype=x_BW.dtype)[:, 0], state

    def flops(self, time: int) -> int:
        return 2 * time * (self.gates.weight.numel() + self.recurrence_HGV.numel() + self.out.weight.numel())


def recurrent(gates_HGB: Tensor, state: SLSTMState) -> SLSTMState:
    """Returns the next state from the gates' pre-activations: equations 8 to 14 of the paper, stabilised (15 to 17)."""
    i_HVB, f_HVB, z_HVB, o_HVB = gates_HGB.chunk(4, dim=1)
    log_f_HVB = F.logsigmoid(f_HVB) + state.m_HVB
    m_HVB = torch.maximum(log_f_HVB, i_HVB)  # (15)
    i_HVB, f_HVB = torch.exp(i_HVB - m_HVB), torch.exp(log_f_HVB - m_HVB)  # (16), (17)
    c_HVB = torch.addcmul(f_HVB * state.c_HVB, i_HVB, torch.tanh(z_HVB))  # (8)
    n_HVB = torch.addcmul(i_HVB, f_HVB, state.n_HVB)  # (9)
    h_HVB = torch.sigmoid(o_HVB) * (c_HVB / n_HVB)  # (10)
    return SLSTMState(h_HVB, c_HVB, n_HVB, m_HVB)


class Scan(torch.autograd.Function):
    """`recurrent` over all of x_THGB, returning h_THVB and the last c, n and m, with its gradient written out.

    Automatic differentiation would record and replay every small operation of every step. By hand, all that does not
    depend on a later step is computed for all steps at once. No gradient goes through m: its scale cancels in h.
    """

    @staticmethod
    def forward(ctx: Any, x_THGB: Tensor, R_HGV: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        gates, states = [], [SLSTMState(*state)]
        for x_HGB in x_THGB.unbind():
            gates.append(torch.baddbmm(x_HGB, R_HGV, states[-1].h_HVB))
            states.append(recurrent(gates[-1], states[-1]))
        h_THVB, c_THVB, n_THVB, m_THVB = (torch.stack(tensors) for tensors in zip(*states, strict=True))
        ctx.save_for_backward(torch.stack(gates), R_HGV, h_THVB, c_THVB, n_THVB, m_THVB)
        ctx.mark_non_differentiable(states[-1].m_HVB)
        return h_THVB[1:].clone(), *states[-1][1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dh_THVB: Tensor, dc: Tensor, dn: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        gates_THGB, R_HGV, h_THVB, *cnm = ctx.saved_tensors
        h, c, n, m = (tensor_THVB[:, :, None] for tensor_THVB in (h_THVB, *cnm))
        i, f, z, o = gates_THGB.unflatten(2, (4, -1)).split(1, dim=2)
        dlog_f, log_f = torch.sigmoid(-f), F.logsigmoid(f)
        i, f, z, o = torch.exp(i - m[1:]), torch.exp(log_f + m[:-1] - m[1:]), torch.tanh(z), torch.sigmoid(o)

        # How the pre-activations act, i, f and z on c, i and f on n, o on h; and how c and n act on h.
        ifz_on_c = torch.cat([i * z, dlog_f * f * c[:-1], i * (1 - z * z)], dim=2).unbind()
        if_on_n = torch.cat([i, dlog_f * f * n[:-1]], dim=2).unbind()
        o_on_h, c_on_h, n_on_h = (h[1:] * (1 - o)).unbind(), (o / n[1:]).unbind(), (-h[1:] / n[1:]).unbind()

        f, R_HVG, dgates_THGB = f.unbind(), R_HGV.mT, torch.empty_like(gates_THGB)
        difzo = dgates_THGB.unflatten(2, (4, -1))
        dgates, dif, difz, do = dgates_THGB, difzo[:, :, :2], difzo[:, :, :3], difzo[:, :, 3:]
        dgates, dif, difz, do = dgates.unbind(), dif.unbind(), difz.unbind(), do.unbind()
        dhs = [torch.zeros_like(dh_THVB[0]), *dh_THVB.unbind()]  # for h before the first token, nothing from above
        dh, dc, dn = dhs.pop(), dc[:, None], dn[:, None]
        for t in reversed(range(len(dgates))):
            dh = dh[:, None]
            dc, dn = torch.addcmul(dc, dh, c_on_h[t]), torch.addcmul(dn, dh, n_on_h[t])
            torch.mul(dc, ifz_on_c[t], out=difz[t])
            dif[t].addcmul_(dn, if_on_n[t])
            torch.mul(dh, o_on_h[t], out=do[t])
            dh, dc, dn = torch.baddbmm(dhs.pop(), R_HVG, dgates[t]), dc * f[t], dn * f[t]
        dR_HGV = (dgates_THGB @ h_THVB[:-1].mT).sum(0)
        return dgates_THGB, dR_HGV, dh, dc[:, 0], dn[:, 0], None
