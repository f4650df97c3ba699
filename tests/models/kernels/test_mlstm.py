"""The fused forms of mLSTM equal its definition: interpreted in float32 here, on a GPU in the types trained in."""

import sys
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models import mlstm
from models.kernels.mlstm import fla, nxai, stabilisers
from models.mixer import UnsupportedKernel
from models.mlstm_cell import MLSTMState
from tests.models.kernels.hopper import assert_fits, compiled
from tests.models.kernels.packages import (
    assert_kernel_serves,
    assert_near,
    assert_same,
    imitate_hopper,
    interpreting,
    needs,
    needs_no_gpu,
    on_gpu,
)
from tests.models.rows import MIXERS

BATCH, HEADS = 2, 2
PACKAGES = {fla: "fla", nxai: "mlstm_kernels"}
every_kernel = pytest.mark.parametrize(
    "kernel", [pytest.param(kernel, marks=needs(package), id=kernel.__name__) for kernel, package in PACKAGES.items()]
)

Inputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, MLSTMState]


def inputs(
    *, time: int, K: int, V: int, gates: float, heads: int = HEADS, dtype: torch.dtype = torch.float32
) -> Inputs:
    """In float64, but rounded to what a kernel will get: q, k and v to dtype, the rest to float32."""
    generator = torch.Generator().manual_seed(1)

    def drawn(*shape: int, dtype: torch.dtype) -> Tensor:
        return torch.randn(BATCH, heads, *shape, dtype=torch.float64, generator=generator).to(dtype).double()

    q, k, v = (drawn(time, size, dtype=dtype) for size in (K, K, V))
    i, f = gates * drawn(time, dtype=torch.float32), 2 + gates * drawn(time, dtype=torch.float32)
    state = MLSTMState(*(drawn(*shape, dtype=torch.float32) for shape in ((K, V), (K,), ())))
    return q * K**-0.5 if dtype == torch.float32 else q, k, v, i, f, state


def moved(arguments: Inputs, *, device: str, dtype: torch.dtype) -> Inputs:
    *qkv, i, f, state = arguments
    single = (i, f, *state)
    i, f, *state = (x.to(device, torch.float32) for x in single)
    return *(x.to(device, dtype) for x in qkv), i, f, MLSTMState(*state)


def results(
    form: Callable[..., tuple[Tensor, MLSTMState]], arguments: Inputs, *, chunk: int, normed: bool, through_state: bool
) -> tuple[list[Tensor], tuple[Tensor, ...]]:
    """Returns outputs, with the state at its true scale, and the gradients of a fixed function of them."""
    *qkvif, (C, n, m) = arguments
    leaves = [x.detach().requires_grad_() for x in qkvif + ([C, n] if through_state else [])]
    state = MLSTMState(*leaves[5:], m) if through_state else MLSTMState(C, n, m)
    h, (C, n, m) = form(*leaves[:5], state, chunk=chunk)
    outputs = [F.layer_norm(h, h.shape[-1:], eps=1e-6) if normed else h]
    states = [C * m.exp()[..., None, None], n * m.exp()[..., None]]
    generator, loss = torch.Generator().manual_seed(2), torch.zeros((), device=h.device)
    for output in outputs + (states if through_state else []):
        weights = torch.randn(output.shape, generator=generator, dtype=torch.float64).to(output)
        loss = loss + (output * weights).sum()
    return [*outputs, C, n, m], torch.autograd.grad(loss, leaves)


def compare(form, arguments, *, device, dtype, chunk, normed, through_state, outputs, gradients) -> None:
    options = {"chunk": chunk, "normed": normed, "through_state": through_state}
    expected = results(mlstm.chunkwise, arguments, **options)
    found = results(form, moved(arguments, device=device, dtype=dtype), **options)
    assert_same(found, expected, outputs=outputs, gradients=gradients)


@needs_no_gpu
@every_kernel
@pytest.mark.parametrize(
    ("time", "K", "V", "chunk", "gates"),
    [(50, 16, 16, 16, 1.0), (33, 32, 16, 32, 1.0), (5, 16, 16, 64, 1.0), (40, 16, 16, 16, 20.0)],
)
def test_a_fused_mlstm_before_its_norm_is_the_definition_from_any_state(kernel, time, K, V, chunk, gates):
    arguments = inputs(time=time, K=K, V=V, gates=gates)
    with interpreting():
        compare(
            kernel,
            arguments,
            device="cpu",
            dtype=torch.float32,
            chunk=chunk,
            normed=True,
            through_state=False,
            outputs=2e-5,
            gradients=1e-4,
        )


@needs_no_gpu
@needs("fla")
@pytest.mark.parametrize(("time", "K", "V", "chunk"), [(50, 16, 16, 16), (33, 8, 15, 32)])
def test_fla_needs_no_norm_and_passes_gradients_through_states(time, K, V, chunk):
    arguments = inputs(time=time, K=K, V=V, gates=1.0)
    with interpreting():
        compare(
            fla,
            arguments,
            device="cpu",
            dtype=torch.float32,
            chunk=chunk,
            normed=False,
            through_state=True,
            outputs=5e-6,
            gradients=2e-5,
        )


@needs_no_gpu
@needs("mlstm_kernels")
def test_nxai_returns_the_definition_without_a_norm_but_refuses_gradients_of_states():
    arguments = moved(inputs(time=40, K=16, V=16, gates=1.0), device="cpu", dtype=torch.float32)
    *qkvif, state = arguments
    with interpreting():
        assert_near(nxai(*arguments, chunk=16)[0], mlstm.chunkwise(*arguments, chunk=16)[0], tolerance=5e-6)
        _, (C, _, _) = nxai(qkvif[0].requires_grad_(), *qkvif[1:], state, chunk=16)
        with pytest.raises(UnsupportedKernel, match="kernel nxai passes no gradient through this state"):
            C.sum().backward()
        with pytest.raises(UnsupportedKernel, match="kernel nxai passes no gradient through this state"):
            nxai(*qkvif, state._replace(C_BHKV=state.C_BHKV.requires_grad_()), chunk=16)
        with torch.no_grad():
            nxai(*qkvif, state, chunk=16)


@needs_no_gpu
@every_kernel
def test_a_fused_mlstm_forgets_a_large_early_input_without_losing_later_ones(kernel):
    *qkv, _, f, state = inputs(time=64, K=16, V=16, gates=1.0)
    i = torch.linspace(160, 40, 64, dtype=torch.float64).expand_as(f)  # falls by more than exp can hold
    arguments = (*qkv, i, f, MLSTMState(*(torch.zeros_like(x) for x in state)))
    expected, _ = mlstm.chunkwise(*arguments, chunk=16)
    with interpreting():
        found, _ = kernel(*moved(arguments, device="cpu", dtype=torch.float32), chunk=16)
    assert_near(found, expected, tolerance=1e-3)


@needs_no_gpu
@every_kernel
@pytest.mark.parametrize("row", ["mlstm", "mlstm-sigmoid"])
def test_a_layer_with_a_fused_mlstm_is_the_layer_without(kernel, row):
    with interpreting():
        assert_kernel_serves(MIXERS[row].model_copy(update={"key_dim": 16, "chunk": 16}), kernel=kernel.__name__)


def test_stabilisers_are_those_of_the_recurrence():
    *_, i, f, state = inputs(time=300, K=1, V=1, gates=20.0)
    log_f, m = F.logsigmoid(f), state.m_BH
    for t, found in enumerate(stabilisers(i, log_f, m).unbind(-1)):
        m = torch.maximum(log_f[..., t] + m, i[..., t])
        torch.testing.assert_close(found, m)


@needs_no_gpu
@pytest.mark.parametrize(
    ("kernel", "chunk", "K", "sentence"),
    [
        pytest.param(fla, 48, 16, "chunk=48 is no power of two from 16 on", marks=needs("fla")),
        pytest.param(fla, 8, 16, "chunk=8 is no power of two from 16 on", marks=needs("fla")),
        pytest.param(fla, 128, 16, "chunk=128 is too long for kernel fla: take 16, 32 or 64", marks=needs("fla")),
        pytest.param(nxai, 48, 16, "chunk=48 is no power of two from 16 on", marks=needs("mlstm_kernels")),
        pytest.param(nxai, 16, 24, "beyond keys and values of 24 channels", marks=needs("mlstm_kernels")),
        pytest.param(nxai, 16, 8, "writes beyond keys and values of 8 channels", marks=needs("mlstm_kernels")),
    ],
)
def test_sizes_that_a_kernel_cannot_take_are_refused(kernel, chunk, K, sentence):
    arguments = moved(inputs(time=20, K=K, V=16, gates=1.0), device="cpu", dtype=torch.float32)
    with interpreting(), pytest.raises(UnsupportedKernel, match=sentence):
        kernel(*arguments, chunk=chunk)


@needs_no_gpu
@needs("triton")
@pytest.mark.parametrize(
    ("kernel", "module", "sentence"),
    [
        (fla, "fla.ops.simple_gla", r"needs the package fla-core: pip install .\[gpu\]"),
        (nxai, "mlstm_kernels.torch.chunkwise.triton_xl_chunk", r"needs the package mlstm-kernels: .* .\[nxai\]"),
    ],
)
def test_a_missing_package_is_named(kernel, module, sentence, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    arguments = inputs(time=20, K=16, V=16, gates=1.0)
    with pytest.raises(UnsupportedKernel, match=sentence):
        kernel(*moved(arguments, device="cpu", dtype=torch.float32), chunk=16)


@needs_no_gpu
@needs("triton")
@pytest.mark.parametrize("kernel", [fla, nxai])
def test_device_and_type_are_refused_where_a_kernel_does_not_take_them(kernel, monkeypatch):
    from triton import knobs

    arguments = inputs(time=20, K=16, V=16, gates=1.0)
    with pytest.raises(UnsupportedKernel, match=r"takes half or single precision, not torch.float64"):
        kernel(*arguments, chunk=16)
    monkeypatch.setattr(knobs.runtime, "interpret", False)
    with pytest.raises(UnsupportedKernel, match="runs on CUDA, not on cpu"):
        kernel(*moved(arguments, device="cpu", dtype=torch.float32), chunk=16)


@needs_no_gpu
@needs("fla")
def test_fla_refuses_to_train_where_its_backward_pass_is_compiled_wrongly(monkeypatch):
    *qkvif, state = moved(inputs(time=20, K=16, V=16, gates=1.0), device="cpu", dtype=torch.float32)
    with interpreting():
        monkeypatch.setattr("fla.utils.IS_NVIDIA_HOPPER", True)
        monkeypatch.setattr("fla.utils.TRITON_ABOVE_3_7_1", False)
        monkeypatch.setattr("models.kernels.requirements.find_spec", lambda name: None)
        assert fla(*qkvif, state, chunk=16)[0].isfinite().all()
        qkvif[3].requires_grad_()
        with pytest.raises(UnsupportedKernel, match=r"on Hopper with triton 3\.7\.1 or later only"):
            fla(*qkvif, state, chunk=16)


def train(kernel: str, dtype: str, K: int, V: int) -> None:
    imitate_hopper()
    *qkvif, state = inputs(time=128, K=K, V=V, gates=1.0, heads=1)
    arguments = moved((*qkvif, state), device="cpu", dtype=getattr(torch, dtype))
    h, _ = {"fla": fla, "nxai": nxai}[kernel](*(x.requires_grad_() for x in arguments[:5]), arguments[5], chunk=64)
    h.sum().backward()


@needs_no_gpu
@pytest.mark.parametrize(
    ("kernel", "dtype", "K", "V"),
    [
        pytest.param("fla", "float32", 64, 64, marks=needs("fla")),
        pytest.param("fla", "bfloat16", 256, 512, marks=needs("fla")),
        pytest.param("nxai", "bfloat16", 256, 512, marks=needs("mlstm_kernels")),
    ],
)
def test_a_fused_mlstm_compiles_for_hopper(kernel, dtype, K, V):
    kernels = compiled(train, kernel, dtype, K, V)
    assert_fits(kernels)
    assert any("_bw" in kernel.name for kernel in kernels)


@on_gpu
@every_kernel
@pytest.mark.parametrize(
    ("dtype", "outputs", "gradients"),
    [
        (torch.float32, 5e-3, 1e-2),  # TF32 rounds every factor to 2^-11 = 5e-4, and products pass several of them
        (torch.bfloat16, 3e-2, 6e-2),  # bfloat16 rounds it to 2^-9 = 2e-3, and what is between kernels once more
    ],
    ids=str,
)
@pytest.mark.parametrize(("K", "V"), [(64, 64), (256, 512)])
def test_on_a_gpu_a_fused_mlstm_is_the_definition(kernel, dtype, outputs, gradients, K, V):
    compare(
        kernel,
        inputs(time=500, K=K, V=V, gates=1.0, dtype=dtype),
        device="cuda",
        dtype=dtype,
        chunk=64,
        normed=True,
        through_state=kernel is fla,
        outputs=outputs,
        gradients=gradients,
    )
