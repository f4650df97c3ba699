"""mLSTM, the matrix memory of xLSTM (Beck et al. 2024, arXiv 2405.04517, equations 15 to 27).

The layer around the cell, and the chunkwise form, are those of xLSTM 7B (Beck et al. 2025, arXiv 2503.13427): dense
projections, per-head norm, sigmoid output gate. As in all official code the forget gate is a sigmoid (the first paper
also allows exp). The gates start as in the official small models: weights 0, input bias N(0, 0.1), forget bias from 3
to 6 across the heads (the 7B model starts its input bias at -10).
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from models.layers import (
    HeadNorm,
    InputProjection,
    OutputProjection,
    channels_per_head,
    chunk_lengths,
    chunks,
    operand_precision,
    scanned,
)
from models.mixer import MixerSpec, SequenceMixer, state_type

EPSILON = 1e-6  # added to the normaliser after its stabilisation, in every form alike, as the official code does


class MLSTMSpec(MixerSpec):
    """`heads` memories of `key_dim` x (width / heads) each; training works on chunks of at most `chunk` tokens."""

    name: Literal["mlstm"]
    heads: PositiveInt
    key_dim: PositiveInt
    chunk: PositiveInt

    def build(self, width: int) -> "MLSTM":
        if channels_per_head(width, heads=self.heads) < 2:
            raise ValueError(
                f"width={width} leaves heads={self.heads} one channel each, which a norm erases: lower heads"
            )
        return MLSTM(width, heads=self.heads, key_dim=self.key_dim, chunk=self.chunk)


class MLSTMState(NamedTuple):
    """The memory C, the normaliser n (both scaled by exp(-m)) and the stabiliser m; keys enter unscaled."""

    C_BHKV: Tensor
    n_BHK: Tensor
    m_BH: Tensor


class MLSTM(SequenceMixer):
    """y = (sigmoid(x W_o) * norm(h)) W_out with h the cell's output."""

    def __init__(self, width: int, *, heads: int, key_dim: int, chunk: int):
        super().__init__()
        self.heads, self.key_dim, self.chunk = heads, key_dim, chunk
        self.qkvo = InputProjection(width, 2 * heads * key_dim + 2 * width, bias=False)
        self.gates = nn.Linear(width, 2 * heads)
        self.norm = HeadNorm(heads, channels=width // heads)
        self.out = OutputProjection(width, width, bias=False)
        with torch.no_grad():
            self.gates.weight.zero_()
            self.gates.bias[:heads].normal_(0, 0.1)
            self.gates.bias[heads:] = torch.linspace(3, 6, heads)

    def project(self, x_BTW: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Returns q_BHTK, k_BHTK, v_BHTV, i_BHT and f_BHT in the state's type, and the output gate o_BTW."""
        dtype, keys, width = state_type(x_BTW), self.heads * self.key_dim, len(self.out.weight)
        *qkv, o_BTW = self.qkvo(x_BTW).split([keys, keys, width, width], dim=-1)
        q_BHTK, k_BHTK, v_BHTV = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2).to(dtype) for part in qkv)
        with operand_precision(x_BTW.device):
            i_BHT, f_BHT = self.gates(x_BTW.to(self.gates.weight.dtype)).mT.to(dtype).chunk(2, dim=1)
        return q_BHTK * self.key_dim**-0.5, k_BHTK, v_BHTV, i_BHT, f_BHT, torch.sigmoid(o_BTW)

    def merge(self, h_BTHV: Tensor, o_BTW: Tensor) -> Tensor:
        return self.out((o_BTW * self.norm(h_BTHV)).to(o_BTW.dtype))

    def forward(self, x_BTW: Tensor) -> Tensor:
        *qkvif, o_BTW = self.project(x_BTW)
        with operand_precision(x_BTW.device):
            if x_BTW.shape[1] <= self.chunk:
                h_BHTV = parallel(*qkvif)
            else:
                h_BHTV, _ = chunkwise(*qkvif, self.initial_state(len(x_BTW), x_BTW.shape[1]), chunk=self.chunk)
        return self.merge(h_BHTV.transpose(1, 2), o_BTW)

    def initial_state(self, batch: int, max_time: int) -> MLSTMState:
        weight, value_dim = self.out.weight, len(self.out.weight) // self.heads
        shapes = (batch, self.heads, self.key_dim, value_dim), (batch, self.heads, self.key_dim), (batch, self.heads)
        return MLSTMState(*(weight.new_zeros(shape, dtype=state_type(weight)) for shape in shapes))

    def prefill(self, x_BTW: Tensor, state: MLSTMState) -> tuple[Tensor, MLSTMState]:
        *qkvif, o_BTW = self.project(x_BTW)
        with operand_precision(x_BTW.device):
            h_BHTV, state = chunkwise(*qkvif, state, chunk=self.chunk)
        return self.merge(h_BHTV.transpose(1, 2), o_BTW), state

    def step(self, x_BW: Tensor, state: MLSTMState) -> tuple[Tensor, MLSTMState]:
        *qkvif, o_BTW = self.project(x_BW[:, None])
        with operand_precision(x_BW.device):
            h_BHV, state = recurrent(*(part[:, :, 0] for part in qkvif), state)
        return self.merge(h_BHV, o_BTW[:, 0]), state

    def flops(self, time: int) -> int:
        K, V = self.key_dim, len(self.out.weight) // self.heads
        count, length = chunk_lengths(time, chunk=self.chunk)
        projections = sum(linear.weight.numel() for linear in (self.qkvo, self.gates, self.out))
        within = self.heads * count * length**2 * (K + V)
        across = 0 if time <= self.chunk else self.heads * count * length * K * (2 * V + 1)
        return 2 * (time * projections + within + across)


def recurrent(
    q_BHK: Tensor, k_BHK: Tensor, v_BHV: Tensor, i_BH: Tensor, f_BH: Tensor, state: MLSTMState
) -> tuple[Tensor, MLSTMState]:
    """Returns h_BHV and the next state: equations 19 to 27, stabilised; q comes scaled by 1 / sqrt(K)."""
    log_f_BH = F.logsigmoid(f_BH) + state.m_BH
    m_BH = torch.maximum(log_f_BH, i_BH)  # (15)
    i_BH1, f_BH1 = torch.exp(i_BH - m_BH)[..., None], torch.exp(log_f_BH - m_BH)[..., None]  # (16), (17)
    C_BHKV = f_BH1[..., None] * state.C_BHKV + (i_BH1 * k_BHK)[..., None] * v_BHV[..., None, :]  # (19)
    n_BHK = f_BH1 * state.n_BHK + i_BH1 * k_BHK  # (20)
    weight_BH = (q_BHK * n_BHK).sum(-1)
    h_BHV = (q_BHK[..., None, :] @ C_BHKV)[..., 0, :] / normaliser(weight_BH, m_BH)[..., None]  # (21)
    return h_BHV, MLSTMState(C_BHKV, n_BHK, m_BH)


def normaliser(weight: Tensor, m: Tensor) -> Tensor:
    """Returns max(|n^T q|, 1) of equation 21, scaled by exp(-m) like n."""
    return torch.maximum(weight.abs(), torch.exp(-m)) + EPSILON


def attended(q_HTK: Tensor, k_HTK: Tensor, v_HTV: Tensor, a_HT: Tensor, u_HT: Tensor) -> tuple[Tensor, Tensor]:
    """Returns, for the keys within one chunk, the numerator_HTV and the weights' sum_HT; any axes may come before H.

    Key j weighs exp(b_t - b_j + i_j - m_t) for query t, with b the running sum of log f. With a_j = i_j - b_j and
    u_t = m_t - b_t that is exp(a_j - u_t), at most 1.
    """
    future_TT = torch.full((a_HT.shape[-1], a_HT.shape[-1]), torch.inf, dtype=a_HT.dtype, device=a_HT.device).triu(1)
    decay_HTT = torch.exp(a_HT[..., None, :] - (u_HT[..., None] + future_TT))
    weights_HTT = (q_HTK @ k_HTK.mT) * decay_HTT
    return weights_HTT @ v_HTV, weights_HTT.sum(-1)


def parallel(q_BHTK: Tensor, k_BHTK: Tensor, v_BHTV: Tensor, i_BHT: Tensor, f_BHT: Tensor) -> Tensor:
    """Returns h_BHTV from the empty memory, without computing any memory: the parallel form (first paper, appendix)."""
    b_BHT = F.logsigmoid(f_BHT).cumsum(-1)
    a_BHT = i_BHT - b_BHT
    u_BHT = a_BHT.detach().cummax(-1).values.clamp(min=0)  # the empty memory has m = 0
    numerator_BHTV, weight_BHT = attended(q_BHTK, k_BHTK, v_BHTV, a_BHT, u_BHT)
    return numerator_BHTV / normaliser(weight_BHT, b_BHT + u_BHT)[..., None]


def chunkwise(
    q_BHTK: Tensor, k_BHTK: Tensor, v_BHTV: Tensor, i_BHT: Tensor, f_BHT: Tensor, state: MLSTMState, *, chunk: int
) -> tuple[Tensor, MLSTMState]:
    """Returns h_BHTV and the state after the last token: parallel within chunks, recurrent across (second paper)."""
    time = i_BHT.shape[-1]
    _, length = chunk_lengths(time, chunk=chunk)
    q_BHCLK, k_BHCLK, v_BHCLV, i_BHCL, log_f_BHCL = (
        chunks(x, dim=2, length=length) for x in (q_BHTK, k_BHTK, v_BHTV, i_BHT, F.logsigmoid(f_BHT))
    )
    padding_CL = torch.arange(i_BHCL[0, 0].numel(), device=i_BHCL.device).view_as(i_BHCL[0, 0]) >= time
    b_BHCL = log_f_BHCL.cumsum(-1)
    a_BHCL = (i_BHCL - b_BHCL).masked_fill(padding_CL, -torch.inf)
    u_BHCL = stabilisers(a_BHCL, b_BHCL, state.m_BH)
    m_BHCL = b_BHCL + u_BHCL
    m_before_BHC = torch.cat([state.m_BH[..., None], m_BHCL[..., :-1, -1]], dim=-1)

    kept_BHC1 = torch.exp(m_before_BHC - u_BHCL[..., -1])[..., None]
    written_BHCLK = k_BHCLK * torch.exp(a_BHCL - u_BHCL[..., -1:])[..., None]
    C_BHCKV, C_BHKV = scanned(state.C_BHKV, added=written_BHCLK.mT @ v_BHCLV, kept=kept_BHC1[..., None], dim=2)
    n_BHCK, n_BHK = scanned(state.n_BHK, added=written_BHCLK.sum(-2), kept=kept_BHC1, dim=2)

    numerator_BHCLV, weight_BHCL = attended(q_BHCLK, k_BHCLK, v_BHCLV, a_BHCL, u_BHCL)
    q_BHCLK = q_BHCLK * torch.exp(m_before_BHC[..., None] - u_BHCL)[..., None]
    numerator_BHCLV = numerator_BHCLV + q_BHCLK @ C_BHCKV
    weight_BHCL = weight_BHCL + (q_BHCLK @ n_BHCK[..., None])[..., 0]
    h_BHCLV = numerator_BHCLV / normaliser(weight_BHCL, m_BHCL)[..., None]
    return h_BHCLV.flatten(2, 3)[:, :, :time], MLSTMState(C_BHKV, n_BHK, m_BHCL[..., -1, -1])


@torch.no_grad()
def stabilisers(a_BHCL: Tensor, b_BHCL: Tensor, m_BH: Tensor) -> Tensor:
    """Returns u_BHCL = m - b with m the stabiliser of every token (15), m_BH that before the first.

    u is a constant to the gradient: it only sets the scale that numerator and normaliser share.
    """
    u_BHCL, before = a_BHCL.cummax(-1).values, [m_BH]
    for u_BH, b_BH in zip(u_BHCL[..., -1].unbind(-1), b_BHCL[..., -1].unbind(-1), strict=True):
        before.append(b_BH + torch.maximum(u_BH, before[-1]))
    return torch.maximum(u_BHCL, torch.stack(before[:-1], dim=-1)[..., None])
