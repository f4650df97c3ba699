"""Gated DeltaNet (Yang, Kautz and Hatamizadeh 2024, arXiv 2412.06464): a decaying memory that replaces what it knew.

Eigenvalues from -1 to 1 are those of Grazzi et al. 2024, arXiv 2411.12537; the parallel form is that of DeltaNet (Yang et
al. 2024, arXiv 2406.06484). One deviation in the shared block: the paper passes q, k and v through a short convolution of
their own. Here it is not inside, but an option of the network, before any mixer and the same for all. SiLU, which follows
it in the paper, stays: it is the feature map of q, k and v, without which the layer hardly learns to recall.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.convolution import CausalConvolution
from models.kernels.gated_deltanet import fla, refusal
from models.layers import (
    InputProjection,
    OutputProjection,
    chunk_lengths,
    chunks,
    initial_dt_bias,
    operand_precision,
)
from models.mixer import MixerSpec, SequenceMixer, state_type
from models.stacking import along_batch

Kernel = Literal["torch", "fla"]


class GatedDeltaNetSpec(MixerSpec):
    """`heads` memories of `key_dim` x `value_dim`; training works on chunks of at most `chunk` tokens.

    A token multiplies what a memory held under its key by a number from 0 to 1, with `negative_eigenvalues` from -1 to 1.
    """

    name: Literal["gated-deltanet"]
    heads: PositiveInt
    key_dim: PositiveInt
    value_dim: PositiveInt
    negative_eigenvalues: bool
    chunk: PositiveInt
    kernel: Kernel

    def build(self, width: int) -> "GatedDeltaNet":
        return GatedDeltaNet(
            width,
            heads=self.heads,
            key_dim=self.key_dim,
            value_dim=self.value_dim,
            convolution=0,
            negative_eigenvalues=self.negative_eigenvalues,
            chunk=self.chunk,
            kernel=self.kernel,
        )


class GatedDeltaNetState(NamedTuple):
    """The memory S of every head, and the last inputs of the inner convolution: none where there is no convolution."""

    window_BFW: Tensor
    S_BHKV: Tensor


class GatedDeltaNet(SequenceMixer):
    """y = (norm(o) * SiLU(z)) W_out with o what the memories return; q, k, v, z and both gates are x W.

    q, k and v pass through a causal convolution of `convolution` tokens, or none, and through SiLU; q and k are then scaled
    to length 1. The decay exp(-exp(A) softplus(a + dt)) starts with exp(A) uniform in [0, 16] and softplus(dt) log-uniform
    in [0.001, 0.1]. As in the released code beta has a bias, and q is divided by sqrt(K).
    """

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        key_dim: int,
        value_dim: int,
        convolution: int,
        negative_eigenvalues: bool,
        chunk: int,
        kernel: Kernel,
    ):
        super().__init__()
        if sentence := refusal(kernel, K=key_dim, chunk=chunk):
            raise ValueError(sentence)
        self.heads, self.key_dim, self.value_dim = heads, key_dim, value_dim
        self.chunk, self.kernel = chunk, kernel
        self.largest_beta = 2.0 if negative_eigenvalues else 1.0
        self.parts = [heads * (2 * key_dim + value_dim), heads * value_dim, heads, heads]
        self.qkv_z_a_b = InputProjection(width, sum(self.parts), bias=False)
        self.convolution = CausalConvolution(self.parts[0], kernel=convolution) if convolution else None
        self.log_A_H = nn.Parameter(torch.empty(heads).uniform_(0, 16).log_())
        self.dt_bias_H = nn.Parameter(initial_dt_bias(heads))
        self.beta_bias_H = nn.Parameter(torch.zeros(heads))
        self.norm_weight_V = nn.Parameter(torch.ones(value_dim))
        self.out = OutputProjection(heads * value_dim, width, bias=False)

    def gates(self, a_BTH: Tensor, b_BTH: Tensor) -> tuple[Tensor, Tensor]:
        """Returns log_decay_BTH and beta_BTH in the state's type."""
        dtype = state_type(a_BTH)
        log_decay_BTH = -self.log_A_H.exp() * F.softplus(a_BTH.to(dtype) + self.dt_bias_H)
        return log_decay_BTH, self.largest_beta * torch.sigmoid(b_BTH.to(dtype) + self.beta_bias_H)

    def operands(self, qkv_BTW: Tensor, *, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Returns q_BTHK of length 1 / sqrt(K), k_BTHK of length 1 and v_BTHV in `dtype`, scaled in the state's type."""
        keys, values = 2 * self.heads * self.key_dim, self.heads * self.value_dim
        qk_BTW, v_BTW = F.silu(qkv_BTW).split([keys, values], dim=-1)
        qk_BTHK = qk_BTW.to(state_type(qkv_BTW)).unflatten(-1, (-1, self.key_dim))
        q_BTHK, k_BTHK = normalised(qk_BTHK).chunk(2, dim=-2)
        v_BTHV = v_BTW.unflatten(-1, (-1, self.value_dim))
        return (q_BTHK * self.key_dim**-0.5).to(dtype), k_BTHK.to(dtype), v_BTHV.to(dtype)

    def merge(self, o_BTHV: Tensor, z_BTW: Tensor) -> Tensor:
        o_BTHV = F.rms_norm(o_BTHV, o_BTHV.shape[-1:], self.norm_weight_V.to(o_BTHV.dtype), eps=1e-5)
        return self.out((o_BTHV.flatten(-2) * F.silu(z_BTW)).to(z_BTW.dtype))

    def forward(self, x_BTW: Tensor) -> Tensor:
        return self.prefill(x_BTW, self.initial_state(len(x_BTW), x_BTW.shape[1]))[0]

    def initial_state(self, batch: int, max_time: int) -> GatedDeltaNetState:
        weight = self.out.weight
        S_BHKV = weight.new_zeros(batch, self.heads, self.key_dim, self.value_dim, dtype=state_type(weight))
        window_BFW = self.convolution.initial_state(batch) if self.convolution else weight.new_zeros(batch, 0, 0)
        return GatedDeltaNetState(window_BFW, S_BHKV)

    def prefill(self, x_BTW: Tensor, state: GatedDeltaNetState) -> tuple[Tensor, GatedDeltaNetState]:
        qkv_BTW, z_BTW, a_BTH, b_BTH = self.qkv_z_a_b(x_BTW).split(self.parts, dim=-1)
        window_BFW, S_BHKV = state
        if self.convolution:
            qkv_BTW, window_BFW = self.convolution.prefill(qkv_BTW, window_BFW)
        dtype = S_BHKV.dtype if self.kernel == "torch" else qkv_BTW.dtype  # a fused kernel is given what comes
        with operand_precision(x_BTW.device):
            qkv = self.operands(qkv_BTW, dtype=dtype)
            read = partial(scan(self.kernel), chunk=self.chunk)
            o_BTHV, S_BHKV = along_batch(read, *qkv, *self.gates(a_BTH, b_BTH), S_BHKV)
        return self.merge(o_BTHV, z_BTW), GatedDeltaNetState(window_BFW, S_BHKV)

    def step(self, x_BW: Tensor, state: GatedDeltaNetState) -> tuple[Tensor, GatedDeltaNetState]:
        qkv_BW, z_BW, a_BH, b_BH = self.qkv_z_a_b(x_BW).split(self.parts, dim=-1)
        window_BFW, S_BHKV = state
        if self.convolution:
            qkv_BW, window_BFW = self.convolution.step(qkv_BW, window_BFW)
        with operand_precision(x_BW.device):
            qkv = self.operands(qkv_BW, dtype=S_BHKV.dtype)
            o_BHV, S_BHKV = recurrent(*qkv, *self.gates(a_BH, b_BH), S_BHKV)
        return self.merge(o_BHV, z_BW), GatedDeltaNetState(window_BFW, S_BHKV)

    def flops(self, time: int) -> int:
        """The solve of `chunkwise`, half a product of A and its right side, is none that PyTorch counts."""
        K, V = self.key_dim, self.value_dim
        count, length = chunk_lengths(time, chunk=self.chunk)
        projections = self.qkv_z_a_b.weight.numel() + self.out.weight.numel()
        within = self.heads * count * length**2 * (2 * K + V)
        across = self.heads * count * length * 3 * K * V
        convolution = self.convolution.flops(time) if self.convolution else 0
        return 2 * (time * projections + within + across) + convolution


def scan(kernel: Kernel) -> Callable[..., tuple[Tensor, Tensor]]:
    """Returns `chunkwise`, or a fused kernel with its arguments and results."""
    return {"torch": chunkwise, "fla": fla}[kernel]


def normalised(x_BTHK: Tensor) -> Tensor:
    """Returns x divided by its length, which the released code's 1e-6 keeps from 0."""
    return x_BTHK * torch.rsqrt(x_BTHK.square().sum(-1, keepdim=True) + 1e-6)


def recurrent(
    q_BHK: Tensor, k_BHK: Tensor, v_BHV: Tensor, log_decay_BH: Tensor, beta_BH: Tensor, S_BHKV: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns o_BHV and the next S_BHKV: S_t = alpha_t (I - beta_t k_t k_t^T) S_{t-1} + beta_t k_t v_t^T (equation 10).

    The paper's S is the transpose of this one.
    """
    alpha_BH1 = log_decay_BH.exp()[..., None]
    # Both reads are of the old memory, so that it is read once and a single new one is allocated.
    qS_BHV, kS_BHV = (torch.stack([q_BHK, k_BHK], dim=-2) @ S_BHKV).unbind(-2)
    u_BHV = beta_BH[..., None] * (v_BHV - alpha_BH1 * kS_BHV)
    S_BHKV = (alpha_BH1[..., None] * S_BHKV).addcmul_(k_BHK[..., None], u_BHV[..., None, :])
    return torch.addcmul(alpha_BH1 * qS_BHV, (q_BHK * k_BHK).sum(-1, keepdim=True), u_BHV), S_BHKV


def chunkwise(
    q_BTHK: Tensor,
    k_BTHK: Tensor,
    v_BTHV: Tensor,
    log_decay_BTH: Tensor,
    beta_BTH: Tensor,
    S_BHKV: Tensor,
    *,
    chunk: int,
) -> tuple[Tensor, Tensor]:
    """Returns o_BTHV and S_BHKV after the last token: parallel within chunks, recurrent across them (section 3.3).

    Within a chunk that begins with the memory S, u_t = beta_t (v_t - S'^T k_t) is what token t writes under its key,
    S' being what it finds. As S' holds the earlier u, they solve (I + A) u = beta v - (beta exp(b) k) S, where b is the
    running sum of the log decay and A_tj = beta_t (k_t^T k_j) exp(b_t - b_j) for j < t.
    """
    batch, time, heads, _ = q_BTHK.shape
    _, length = chunk_lengths(time, chunk=chunk)
    q_CBLK, k_CBLK, v_CBLV = (in_chunks(x_BTHK, length=length) for x_BTHK in (q_BTHK, k_BTHK, v_BTHV))
    beta_CBL1, log_decay_CBL1 = (in_chunks(x_BTH[..., None], length=length) for x_BTH in (beta_BTH, log_decay_BTH))
    b_CBL1 = log_decay_CBL1.cumsum(2)
    decay_CBLL, total_CB11 = decays(b_CBL1), b_CBL1[:, :, -1:]

    written_CBLK = beta_CBL1 * k_CBLK
    A_CBLL = (written_CBLK @ k_CBLK.mT) * decay_CBLL  # of which the solver reads what is below the diagonal
    right_CBLX = torch.cat([beta_CBL1 * v_CBLV, b_CBL1.exp() * written_CBLK], dim=-1)
    # Transposed, the solver finds its operands in the order it wants, which saves it three quarters of its time on a CPU.
    solved_CBLX = torch.linalg.solve_triangular(A_CBLL.mT, right_CBLX.mT, upper=True, left=False, unitriangular=True).mT
    u_CBLV, w_CBLK = solved_CBLX.split([v_CBLV.shape[-1], k_CBLK.shape[-1]], dim=-1)
    later_CBLK = (total_CB11 - b_CBL1).exp() * k_CBLK
    u_CBLV, S_CBKV, S_BKV = AcrossChunks.apply(u_CBLV, w_CBLK, later_CBLK, total_CB11.exp(), S_BHKV.flatten(0, 1))

    # The paper's last formula has the causal mask M where its derivation gives the decays.
    o_CBLV = (b_CBL1.exp() * q_CBLK) @ S_CBKV + ((q_CBLK @ k_CBLK.mT) * decay_CBLL) @ u_CBLV
    o_BTHV = o_CBLV.unflatten(1, (batch, heads)).permute(1, 0, 3, 2, 4).flatten(1, 2)[:, :time]
    return o_BTHV, S_BKV.view_as(S_BHKV)


def in_chunks(x_BTHK: Tensor, *, length: int) -> Tensor:
    """Returns x_CBLK, where B counts every head of every sequence."""
    return chunks(x_BTHK, dim=1, length=length).permute(1, 0, 3, 2, 4).flatten(1, 2)


def decays(b_CBL1: Tensor) -> Tensor:
    """Returns exp(b_t - b_j)_CBLL for j <= t, else 0: what is left at token t of what token j wrote."""
    length = b_CBL1.shape[2]
    future_LL = torch.full((length, length), torch.inf, dtype=b_CBL1.dtype, device=b_CBL1.device).triu(1)
    return torch.exp(b_CBL1 - b_CBL1.mT - future_LL)


class AcrossChunks(torch.autograd.Function):
    """Carries the memory S from chunk to chunk: u <- u - w S, then S <- decay S + k^T u, from the S before the first.

    Returns u_CBLV, S_CBKV before every chunk and S_BKV after the last. Written out, the gradient waits in its loop only for
    what depends on a later chunk.
    """

    @staticmethod
    def forward(
        ctx: Any, u_CBLV: Tensor, w_CBLK: Tensor, k_CBLK: Tensor, decay_CB11: Tensor, S_BKV: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        written_CBLV = u_CBLV.new_empty(u_CBLV.shape)
        S_CBKV = S_BKV.new_empty(len(u_CBLV) + 1, *S_BKV.shape)
        S_CBKV[0] = S_BKV
        for c, k_BKL in enumerate(k_CBLK.mT):
            before_BKV, after_BKV = S_CBKV[c], S_CBKV[c + 1]
            torch.baddbmm(u_CBLV[c], w_CBLK[c], before_BKV, alpha=-1, out=written_CBLV[c])
            torch.mul(decay_CB11[c], before_BKV, out=after_BKV)
            torch.baddbmm(after_BKV, k_BKL, written_CBLV[c], out=after_BKV)
        ctx.save_for_backward(written_CBLV, w_CBLK, k_CBLK, decay_CB11, S_CBKV)
        return written_CBLV, S_CBKV[:-1], S_CBKV[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, du_CBLV: Tensor, dS_CBKV: Tensor, dS_BKV: Tensor) -> tuple[Tensor, ...]:
        u_CBLV, w_CBLK, k_CBLK, decay_CB11, S_CBKV = ctx.saved_tensors
        du_CBLV = du_CBLV.clone(memory_format=torch.contiguous_format)
        dS_CBKV = torch.cat([dS_CBKV, dS_BKV[None]])
        w_CBKL = w_CBLK.mT
        for c in reversed(range(len(du_CBLV))):
            du_CBLV[c].baddbmm_(k_CBLK[c], dS_CBKV[c + 1])
            dS_CBKV[c].addcmul_(decay_CB11[c], dS_CBKV[c + 1]).baddbmm_(w_CBKL[c], du_CBLV[c], alpha=-1)
        before_CBKV, dafter_CBKV = S_CBKV[:-1], dS_CBKV[1:]
        dw_CBLK = -(du_CBLV @ before_CBKV.mT)
        ddecay_CB11 = (before_CBKV * dafter_CBKV).sum((2, 3), keepdim=True)
        return du_CBLV, dw_CBLK, u_CBLV @ dafter_CBKV.mT, ddecay_CB11, dS_CBKV[0]
