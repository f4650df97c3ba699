"""The fused forms of Mamba equal its definition: on a GPU; without one, around a stand-in for the package's program."""

import sys
from types import ModuleType

import pytest
import torch
from torch import Tensor

from models.convolution import InnerConvolution
from models.kernels.mamba import causal_conv1d, mamba_ssm
from models.mamba import selective_scan
from models.mixer import UnsupportedKernel
from tests.models.kernels.packages import assert_kernel_serves, assert_same, differentiated, needs, on_gpu
from tests.models.rows import MIXERS

ROUNDED = (0, 1, 3, 4, 6)  # x, dt, k, q and the state


def inputs(*, time: int, K: int, V: int, dtype: torch.dtype) -> list[Tensor]:
    """x, dt, A, k, q, D and the state in float64, but rounded to what the kernel will get."""
    generator = torch.Generator().manual_seed(1)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=generator)

    batch = 2
    x, dt, A = drawn(batch, time, V), 0.3 * drawn(batch, time, V).exp(), -drawn(K, V).exp()
    arguments = [x, dt, A, drawn(batch, time, K), drawn(batch, time, K), drawn(V), drawn(batch, K, V)]
    return [x.to(dtype if index in ROUNDED else torch.float32).double() for index, x in enumerate(arguments)]


def moved(arguments: list[Tensor], *, device: str, dtype: torch.dtype) -> list[Tensor]:
    return [x.to(device, dtype if index in (0, 3, 4) else torch.float32) for index, x in enumerate(arguments)]


def recurrence(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, *, D: Tensor, return_last_state: bool
) -> tuple[Tensor, Tensor]:
    """What the package's program computes, token after token: time last, from the empty state."""
    assert return_last_state
    assert u.shape == delta.shape
    S, outputs = u.new_zeros(*u.shape[:2], A.shape[1]), []
    for t in range(u.shape[2]):
        S = torch.exp(delta[..., t, None] * A) * S + (delta * u)[..., t, None] * B[:, None, :, t]
        outputs.append((S * C[:, None, :, t]).sum(-1) + D * u[..., t])
    return torch.stack(outputs, dim=-1), S


@pytest.fixture
def stand_in(monkeypatch):
    interface = ModuleType("mamba_ssm.ops.selective_scan_interface")
    interface.selective_scan_fn = recurrence
    for name in ("mamba_ssm", "mamba_ssm.ops"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, interface.__name__, interface)
    monkeypatch.setattr(torch.Tensor, "is_cuda", property(lambda tensor: True))


@pytest.mark.usefixtures("stand_in")
def test_a_program_that_begins_empty_is_made_to_begin_with_a_given_state():
    arguments = inputs(time=9, K=3, V=5, dtype=torch.float32)
    found = differentiated(mamba_ssm, moved(arguments, device="cpu", dtype=torch.float32), outputs=1)
    assert_same(found, differentiated(selective_scan, arguments, outputs=1), outputs=2e-6, gradients=1e-5)


@pytest.mark.usefixtures("stand_in")
def test_a_layer_with_the_fused_mamba_is_the_layer_without():
    assert_kernel_serves(MIXERS["mamba"], kernel="mamba-ssm")


@pytest.mark.usefixtures("stand_in")
def test_a_gradient_through_the_returned_state_is_refused():
    arguments = moved(inputs(time=4, K=3, V=5, dtype=torch.float32), device="cpu", dtype=torch.float32)
    _, S = mamba_ssm(arguments[0].requires_grad_(), *arguments[1:])
    with pytest.raises(UnsupportedKernel, match="kernel mamba-ssm passes no gradient through this state"):
        S.sum().backward()


@pytest.mark.usefixtures("stand_in")
def test_types_and_sizes_that_a_kernel_cannot_take_are_refused():
    arguments = inputs(time=4, K=3, V=5, dtype=torch.float32)
    with pytest.raises(UnsupportedKernel, match=r"takes half or single precision, not torch\.float64"):
        mamba_ssm(*arguments)
    with pytest.raises(UnsupportedKernel, match="use bfloat16"):
        mamba_ssm(*moved(arguments, device="cpu", dtype=torch.float16))
    with pytest.raises(UnsupportedKernel, match="2 to 4 tokens of a multiple of 8 channels, not 5 of 8"):
        causal_conv1d(torch.zeros(1, 3, 8), torch.zeros(8, 5), torch.zeros(8), torch.zeros(1, 4, 8))


def test_device_and_missing_packages_are_named(monkeypatch):
    arguments = moved(inputs(time=4, K=3, V=5, dtype=torch.float32), device="cpu", dtype=torch.float32)
    convolution = torch.zeros(1, 3, 8), torch.zeros(8, 4), torch.zeros(8), torch.zeros(1, 3, 8)
    with pytest.raises(UnsupportedKernel, match="runs on CUDA, not on cpu"):
        mamba_ssm(*arguments)
    monkeypatch.setattr(torch.Tensor, "is_cuda", property(lambda tensor: True))
    for name in ("mamba_ssm", "causal_conv1d"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UnsupportedKernel, match=r"needs the package mamba-ssm: pip install .\[gpu\]"):
        mamba_ssm(*arguments)
    with pytest.raises(UnsupportedKernel, match=r"needs the package causal-conv1d: pip install .\[gpu\]"):
        causal_conv1d(*convolution)


@on_gpu
@needs("mamba_ssm")
@pytest.mark.parametrize(
    ("dtype", "outputs", "gradients"),
    [
        (torch.float32, 1e-5, 1e-4),  # no matrix product, so nothing is rounded to TF32
        (torch.bfloat16, 5e-3, 1e-2),  # computes in float32: what it returns is rounded to 2^-9 = 2e-3
    ],
    ids=str,
)
def test_on_a_gpu_the_fused_mamba_is_the_definition(dtype, outputs, gradients):
    arguments = inputs(time=500, K=16, V=64, dtype=dtype)
    found = differentiated(mamba_ssm, moved(arguments, device="cuda", dtype=dtype), outputs=1)
    assert_same(found, differentiated(selective_scan, arguments, outputs=1), outputs=outputs, gradients=gradients)


@on_gpu
@needs("causal_conv1d")
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)], ids=str)
def test_on_a_gpu_the_fused_convolution_is_the_definition(dtype, tolerance):
    generator, convolution = torch.Generator().manual_seed(1), InnerConvolution(64, kernel=4).double()
    weight, bias = (parameter.detach().float().double() for parameter in (convolution.weight, convolution.bias))
    x, window = (torch.randn(2, time, 64, generator=generator).to(dtype).double() for time in (100, 3))

    def defined(x: Tensor, weight: Tensor, bias: Tensor, window: Tensor) -> tuple[Tensor, Tensor]:
        return torch.func.functional_call(InnerPrefill(convolution), {"0.weight": weight, "0.bias": bias}, (x, window))

    found = differentiated(
        causal_conv1d, [x.to("cuda", dtype), *(y.to("cuda").float() for y in (weight, bias, window))], outputs=2
    )
    expected = differentiated(defined, [x, weight, bias, window], outputs=2)
    assert_same(found, expected, outputs=tolerance, gradients=tolerance)


class InnerPrefill(torch.nn.Sequential):
    """Calls `prefill`, so that its weights can be given."""

    def forward(self, x: Tensor, window: Tensor) -> tuple[Tensor, Tensor]:
        return self[0].prefill(x, window)
