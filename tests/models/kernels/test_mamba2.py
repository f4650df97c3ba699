"""The fused form of Mamba-2 equals its definition: interpreted in float32 here, on a GPU in the types trained in."""

import sys
from functools import partial
from types import ModuleType

import pytest
import torch
from torch import Tensor

from models.kernels.mamba2 import mamba_ssm
from models.mamba2 import chunkwise
from models.mixer import UnsupportedKernel
from tests.models.kernels.hopper import assert_fits, compiled
from tests.models.kernels.packages import (
    assert_kernel_serves,
    assert_same,
    differentiated,
    imitate_hopper,
    interpreting,
    needs,
    needs_no_gpu,
    on_gpu,
)
from tests.models.rows import MIXERS

HALF = (0, 3, 4)  # x, k and q


def inputs(*, time: int, heads: int, groups: int, K: int, V: int, dtype: torch.dtype, batch: int = 2) -> list[Tensor]:
    """x, dt, A, k, q, D and the state in float64, but rounded to what the kernel will get."""
    generator = torch.Generator().manual_seed(1)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=generator)

    x, k, q = drawn(batch, time, heads, V), drawn(batch, time, groups, K), drawn(batch, time, groups, K)
    dt, A, D, S = 0.3 * drawn(batch, time, heads).exp(), -drawn(heads).exp(), drawn(heads), drawn(batch, K, heads, V)
    return [x.double() for x in moved([x, dt, A, k, q, D, S], device="cpu", dtype=dtype)]


def moved(arguments: list[Tensor], *, device: str, dtype: torch.dtype) -> list[Tensor]:
    return [x.to(device, dtype if index in HALF else torch.float32) for index, x in enumerate(arguments)]


def compare(arguments: list[Tensor], *, device: str, dtype: torch.dtype, chunk: int, outputs: float, gradients: float):
    expected = differentiated(partial(chunkwise, chunk=chunk), arguments, outputs=2)
    found = differentiated(partial(mamba_ssm, chunk=chunk), moved(arguments, device=device, dtype=dtype), outputs=2)
    assert_same(found, expected, outputs=outputs, gradients=gradients)


@needs_no_gpu
@needs("mamba_ssm")
@pytest.mark.parametrize(
    ("time", "heads", "groups", "K", "V", "chunk"),
    [(50, 4, 2, 16, 16, 32), (20, 2, 1, 3, 5, 16), (20, 2, 1, 16, 16, 48)],
)
def test_the_fused_mamba2_is_the_definition_from_any_state(time, heads, groups, K, V, chunk, monkeypatch):
    monkeypatch.setitem(sys.modules, "selective_scan_cuda", ModuleType("selective_scan_cuda"))  # what only Mamba needs
    arguments = inputs(time=time, heads=heads, groups=groups, K=K, V=V, dtype=torch.float32)
    with interpreting():
        compare(arguments, device="cpu", dtype=torch.float32, chunk=chunk, outputs=5e-6, gradients=1e-5)


@needs_no_gpu
@needs("mamba_ssm")
def test_a_layer_with_the_fused_mamba2_is_the_layer_without(monkeypatch):
    monkeypatch.setitem(sys.modules, "selective_scan_cuda", ModuleType("selective_scan_cuda"))
    with interpreting():
        assert_kernel_serves(MIXERS["mamba2"].model_copy(update={"chunk": 16}), kernel="mamba-ssm")


@needs_no_gpu
@needs("triton")
def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mamba_ssm.ops.triton.ssd_combined", None)
    monkeypatch.setitem(sys.modules, "mamba_ssm", None)
    arguments = inputs(time=20, heads=2, groups=1, K=16, V=16, dtype=torch.float32)
    with pytest.raises(UnsupportedKernel, match=r"needs the package mamba-ssm: pip install .\[gpu\]"):
        mamba_ssm(*moved(arguments, device="cpu", dtype=torch.float32), chunk=16)


def train(dtype: str) -> None:
    imitate_hopper()
    sys.modules["selective_scan_cuda"] = ModuleType("selective_scan_cuda")
    arguments = inputs(time=512, heads=2, groups=1, K=128, V=64, dtype=torch.float32, batch=1)
    moved_arguments = moved(arguments, device="cpu", dtype=getattr(torch, dtype))
    y, S = mamba_ssm(*(x.requires_grad_() for x in moved_arguments), chunk=256)
    (y.sum() + S.sum()).backward()


@needs_no_gpu
@needs("mamba_ssm")
def test_the_fused_mamba2_compiles_for_hopper():
    kernels = compiled(train, "bfloat16")
    assert_fits(kernels)
    assert any("_bwd_" in kernel.name for kernel in kernels)


@on_gpu
@needs("mamba_ssm")
@pytest.mark.parametrize(
    ("dtype", "outputs", "gradients"),
    [
        (torch.float32, 5e-3, 1e-2),  # TF32 rounds every factor to 2^-11 = 5e-4, and products pass several of them
        (torch.bfloat16, 3e-2, 6e-2),  # bfloat16 rounds it to 2^-9 = 2e-3, and what is between kernels once more
    ],
    ids=str,
)
@pytest.mark.parametrize(("heads", "groups", "chunk"), [(8, 1, 256), (4, 2, 64)])
def test_on_a_gpu_the_fused_mamba2_is_the_definition(dtype, outputs, gradients, heads, groups, chunk):
    arguments = inputs(time=500, heads=heads, groups=groups, K=128, V=64, dtype=dtype)
    compare(arguments, device="cuda", dtype=dtype, chunk=chunk, outputs=outputs, gradients=gradients)
