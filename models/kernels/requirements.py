"""What a fused kernel needs of the device, of the numbers' type and of its package: each a sentence when it lacks."""

from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from models.mixer import UnsupportedKernel

HALF_OR_SINGLE = torch.float16, torch.bfloat16, torch.float32


def missing(package: str, *, extra: str, error: ImportError) -> UnsupportedKernel:
    """Returns the error for a package that cannot be imported, with the optional extra that installs it."""
    return UnsupportedKernel(f"this kernel needs the package {package}: pip install .[{extra}] ({error})")


def require_cuda(x: Tensor, *, kernel: str) -> None:
    """UnsupportedKernel where x is not of a type in half or single precision, on CUDA."""
    if not x.is_cuda:
        raise UnsupportedKernel(f"kernel {kernel} runs on CUDA, not on {x.device.type}: use a GPU, or kernel torch")
    require_type(x, kernel=kernel)


def require_triton(x: Tensor, *, kernel: str) -> None:
    """As `require_cuda`, but Triton's interpreter serves the CPU too."""
    try:
        from triton import knobs
    except ImportError as error:
        raise missing("triton", extra="gpu", error=error) from error
    if knobs.runtime.interpret:
        require_type(x, kernel=kernel)
    else:
        require_cuda(x, kernel=kernel)


def require_type(x: Tensor, *, kernel: str) -> None:
    """UnsupportedKernel where x is not of a type in half or single precision."""
    if x.dtype not in HALF_OR_SINGLE:
        raise UnsupportedKernel(f"kernel {kernel} takes half or single precision, not {x.dtype}: use kernel torch")


def require_fla_gradient(*inputs: Tensor) -> None:
    """UnsupportedKernel where flash-linear-attention would refuse the backward pass, so that the forward does.

    Triton from 3.4 to 3.7.0 miscompiles the gated backward kernel for Hopper (flash-linear-attention issue 640).
    """
    from fla.utils import IS_NVIDIA_HOPPER, TRITON_ABOVE_3_4_0, TRITON_ABOVE_3_7_1

    differentiated = torch.is_grad_enabled() and any(x.requires_grad for x in inputs)
    if (
        differentiated
        and IS_NVIDIA_HOPPER
        and TRITON_ABOVE_3_4_0
        and not TRITON_ABOVE_3_7_1
        and not find_spec("tilelang")
    ):
        raise UnsupportedKernel(
            "kernel fla trains on Hopper with triton 3.7.1 or later only, which earlier ones compile wrongly: "
            "pip install triton>=3.7.1 or tilelang, or use another kernel"
        )


def without_gradient(kernel: str) -> UnsupportedKernel:
    """Returns the error for a gradient that would have to pass through a state."""
    return UnsupportedKernel(f"kernel {kernel} passes no gradient through this state: detach it, or use kernel torch")


class WithoutGradient(torch.autograd.Function):
    """The same tensor, a state that the named kernel returned; a gradient that comes back to it is an UnsupportedKernel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: str) -> Tensor:
        ctx.kernel = kernel
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, dx: Tensor) -> None:
        raise without_gradient(ctx.kernel)
