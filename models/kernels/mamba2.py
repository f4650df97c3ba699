"""Fused form of `models.mamba2.chunkwise`, with its arguments and results, by mamba-ssm (Apache 2.0).

x, k and q may be in half precision; dt, A, D and states are in single precision. The products of single precision are
TF32 on a GPU, unless the environment says TRITON_F32_DEFAULT=ieee.
"""

from torch import Tensor

from models.kernels.requirements import missing, require_triton


def mamba_ssm(
    x_BTHV: Tensor,
    dt_BTH: Tensor,
    A_H: Tensor,
    k_BTGK: Tensor,
    q_BTGK: Tensor,
    D_H: Tensor,
    S_BKHV: Tensor,
    *,
    chunk: int,
) -> tuple[Tensor, Tensor]:
    """Returns y_BTHV in single precision and the state after the last token."""
    require_triton(x_BTHV, kernel="mamba-ssm")
    try:
        from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined
    except ImportError as error:
        raise missing("mamba-ssm", extra="gpu", error=error) from error
    y_BTHV, S_BHVK = mamba_chunk_scan_combined(
        x_BTHV,
        dt_BTH.float(),
        A_H.float(),
        k_BTGK,
        q_BTGK,
        chunk,
        D=D_H.float(),
        initial_states=S_BKHV.permute(0, 2, 3, 1),
        return_final_states=True,
    )
    return y_BTHV.float(), S_BHVK.permute(0, 3, 1, 2)
