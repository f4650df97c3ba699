"""The cell of mLSTM in three forms that agree: recurrent, parallel, and chunkwise with its gradient.

The first two are the first paper's (Beck et al. 2024, arXiv 2405.04517), the third the second's (2025, arXiv 2503.13427).
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.layers import chunk_lengths, chunks, operand_precision
from models.stacking import along_batch

EPSILON = 1e-6  # added to the normaliser after its stabilisation, in every form alike, as the official code does


class MLSTMState(NamedTuple):
    """The memory C, the normaliser n (both scaled by exp(-m)) and the stabiliser m; keys enter unscaled."""

    C_BHKV: Tensor
    n_BHK: Tensor
    m_BH: Tensor


def recurrent(
    q_BHK: Tensor, k_BHK: Tensor, v_BHV: Tensor, i_BH: Tensor, f_BH: Tensor, state: MLSTMState
) -> tuple[Tensor, MLSTMState]:
    """Returns h_BHV and the next state: equations 19 to 27, stabilised; q comes scaled by 1 / sqrt(K).

    The state's m is a constant to the gradient, in all forms: neither h nor C exp(m) and n exp(m) depend on it.
    """
    log_f_BH = F.logsigmoid(f_BH) + state.m_BH
    m_BH = torch.maximum(log_f_BH, i_BH).detach()  # (15)
    i_BH1, f_BH1 = torch.exp(i_BH - m_BH)[..., None], torch.exp(log_f_BH - m_BH)[..., None]  # (16), (17)
    C_BHKV = torch.addcmul(f_BH1[..., None] * state.C_BHKV, (i_BH1 * k_BHK)[..., None], v_BHV[..., None, :])  # (19)
    n_BHK = torch.addcmul(f_BH1 * state.n_BHK, i_BH1, k_BHK)  # (20)
    weight_BH = (q_BHK * n_BHK).sum(-1)
    h_BHV = (q_BHK[..., None, :] @ C_BHKV)[..., 0, :] / normaliser(weight_BH, m_BH)[..., None]  # (21)
    return h_BHV, MLSTMState(C_BHKV, n_BHK, m_BH)


def normaliser(weight: Tensor, m: Tensor) -> Tensor:
    """Returns max(|n^T q|, 1) of equation 21, scaled by exp(-m) like n."""
    return torch.maximum(weight.abs(), torch.exp(-m)) + EPSILON


def parallel(q_BHTK: Tensor, k_BHTK: Tensor, v_BHTV: Tensor, i_BHT: Tensor, f_BHT: Tensor) -> Tensor:
    """Returns h_BHTV from the empty memory, without computing any memory: the parallel form (first paper, appendix)."""
    b_BHT = F.logsigmoid(f_BHT).cumsum(-1)
    a_BHT = i_BHT - b_BHT
    u_BHT = a_BHT.detach().cummax(-1).values.clamp(min=0)  # the empty memory has m = 0
    weights_BHTT = (q_BHTK @ k_BHTK.mT) * decays(a_BHT, u_BHT)
    return weights_BHTT @ v_BHTV / normaliser(weights_BHTT.sum(-1), b_BHT + u_BHT)[..., None]


def decays(a_T: Tensor, u_T: Tensor) -> Tensor:
    """Returns decay_TT, the factor of key j for query t, 0 if j > t; any axes may come before T.

    It is exp(b_t - b_j + i_j - m_t) with b the running sum of log f. With a_j = i_j - b_j and u_t = m_t - b_t that is
    exp(a_j - u_t), at most 1.
    """
    future_TT = torch.full((a_T.shape[-1], a_T.shape[-1]), -torch.inf, dtype=a_T.dtype, device=a_T.device).triu(1)
    return (a_T[..., None, :] - u_T[..., None]).add_(future_TT).exp_()


def chunkwise(
    q_BHTK: Tensor, k_BHTK: Tensor, v_BHTV: Tensor, i_BHT: Tensor, f_BHT: Tensor, state: MLSTMState, *, chunk: int
) -> tuple[Tensor, MLSTMState]:
    """Returns h_BHTV and the state after the last token: parallel within chunks, recurrent across (second paper)."""
    h_BHTV, *last = along_batch(Chunkwise.apply, q_BHTK, k_BHTK, v_BHTV, i_BHT, f_BHT, *state, chunk)
    return h_BHTV, MLSTMState(*last)


class Chunkwise(torch.autograd.Function):
    """`chunkwise` with its gradient written out: automatic differentiation takes 1.4 to 1.9 times as long on a CPU.

    B counts every head of every sequence here, and M every chunk of them. V has one more channel, a value that is always
    1, so that its memory is n and its output n^T q.

    The gates need no products of their own: exp(i_t) only stands beside k_t, so that i_t has the gradient k_t * dk_t
    summed over K; and with b the sum of log f in a chunk, exp(b_t) only beside q_t, exp(-b_t) only beside k_t, and
    exp(b_L), L the last, beside the memory after the chunk, so that log f has the sum of their gradients over later t.
    """

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, ...]:
        q_BHTK, k_BHTK, v_BHTV, i_BHT, f_BHT, C_BHKV, n_BHK, m_BH, chunk = inputs
        (batch, heads, time), V = i_BHT.shape, v_BHTV.shape[-1]
        count, length = chunk_lengths(time, chunk=chunk)
        q_MLK, k_MLK, v_MLV = (
            in_chunks(x, length=length, more=more) for x, more in ((q_BHTK, 0), (k_BHTK, 0), (v_BHTV, 1))
        )
        v_MLV[..., V] = 1
        i_CBL, log_f_CBL = (
            in_chunks(x[..., None], length=length, more=0).view(count, -1, length) for x in (i_BHT, F.logsigmoid(f_BHT))
        )
        b_CBL = log_f_CBL.cumsum(-1)
        a_CBL = i_CBL - b_CBL
        a_CBL[-1, :, length - (count * length - time) :] = -torch.inf  # what fills up the last chunk
        u_CBL, m_CB = stabilisers(a_CBL, b_CBL, m_BH.flatten())
        # For query t the factor of the memory before its chunk, and for key j its own factor in the memory after.
        read_CBL, write_CBL = torch.exp(m_CB[:-1, :, None] - u_CBL), torch.exp(a_CBL - u_CBL[..., -1:])
        read_ML1, write_ML1 = read_CBL.view(-1, length, 1), write_CBL.view(-1, length, 1)

        memory_CBKV = torch.empty(count + 1, *n_BHK.flatten(0, 1).shape, V + 1, dtype=n_BHK.dtype, device=n_BHK.device)
        memory_CBKV[0] = torch.cat([C_BHKV, n_BHK[..., None]], dim=-1).flatten(0, 1)
        torch.bmm((k_MLK * write_ML1).mT, v_MLV, out=memory_CBKV[1:].flatten(0, 1))
        for c, kept_B in enumerate(read_CBL[..., -1]):
            memory_CBKV[c + 1].addcmul_(kept_B[:, None, None], memory_CBKV[c])

        decay_MLL = decays(a_CBL, u_CBL).flatten(0, 1)
        weights_MLL = torch.bmm(q_MLK, k_MLK.mT).mul_(decay_MLL)
        h_MLV = torch.bmm(weights_MLL, v_MLV)
        torch.baddbmm(h_MLV, q_MLK * read_ML1, memory_CBKV[:-1].flatten(0, 1), out=h_MLV)
        total_ML1 = normaliser(h_MLV[..., V:], (b_CBL + u_CBL).view(-1, length, 1))
        h_MLV[..., :V].div_(total_ML1)

        tensors = q_MLK, k_MLK, v_MLV, f_BHT, read_ML1, write_ML1, memory_CBKV, decay_MLL, weights_MLL, h_MLV, total_ML1
        ctx.save_for_backward(*tensors)
        C_BHKV, n_BHK = memory_CBKV[-1].unflatten(0, (batch, heads)).split([V, 1], dim=-1)
        state = C_BHKV.contiguous(), n_BHK[..., 0].contiguous(), m_CB[-1].view(batch, heads)
        ctx.mark_non_differentiable(state[2])
        return in_time(h_MLV[..., :V], like=i_BHT), *state

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        with operand_precision(gradients[0].device):  # autocast, suspended in the forward pass, may be on again
            return *input_gradients(ctx.saved_tensors, *gradients[:3]), None, None


def input_gradients(saved: tuple[Tensor, ...], dh_BHTV: Tensor, dC_BHKV: Tensor, dn_BHK: Tensor) -> list[Tensor]:
    """Returns the gradients of q, k, v, i, f, C and n from those of h and the last C and n: `Chunkwise` backwards."""
    q_MLK, k_MLK, v_MLV, f_BHT, read_ML1, write_ML1, memory_CBKV, decay_MLL, weights_MLL, h_MLV, total_ML1 = saved
    length, V = v_MLV.shape[1], v_MLV.shape[2] - 1

    # dy is the gradient of the numerator and, in the last channel, of n^T q where it is the normaliser.
    dy_MLV = in_chunks(dh_BHTV, length=length, more=1)
    dnumerator_MLV, weight_ML1 = dy_MLV[..., :V].div_(total_ML1), h_MLV[..., V:]
    dweight_ML1 = (dnumerator_MLV * h_MLV[..., :V]).sum(-1, keepdim=True).mul_(-weight_ML1.sign())
    dy_MLV[..., V:] = dweight_ML1.masked_fill_(weight_ML1.abs() + EPSILON < total_ML1, 0)

    dmemory_CBKV = torch.empty_like(memory_CBKV)
    dmemory_CBKV[-1] = torch.cat([dC_BHKV, dn_BHK[..., None]], dim=-1).flatten(0, 1)
    torch.bmm((q_MLK * read_ML1).mT, dy_MLV, out=dmemory_CBKV[:-1].flatten(0, 1))
    kept_CB11 = read_ML1[:, -1:].unflatten(0, (len(memory_CBKV) - 1, -1))
    for c in reversed(range(len(kept_CB11))):
        dmemory_CBKV[c].addcmul_(kept_CB11[c], dmemory_CBKV[c + 1])
    before_MKV, dafter_MKV = memory_CBKV[:-1].flatten(0, 1), dmemory_CBKV[1:].flatten(0, 1)

    dscores_MLL = torch.bmm(dy_MLV, v_MLV.mT).mul_(decay_MLL)
    dq_MLK = torch.bmm(dy_MLV, before_MKV.mT).mul_(read_ML1).baddbmm_(dscores_MLL, k_MLK)
    dk_MLK = torch.bmm(v_MLV, dafter_MKV.mT).mul_(write_ML1).baddbmm_(dscores_MLL.mT, q_MLK)
    dv_MLV = torch.bmm(k_MLK * write_ML1, dafter_MKV).baddbmm_(weights_MLL.mT, dy_MLV)

    di_ML = (k_MLK * dk_MLK).sum(-1)
    db_ML = (q_MLK * dq_MLK).sum(-1).sub_(di_ML)
    db_ML[:, -1] += (memory_CBKV[1:] * dmemory_CBKV[1:]).sum((-2, -1)).flatten()
    dlog_f_ML = db_ML.flip(-1).cumsum(-1).flip(-1)
    di_BHT, dlog_f_BHT = (in_time(x_ML[..., None], like=f_BHT)[..., 0] for x_ML in (di_ML, dlog_f_ML))

    dq_BHTK, dk_BHTK, dv_BHTV = (in_time(x_MLK, like=f_BHT) for x_MLK in (dq_MLK, dk_MLK, dv_MLV[..., :V]))
    dC_BHKV, dn_BHK1 = dmemory_CBKV[0].unflatten(0, f_BHT.shape[:2]).split([V, 1], dim=-1)
    df_BHT = dlog_f_BHT * torch.sigmoid(-f_BHT)
    return [dq_BHTK, dk_BHTK, dv_BHTV, di_BHT, df_BHT, dC_BHKV, dn_BHK1[..., 0]]


def in_chunks(x_BHTK: Tensor, *, length: int, more: int) -> Tensor:
    """Returns x_MLK, time and channels filled up with zeros: those to whole chunks, these by `more`."""
    x_CBHLK = chunks(x_BHTK, dim=2, length=length).permute(2, 0, 1, 3, 4)
    filled_CBHLK = x_CBHLK.new_zeros(*x_CBHLK.shape[:-1], x_CBHLK.shape[-1] + more)
    filled_CBHLK[..., : x_CBHLK.shape[-1]] = x_CBHLK
    return filled_CBHLK.flatten(0, 2)


def in_time(x_MLK: Tensor, *, like: Tensor) -> Tensor:
    """Returns x_BHTK for the B, H and T of `like`, in memory x_BTHK, as projections have it."""
    batch, heads, time = like.shape
    x_CBHLK = x_MLK.unflatten(0, (-1, batch, heads))
    return x_CBHLK.permute(1, 0, 3, 2, 4).flatten(1, 2)[:, :time].transpose(1, 2)


def stabilisers(a_CBL: Tensor, b_CBL: Tensor, m_B: Tensor) -> tuple[Tensor, Tensor]:
    """Returns u_CBL = m - b with m the stabiliser of every token (15), and m_CB before each chunk and after the last."""
    u_CBL, m_CB = a_CBL.cummax(-1).values, [m_B]
    for u_B, b_B in zip(u_CBL[..., -1], b_CBL[..., -1], strict=True):
        m_CB.append(b_B + torch.maximum(u_B, m_CB[-1]))
    return torch.maximum(u_CBL, torch.stack(m_CB[:-1])[..., None]), torch.stack(m_CB)


def unnormalised(k_BHTK: Tensor, v_BHTV: Tensor) -> tuple[Tensor, Tensor]:
    """Returns k / 2^40 and 2^40 v, for which every form of the cell returns the C^T q of equation 21 undivided.

    C, written with k v^T, is what it was to the last bit, while n^T q becomes so small that max(|n^T q|, 1) is 1. What is left
    of the normaliser is EPSILON exp(m), at most EPSILON as m <= 0 with a sigmoid input gate.
    """
    return k_BHTK * 2.0**-40, v_BHTV * 2.0**40


def cell_flops(time: int, *, K: int, V: int, chunk: int) -> int:
    """Returns the floating-point operations of `parallel`, or of `chunkwise` for more than one chunk, in one head."""
    count, length = chunk_lengths(time, chunk=chunk)
    if time <= chunk:
        return 2 * time**2 * (K + V)
    return 2 * count * length * (length * (K + V + 1) + 2 * K * (V + 1))
