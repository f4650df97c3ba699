"""Fused form of `models.gated_deltanet.chunkwise`, with its arguments and results, by flash-linear-attention (MIT).

q, k, v and beta may be in half precision; the decay and the state are in single precision. The products of single
precision are TF32 on a GPU, unless the environment says TRITON_F32_DEFAULT=ieee. Where the packages flash_qla or tilelang
are installed, the package may prefer their kernels to its own, unless it says FLA_DISABLE_BACKEND_DISPATCH=1.
"""

import torch
from torch import Tensor

from models.kernels.requirements import missing, require_fla_gradient, require_triton
from models.mixer import UnsupportedKernel

CHUNKS = 16, 32, 64  # tokens
WIDEST_KEY = 256  # channels
WIDEST_SINGLE = 128  # channels of keys and values in single precision: more overflow Hopper's shared memory


def fla(
    q_BTHK: Tensor,
    k_BTHK: Tensor,
    v_BTHV: Tensor,
    log_decay_BTH: Tensor,
    beta_BTH: Tensor,
    S_BHKV: Tensor,
    *,
    chunk: int,
) -> tuple[Tensor, Tensor]:
    """Returns o_BTHV in single precision and S_BHKV after the last token, beta being from 0 to 1 or to 2 alike."""
    require_triton(q_BTHK, kernel="fla")
    try:
        from fla.ops.gated_delta_rule import chunk_gated_delta_rule
    except ImportError as error:
        raise missing("fla-core", extra="gpu", error=error) from error
    require_fla_gradient(q_BTHK, k_BTHK, v_BTHV, log_decay_BTH, beta_BTH, S_BHKV)
    K, V = q_BTHK.shape[-1], v_BTHV.shape[-1]
    if sentence := refusal("fla", K=K, chunk=chunk):
        raise UnsupportedKernel(sentence)
    if q_BTHK.dtype == torch.float32 and max(K, V) > WIDEST_SINGLE:
        raise UnsupportedKernel(
            f"key_dim={K} and value_dim={V}: kernel fla takes neither of more than {WIDEST_SINGLE} channels in float32: "
            "lower them, or train in bfloat16"
        )
    o_BTHV, S_BHKV = chunk_gated_delta_rule(
        q_BTHK,
        k_BTHK,
        v_BTHV,
        log_decay_BTH.float(),
        beta_BTH,
        scale=1.0,
        initial_state=S_BHKV,
        output_final_state=True,
        chunk_size=chunk,
    )
    return o_BTHV.float(), S_BHKV


def refusal(kernel: str, *, K: int, chunk: int) -> str:
    """Returns why a kernel never takes these sizes, and what to take instead: nothing where it does."""
    if kernel == "torch":
        return ""
    if chunk not in CHUNKS:
        return f"chunk={chunk}: kernel fla takes 16, 32 or 64"
    return f"key_dim={K}: kernel fla takes keys of up to {WIDEST_KEY} channels, lower it" if K > WIDEST_KEY else ""
