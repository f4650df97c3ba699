"""The fused form of Gated DeltaNet equals its definition: interpreted in float32 here, on a GPU in the types trained in."""

import sys
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.gated_deltanet import chunkwise
from models.kernels.gated_deltanet import fla
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


def inputs(*, time: int, K: int, V: int, largest_beta: float, dtype: torch.dtype, batch: int = 2) -> list[Tensor]:
    """q, k, v, the decay's logarithm, beta and the state in float64, but rounded to what the kernel will get."""
    generator = torch.Generator().manual_seed(1)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(batch, *shape, dtype=torch.float64, generator=generator)

    heads = 2
    q, k = (F.normalize(drawn(time, heads, K), dim=-1) for _ in range(2))
    log_decay, beta = -0.3 * drawn(time, heads).exp(), largest_beta * drawn(time, heads).sigmoid()
    half, single = [q * K**-0.5, k, drawn(time, heads, V)], [log_decay, beta, drawn(heads, K, V)]
    return [x.to(dtype).double() for x in half] + [x.float().double() for x in single]


def moved(arguments: list[Tensor], *, device: str, dtype: torch.dtype) -> list[Tensor]:
    return [x.to(device, dtype if index < 3 else torch.float32) for index, x in enumerate(arguments)]


def compare(arguments: list[Tensor], *, device: str, dtype: torch.dtype, chunk: int, outputs: float, gradients: float):
    expected = differentiated(partial(chunkwise, chunk=chunk), arguments, outputs=2)
    found = differentiated(partial(fla, chunk=chunk), moved(arguments, device=device, dtype=dtype), outputs=2)
    assert_same(found, expected, outputs=outputs, gradients=gradients)


@needs_no_gpu
@needs("fla")
@pytest.mark.parametrize("largest_beta", [1.0, 2.0])
@pytest.mark.parametrize(("time", "K", "V", "chunk"), [(50, 16, 16, 16), (70, 8, 24, 32), (20, 16, 16, 64)])
def test_the_fused_gated_deltanet_is_the_definition_from_any_state(largest_beta, time, K, V, chunk):
    arguments = inputs(time=time, K=K, V=V, largest_beta=largest_beta, dtype=torch.float32)
    with interpreting():
        compare(arguments, device="cpu", dtype=torch.float32, chunk=chunk, outputs=5e-6, gradients=1e-5)


@needs_no_gpu
@needs("fla")
@pytest.mark.parametrize(
    ("dtype", "K", "V", "chunk", "sentence"),
    [
        (torch.bfloat16, 16, 16, 48, "chunk=48: kernel fla takes 16, 32 or 64"),
        (torch.bfloat16, 257, 16, 64, "key_dim=257: kernel fla takes keys of up to 256 channels"),
        (torch.float32, 129, 16, 64, "neither of more than 128 channels in float32"),
        (torch.float32, 16, 129, 64, "neither of more than 128 channels in float32"),
    ],
)
def test_sizes_that_the_kernel_cannot_take_are_refused(dtype, K, V, chunk, sentence):
    arguments = inputs(time=20, K=K, V=V, largest_beta=1.0, dtype=dtype)
    with interpreting(), pytest.raises(UnsupportedKernel, match=sentence):
        fla(*moved(arguments, device="cpu", dtype=dtype), chunk=chunk)


@needs_no_gpu
@needs("fla")
def test_a_layer_with_the_fused_gated_deltanet_is_the_layer_without():
    with interpreting():
        assert_kernel_serves(MIXERS["gated-deltanet"].model_copy(update={"chunk": 16}), kernel="fla")


@needs_no_gpu
@needs("triton")
def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "fla.ops.gated_delta_rule", None)
    arguments = inputs(time=20, K=16, V=16, largest_beta=1.0, dtype=torch.float32)
    with pytest.raises(UnsupportedKernel, match=r"needs the package fla-core: pip install .\[gpu\]"):
        fla(*moved(arguments, device="cpu", dtype=torch.float32), chunk=16)


def train(dtype: str) -> None:
    imitate_hopper()
    arguments = inputs(time=128, K=64, V=64, largest_beta=1.0, dtype=torch.float32, batch=1)
    moved_arguments = moved(arguments, device="cpu", dtype=getattr(torch, dtype))
    y, S = fla(*(x.requires_grad_() for x in moved_arguments), chunk=64)
    (y.sum() + S.sum()).backward()


@needs_no_gpu
@needs("fla")
def test_the_fused_gated_deltanet_compiles_for_hopper():
    kernels = compiled(train, "bfloat16")
    assert_fits(kernels)
    assert any("_bwd_" in kernel.name for kernel in kernels)


@on_gpu
@needs("fla")
@pytest.mark.parametrize("largest_beta", [1.0, 2.0])
@pytest.mark.parametrize(
    ("dtype", "K", "V", "outputs", "gradients"),
    [
        # TF32 rounds every factor to 2^-11 = 5e-4, and products pass several of them.
        (torch.float32, 64, 64, 5e-3, 1e-2),
        (torch.float32, 128, 128, 5e-3, 1e-2),
        # bfloat16 rounds it to 2^-9 = 2e-3, and what is between kernels once more.
        (torch.bfloat16, 64, 64, 3e-2, 6e-2),
        (torch.bfloat16, 256, 512, 3e-2, 6e-2),
    ],
    ids=str,
)
def test_on_a_gpu_the_fused_gated_deltanet_is_the_definition(largest_beta, dtype, K, V, outputs, gradients):
    arguments = inputs(time=500, K=K, V=V, largest_beta=largest_beta, dtype=dtype)
    compare(arguments, device="cuda", dtype=dtype, chunk=64, outputs=outputs, gradients=gradients)
