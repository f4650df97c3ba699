"""Every attention kernel equals the equation: on the CPU where it runs there, on a GPU in the types trained in."""

import math
import sys
from types import ModuleType
from typing import get_args

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from models.kernels.attention import AttentionKernel, attended
from models.mixer import UnsupportedKernel
from tests.models.kernels.packages import assert_same, differentiated, needs, on_gpu

WINDOWS = [None, 2, 5]
every_window = pytest.mark.parametrize("window", WINDOWS)
sharing = pytest.mark.parametrize("key_heads", [4, 2, 1])


def inputs(*, time: int, K: int, key_heads: int, dtype: torch.dtype) -> list[Tensor]:
    """q, k and v in float64, but rounded to what the kernel will get."""
    generator = torch.Generator().manual_seed(1)
    shapes = [(2, heads, time, K) for heads in (4, key_heads, key_heads)]
    return [torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype).double() for shape in shapes]


def softmax_over_keys(q_BHTK: Tensor, k_BHTK: Tensor, v_BHTK: Tensor, *, window: int | None) -> Tensor:
    """Vaswani et al. 2017, equation 1, token after token."""
    shared, outputs = q_BHTK.shape[1] // k_BHTK.shape[1], []
    k_BHTK, v_BHTK = (x_BHTK.repeat_interleave(shared, dim=1) for x_BHTK in (k_BHTK, v_BHTK))
    for t in range(q_BHTK.shape[2]):
        seen = slice(0 if window is None else max(0, t + 1 - window), t + 1)
        scores_BHT = (k_BHTK[:, :, seen] @ q_BHTK[:, :, t, :, None])[..., 0] / math.sqrt(q_BHTK.shape[-1])
        outputs.append((scores_BHT.softmax(-1)[..., None] * v_BHTK[:, :, seen]).sum(2))
    return torch.stack(outputs, dim=2)


def compare(
    arguments: list[Tensor],
    *,
    device: str,
    dtype: torch.dtype,
    kernel: AttentionKernel,
    window: int | None,
    tolerance: float,
) -> None:
    expected = differentiated(lambda *qkv: [softmax_over_keys(*qkv, window=window)], arguments, outputs=1)
    found = differentiated(
        lambda *qkv: [attended(*qkv, kernel=kernel, window=window)], [x.to(device, dtype) for x in arguments], outputs=1
    )
    assert_same(found, expected, outputs=tolerance, gradients=tolerance)


@every_window
@sharing
@pytest.mark.parametrize("kernel", ["sdpa", "math", "flash"])
def test_a_kernel_is_the_equation(kernel, key_heads, window):
    arguments = inputs(time=9, K=8, key_heads=key_heads, dtype=torch.float64)
    compare(arguments, device="cpu", dtype=torch.float64, kernel=kernel, window=window, tolerance=1e-12)


@sharing
def test_plain_products_are_counted_for_every_query_head(key_heads):
    arguments = inputs(time=9, K=8, key_heads=key_heads, dtype=torch.float64)
    with FlopCounterMode(display=False) as counter:
        attended(*arguments, kernel="math", window=None)
    assert counter.get_total_flops() == 2 * 4 * 4 * 9**2 * 8


@every_window
@pytest.mark.parametrize("kernel", ["efficient", "cudnn"])
def test_a_kernel_that_pytorch_refuses_is_an_error_with_its_reason(kernel, window):
    arguments = inputs(time=9, K=8, key_heads=2, dtype=torch.float32)
    with pytest.raises(
        UnsupportedKernel, match=rf"{kernel} does not take torch\.float64 on cpu.* PyTorch says: No viable"
    ):
        attended(*arguments, kernel=kernel, window=window)


def test_flash_attn_is_refused_where_it_cannot_run(monkeypatch):
    arguments = inputs(time=9, K=8, key_heads=2, dtype=torch.float32)
    monkeypatch.setitem(sys.modules, "flash_attn", None)
    with pytest.raises(UnsupportedKernel, match=r"needs the package flash-attn: pip install .\[gpu\]"):
        attended(*arguments, kernel="flash-attn", window=None)
    package = ModuleType("flash_attn")
    package.flash_attn_func = None
    monkeypatch.setitem(sys.modules, "flash_attn", package)
    with pytest.raises(UnsupportedKernel, match=r"takes float16 and bfloat16 on CUDA, not torch\.float64 on cpu"):
        attended(*arguments, kernel="flash-attn", window=None)


GPU_KERNELS = [kernel for kernel in get_args(AttentionKernel) if kernel != "flash-attn"]


@on_gpu
@every_window
@sharing
@pytest.mark.parametrize("kernel", [*GPU_KERNELS, pytest.param("flash-attn", marks=needs("flash_attn"))])
def test_on_a_gpu_a_kernel_is_the_equation(kernel, key_heads, window):
    arguments = inputs(time=200, K=64, key_heads=key_heads, dtype=torch.bfloat16)
    if kernel == "flash" and window:
        with pytest.raises(UnsupportedKernel, match="with a window"):
            attended(*(x.to("cuda", torch.bfloat16) for x in arguments), kernel=kernel, window=window)
    else:  # bfloat16 rounds weights and results to 2^-9 = 2e-3
        compare(arguments, device="cuda", dtype=torch.bfloat16, kernel=kernel, window=window, tolerance=2e-2)


@on_gpu
@pytest.mark.parametrize("kernel", ["flash", "cudnn"])
def test_on_a_gpu_single_precision_is_refused_by_kernels_of_half_precision(kernel):
    arguments = [x.to("cuda", torch.float32) for x in inputs(time=9, K=8, key_heads=4, dtype=torch.float32)]
    with pytest.raises(UnsupportedKernel, match=r"does not take torch\.float32 on cuda"):
        attended(*arguments, kernel=kernel, window=None)


@on_gpu
@every_window
@pytest.mark.parametrize("kernel", ["sdpa", "math", "efficient"])
def test_on_a_gpu_a_kernel_of_single_precision_is_the_equation(kernel, window):
    arguments = inputs(time=200, K=64, key_heads=2, dtype=torch.float32)
    compare(
        arguments, device="cuda", dtype=torch.float32, kernel=kernel, window=window, tolerance=5e-3
    )  # TF32, if at all
