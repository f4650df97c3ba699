"""Fused forms of `models.mamba.selective_scan` and of the convolution before it, by mamba-ssm (Apache 2.0) and causal-conv1d.

x, k and q may be in bfloat16, in which dt and the state before the first token are then rounded too; A, D, the convolution's
window and the state after the last token are in single precision. Both are CUDA programs, which nothing can interpret.
"""

import torch
from torch import Tensor

from models.kernels.requirements import WithoutGradient, missing, require_cuda
from models.mixer import UnsupportedKernel

TINY = 2.0**-40  # a step of time in which nothing decays: exp(TINY A) is 1


def mamba_ssm(
    x_BTV: Tensor, dt_BTV: Tensor, A_KV: Tensor, k_BTK: Tensor, q_BTK: Tensor, D_V: Tensor, S_BKV: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns y_BTV in single precision and the state after the last token, through which no gradient passes.

    The kernel begins with an empty state. So K tokens are put before the first, each of which writes one row of the
    given state, in so short a time that nothing decays: the copies that bring time into the last axis take them along.
    """
    require_cuda(x_BTV, kernel="mamba-ssm")
    if x_BTV.dtype == torch.float16:
        raise UnsupportedKernel("kernel mamba-ssm writes states too large for torch.float16: use bfloat16")
    try:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn
    except ImportError as error:
        raise missing("mamba-ssm", extra="gpu", error=error) from error
    dtype, K = x_BTV.dtype, len(A_KV)
    y_BVT, S_BVK = selective_scan_fn(
        torch.cat([(S_BKV / TINY).to(dtype).mT, x_BTV.mT], dim=-1),
        torch.cat([torch.full_like(S_BKV, TINY, dtype=dtype).mT, dt_BTV.to(dtype).mT], dim=-1),
        A_KV.mT.float().contiguous(),
        torch.cat([torch.eye(K, dtype=dtype, device=k_BTK.device).expand(len(k_BTK), K, K), k_BTK.mT], dim=-1),
        torch.cat([k_BTK.new_zeros(len(k_BTK), K, K), q_BTK.mT], dim=-1),
        D=D_V.float(),
        return_last_state=True,
    )
    return y_BVT[..., K:].mT.float(), WithoutGradient.apply(S_BVK.mT, "mamba-ssm")


def causal_conv1d(x_BTW: Tensor, weight_WF: Tensor, bias_W: Tensor, window_BFW: Tensor) -> tuple[Tensor, Tensor]:
    """Returns y_BTW in x's type and the next window, as `InnerConvolution.prefill` does: SiLU of the biased convolution."""
    require_cuda(x_BTW, kernel="mamba-ssm")
    width, kernel = weight_WF.shape
    if kernel not in (2, 3, 4) or width % 8:
        raise UnsupportedKernel(
            f"causal-conv1d takes 2 to 4 tokens of a multiple of 8 channels, not {kernel} of {width}: use kernel torch"
        )
    try:
        from causal_conv1d import causal_conv1d_fn
    except ImportError as error:
        raise missing("causal-conv1d", extra="gpu", error=error) from error
    seen_BTW = torch.cat([window_BFW.to(x_BTW.dtype), x_BTW], dim=1)
    y_BWT = causal_conv1d_fn(seen_BTW.mT, weight_WF, bias_W, activation="silu")
    return y_BWT.mT[:, kernel - 1 :], seen_BTW[:, seen_BTW.shape[1] - kernel + 1 :].to(window_BFW.dtype)
