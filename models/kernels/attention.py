"""Causal softmax attention by PyTorch's own kernels, each named, and by FlashAttention-2 (Dao 2023, arXiv 2307.08691).

What each takes, as PyTorch 2.11 and 2.13 and flash-attn 2.8 have it:

    kernel      device     types                   fewer key heads   window     from
    sdpa        any        any                     yes               as a mask  PyTorch's choice of the next four
    math        any        any                     copied            as a mask  matrix products and a softmax, one after the other
    flash       CPU, CUDA  half (CPU: any)         yes               CPU only   PyTorch's copy of FlashAttention-2
    efficient   CUDA       half, float32           copied here       as a mask  PyTorch's copy of xFormers' kernel
    cudnn       CUDA       half                    yes               as a mask  cuDNN
    flash-attn  CUDA       half                    yes               natively   the package flash-attn (BSD-3-Clause)

A window given as a mask costs T x T bytes and saves no arithmetic.
"""

import warnings
from contextlib import nullcontext
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from models.mixer import UnsupportedKernel

AttentionKernel = Literal["sdpa", "math", "flash", "efficient", "cudnn", "flash-attn"]

BACKENDS = {
    "math": SDPBackend.MATH,
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
}
REFUSALS = "No available kernel", "No viable backend"  # how PyTorch's error begins


def attended(q_BHTK: Tensor, k_BHTK: Tensor, v_BHTV: Tensor, *, kernel: AttentionKernel, window: int | None) -> Tensor:
    """Returns h_BHTV = softmax(q k^T / sqrt(K)) v, each token seeing itself and all before, or the last `window`.

    q, k and v are whole sequences from the first token on; k and v may have fewer heads than q, which then share them.
    UnsupportedKernel where the kernel does not take these tensors.
    """
    if kernel == "flash-attn":
        return flash_attn(q_BHTK, k_BHTK, v_BHTV, window=window)
    shared = q_BHTK.shape[1] // k_BHTK.shape[1]
    if kernel == "efficient" and shared > 1:
        k_BHTK, v_BHTV = (x_BHTK.repeat_interleave(shared, dim=1) for x_BHTK in (k_BHTK, v_BHTV))
    visible_TT = None if window is None else windowed(q_BHTK.shape[2], window=window, device=q_BHTK.device)
    chosen = nullcontext() if kernel == "sdpa" else sdpa_kernel(BACKENDS[kernel])
    with warnings.catch_warnings(record=True) as reasons, chosen:
        warnings.simplefilter("always")
        try:
            return F.scaled_dot_product_attention(
                q_BHTK,
                k_BHTK,
                v_BHTV,
                attn_mask=visible_TT,
                is_causal=visible_TT is None,
                enable_gqa=q_BHTK.shape[1] != k_BHTK.shape[1],
            )
        except RuntimeError as error:
            if not str(error).startswith(REFUSALS):
                raise
            sentences = " ".join(str(reason.message).split(" (Triggered")[0] for reason in reasons)
            raise UnsupportedKernel(
                f"attention kernel {kernel} does not take {q_BHTK.dtype} on {q_BHTK.device.type}"
                f"{'' if window is None else ' with a window'}: choose another one. PyTorch says: {error} {sentences}"
            ) from error


def windowed(time: int, *, window: int, device: torch.device) -> Tensor:
    """Returns visible_TT: whether the token of the row sees that of the column, itself or one of window - 1 before."""
    return torch.ones(time, time, dtype=torch.bool, device=device).tril().triu(1 - window)


def flash_attn(q_BHTK: Tensor, k_BHTK: Tensor, v_BHTV: Tensor, *, window: int | None) -> Tensor:
    """Returns what `attended` says, by the package flash-attn."""
    try:
        from flash_attn import flash_attn_func
    except ImportError as error:
        raise UnsupportedKernel(
            f"attention kernel flash-attn needs the package flash-attn: pip install .[gpu] ({error})"
        ) from error
    if q_BHTK.device.type != "cuda" or q_BHTK.dtype not in (torch.float16, torch.bfloat16):
        raise UnsupportedKernel(
            f"attention kernel flash-attn takes float16 and bfloat16 on CUDA, not {q_BHTK.dtype} on "
            f"{q_BHTK.device.type}: train in bfloat16 on a GPU or choose another kernel"
        )
    q_BTHK, k_BTHK, v_BTHV = (x_BHTK.transpose(1, 2) for x_BHTK in (q_BHTK, k_BHTK, v_BHTV))
    reach = (-1, -1) if window is None else (window - 1, 0)
    return flash_attn_func(q_BTHK, k_BTHK, v_BTHV, causal=True, window_size=reach).transpose(1, 2)
