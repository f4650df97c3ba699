"""Fused forms of `models.mlstm_cell.chunkwise`, with its arguments and results.

    kernel  package                 licence                 gradients
    fla     flash-linear-attention  MIT                     all
    nxai    mlstm-kernels           NXAI Community License  through h only, and not through its normaliser

q, k and v may be in half precision; gates and states are in single precision. The products of single precision are TF32
on a GPU, unless the environment says TRITON_F32_DEFAULT=ieee.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from models.kernels.requirements import WithoutGradient, missing, require_fla_gradient, require_triton, without_gradient
from models.mixer import UnsupportedKernel
from models.mlstm_cell import EPSILON, MLSTMState, normaliser

ALIGNED = 16  # channels: rows of so many start where a GPU reads them in the fewest pieces
LONGEST = 64  # tokens of a chunk: with 128, fla's backward pass needs many times the registers that Hopper has
CLOSED = 1e4  # a gate's pre-activation after the last token: nothing is written, nothing forgotten


def fla(
    q_BHTK: Tensor, k_BHTK: Tensor, v_BHTV: Tensor, i_BHT: Tensor, f_BHT: Tensor, state: MLSTMState, *, chunk: int
) -> tuple[Tensor, MLSTMState]:
    """Returns h_BHTV in single precision and the state after the last token, by linear attention with one decay a head.

    With m of (15), keys k exp(i - m) and decays f exp(m_before - m), both at most 1, the memory C of (19) is that of
    linear attention, and the normaliser n of (20) is its column for a value that is always 1. The values are widened
    by 16 channels for it and not by 1, so that rows stay aligned: a kernel begins one more tile of values in either case.
    m is a constant to the gradient. In half precision the states between chunks are rounded too, not the last one.
    """
    require_triton(q_BHTK, kernel="fla")
    try:
        from fla.ops.simple_gla import chunk_simple_gla
    except ImportError as error:
        raise missing("fla-core", extra="gpu", error=error) from error
    require_fla_gradient(q_BHTK, k_BHTK, v_BHTV, i_BHT, f_BHT, *state)
    dtype, K, V = q_BHTK.dtype, q_BHTK.shape[-1], v_BHTV.shape[-1]
    if sentence := refusal("fla", K=K, V=V, chunk=chunk):
        raise UnsupportedKernel(sentence)
    log_f_BHT = F.logsigmoid(f_BHT.double())
    m_BHT = stabilisers(i_BHT, log_f_BHT, state.m_BH)
    m_before_BHT = torch.cat([state.m_BH[..., None], m_BHT[..., :-1]], dim=-1).detach()
    decay_BHT = (log_f_BHT + m_before_BHT - m_BHT).float()
    k_BHTK = (k_BHTK * torch.exp(i_BHT - m_BHT).float()[..., None]).to(dtype)
    o_BTHV, memory_BHKV = chunk_simple_gla(
        q_BHTK.transpose(1, 2),
        k_BHTK.transpose(1, 2),
        widened(v_BHTV.transpose(1, 2), torch.ones_like(v_BHTV[..., 0]).mT),
        decay_BHT.transpose(1, 2),
        scale=1.0,
        initial_state=widened(state.C_BHKV, state.n_BHK),
        output_final_state=True,
        chunk_size=chunk_length(chunk, time=i_BHT.shape[-1]),
    )
    o_BHTV, m_BHT = o_BTHV.transpose(1, 2).float(), m_BHT.float()
    h_BHTV = o_BHTV[..., :V] / normaliser(o_BHTV[..., V], m_BHT)[..., None]
    return h_BHTV, MLSTMState(memory_BHKV[..., :V], memory_BHKV[..., V], m_BHT[..., -1])


@torch.no_grad()
def stabilisers(i_BHT: Tensor, log_f_BHT: Tensor, m_BH: Tensor) -> Tensor:
    """Returns m_BHT of (15) in double precision, m_BH that before the first token.

    Unrolled, m_t is the largest of m + b_t and of all i_j + b_t - b_j, with b the running sum of log f: a sum that
    single precision would round too coarsely over long sequences.
    """
    b_BHT = log_f_BHT.cumsum(-1)
    return b_BHT + torch.maximum((i_BHT - b_BHT).cummax(-1).values, m_BH[..., None])


def widened(x_V: Tensor, last: Tensor) -> Tensor:
    """Returns x with `last` as one more channel and zeros up to a whole number of 16; any axes may come before V."""
    zeros_V = x_V.new_zeros(*x_V.shape[:-1], ALIGNED - 1 - x_V.shape[-1] % ALIGNED)
    return torch.cat([x_V, last[..., None], zeros_V], dim=-1)


def refusal(kernel: str, *, K: int, V: int, chunk: int) -> str:
    """Returns why a kernel never takes these sizes, and what to take instead: nothing where it does."""
    if kernel == "torch":
        return ""
    if chunk < 16 or chunk & (chunk - 1):
        return f"chunk={chunk} is no power of two from 16 on, which kernel {kernel} needs: take {LONGEST}"
    if kernel == "fla":
        return f"chunk={chunk} is too long for kernel fla: take 16, 32 or {LONGEST}" if chunk > LONGEST else ""
    for channels in (K, V):
        if channels < 16 or (channels & (channels - 1) and channels % 64):
            return (
                f"kernel nxai writes beyond keys and values of {channels} channels: take a power of two from 16 on, or a "
                "multiple of 64"
            )
    return ""


def chunk_length(chunk: int, *, time: int) -> int:
    """Returns a kernel's chunk length: `chunk`, or less for a shorter sequence."""
    return min(chunk, max(16, 1 << (time - 1).bit_length()))


def nxai(
    q_BHTK: Tensor, k_BHTK: Tensor, v_BHTV: Tensor, i_BHT: Tensor, f_BHT: Tensor, state: MLSTMState, *, chunk: int
) -> tuple[Tensor, MLSTMState]:
    """Returns h_BHTV in single precision and the state after the last token, by the kernels of xLSTM's authors.

    The package is under the NXAI Community License, which is no open-source licence: it is in no extra but its own.
    Its backward pass leaves out the gradient through the normaliser (21): that of h is right where a norm over
    each head's channels follows, and only there. No gradient passes from or to a state: asking for one is an error.
    """
    require_triton(q_BHTK, kernel="nxai")
    try:
        from mlstm_kernels.torch.chunkwise.triton_xl_chunk import mlstm_chunkwise__xl_chunk
    except ImportError as error:
        raise missing("mlstm-kernels", extra="nxai", error=error) from error
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in state):
        raise without_gradient("nxai")

    time, K = q_BHTK.shape[2:]
    if sentence := refusal("nxai", K=K, V=v_BHTV.shape[-1], chunk=chunk):
        raise UnsupportedKernel(sentence)
    length = chunk_length(chunk, time=time)
    missing_tokens = -time % length
    q_BHTK, k_BHTK, v_BHTV = (F.pad(x, (0, 0, 0, missing_tokens)) for x in (q_BHTK * K**0.5, k_BHTK, v_BHTV))
    h_BHTV, (C_BHKV, n_BHK, m_BH1) = mlstm_chunkwise__xl_chunk(
        q_BHTK,
        k_BHTK,
        v_BHTV,
        F.pad(i_BHT, (0, missing_tokens), value=-CLOSED),
        F.pad(f_BHT, (0, missing_tokens), value=CLOSED),
        c_initial=state.C_BHKV,
        n_initial=state.n_BHK,
        m_initial=state.m_BH[..., None],
        return_last_states=True,
        eps=EPSILON,
        chunk_size_inter=min(length, 128),
        chunk_size_intra=length,
        siz_b_L_parallel=min(length, 64),
        siz_b_L_loop=min(length, 64),
        autocast_kernel_dtype=q_BHTK.dtype,
    )
    state = MLSTMState(*(WithoutGradient.apply(tensor, "nxai") for tensor in (C_BHKV, n_BHK, m_BH1[..., 0])))
    return h_BHTV[:, :, :time].float(), state
