"""The fused sLSTM equals its definition: interpreted in float32 here, on a GPU in the types trained in."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from models.kernels import slstm
from models.mixer import UnsupportedKernel
from models.slstm import SLSTMSpec
from models.slstm_cell import Scan
from tests.models.kernels.hopper import ROOT, assert_fits, compiled
from tests.models.kernels.packages import assert_near, needs_no_gpu, on_gpu

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SHAPES = [  # time, heads, channels of a head, batch: no power of two, and more sequences than a block has
    (5, 2, 8, 3),
    (1, 1, 16, 1),
    (4, 2, 24, 6),
    (3, 1, 64, 2),
]
SINGLE = 1e-5  # of a tensor's length: float32 leaves 5e-7 here, products of 19 bits would leave 3e-4
HALF = 1e-2  # bfloat16 leaves 6e-4 in the outputs and 2e-3 in the gradients, also after 512 tokens
NAMES = ["h", "c", "n", "m", "dx", "dR", "dh", "dc", "dn"]

Inputs = list[Tensor]


def inputs(time: int, heads: int, channels: int, batch: int, *, gates: float = 1, empty: bool = False) -> Inputs:
    """Returns x, R, h, c, n and m, in float64 on the device but rounded to float32."""
    generator = torch.Generator().manual_seed(1)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).float().double()

    x_THGB, R_HGV = gates * drawn(time, heads, 4 * channels, batch), drawn(heads, 4 * channels, channels)
    h, c, n, m = (drawn(heads, channels, batch) for _ in range(4))
    state = [0 * h, 0 * c, 0 * n, torch.full_like(m, -torch.inf)] if empty else [h.tanh(), c, n.exp(), m]
    return [tensor.float().double().to(DEVICE) for tensor in (x_THGB, R_HGV * channels**-0.5, *state)]


def results(form: Callable[..., tuple[Tensor, ...]], arguments: Inputs) -> dict[str, Tensor]:
    """Returns the outputs, the last state, and the gradients of a fixed function of them."""
    leaves = [tensor.detach().requires_grad_() for tensor in arguments]
    outputs = form(*leaves)
    generator, loss = torch.Generator().manual_seed(2), 0
    for output in outputs[:3]:
        loss = loss + (output * torch.randn(output.shape, generator=generator, dtype=torch.float64).to(output)).sum()
    found = [tensor.detach() for tensor in outputs] + list(torch.autograd.grad(loss, leaves[:5]))
    return dict(zip(NAMES, found, strict=True))


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor], *, tolerance: float) -> None:
    for name in NAMES:
        assert_near(found[name], expected[name], tolerance=tolerance)


def in_types(arguments: Inputs, *, x: torch.dtype, R: torch.dtype) -> Inputs:
    return [arguments[0].to(x), arguments[1].to(R), *(tensor.float() for tensor in arguments[2:])]


@pytest.fixture(params=["resident", "streamed"])
def form(request, monkeypatch):
    """The recurrent weights stay on the chip, or are read again in each step, whatever their size."""
    monkeypatch.setattr(slstm, "fits", lambda R_HGV: request.param == "resident")


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("empty", [True, False], ids=["from nothing", "from a state"])
@pytest.mark.parametrize("gates", [1.0, 40.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_scan_is_its_definition(shape, gates, empty):
    arguments = inputs(*shape, gates=gates, empty=empty)
    found = results(slstm.scan, in_types(arguments, x=torch.float32, R=torch.float32))
    assert_equal(found, results(Scan.apply, arguments), tolerance=SINGLE)


def test_weights_too_large_for_the_chip_are_streamed_in_several_tiles():
    arguments = inputs(2, 1, 264, 2)
    assert not slstm.fits(arguments[1].float())
    found = results(slstm.scan, in_types(arguments, x=torch.float32, R=torch.float32))
    assert_equal(found, results(Scan.apply, arguments), tolerance=SINGLE)


@pytest.mark.usefixtures("form")
def test_half_precision_inputs_keep_a_single_precision_state():
    """The interpreter has no products in bfloat16; the gradient of x is rounded to the type of x, by 2^-9 at most."""
    x_THGB, *others = inputs(4, 2, 24, 3)
    arguments = in_types([x_THGB, *others], x=torch.bfloat16, R=torch.float32)
    found = results(slstm.scan, arguments)
    expected = results(Scan.apply, [arguments[0].double(), *others])
    assert found["dx"].dtype == torch.bfloat16
    assert_equal(found, expected, tolerance=HALF)
    for name in ("h", "c", "n", "m"):
        assert_near(found[name], expected[name], tolerance=SINGLE)


@pytest.mark.usefixtures("form")
def test_without_a_gradient_the_outputs_are_the_same():
    arguments = in_types(inputs(4, 2, 24, 3), x=torch.float32, R=torch.float32)
    with torch.no_grad():
        found = slstm.scan(*arguments)
    for one, other in zip(found, results(slstm.scan, arguments).values(), strict=False):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.usefixtures("form")
def test_memory_order_makes_no_difference():
    arguments = in_types(inputs(4, 2, 24, 3), x=torch.float32, R=torch.float32)
    moved = [tensor.mT.contiguous().mT for tensor in arguments]
    assert moved[0].stride() != arguments[0].stride()
    assert_equal(results(slstm.scan, moved), results(slstm.scan, arguments), tolerance=0)


def test_cells_that_hardly_forget_do_not_drift():
    """Each step adds the logarithm of a number near one to m: it has to be right in itself, not only beside one."""
    x_THGB, R_HGV, *cells, m_HVB = inputs(64, 1, 8, 1)
    gates_TH4VB = x_THGB.unflatten(2, (4, 8))
    gates_TH4VB[:, :, 0] = -30
    gates_TH4VB[:, :, 1] = torch.linspace(6, 12, 8)[:, None]
    arguments = [x_THGB, 0 * R_HGV, *cells, 0 * m_HVB]
    with torch.no_grad():
        found = slstm.scan(*in_types(arguments, x=torch.float32, R=torch.float32))
        assert_near(found[3], Scan.apply(*arguments)[3], tolerance=SINGLE)


@pytest.mark.usefixtures("form")
def test_a_mixer_reads_the_same_with_either_kernel():
    spec = SLSTMSpec(
        name="slstm", heads=2, recurrent_init="normal", input_gate="exp", readout="normalised", kernel="torch"
    )
    mixer = spec.build(16).to(DEVICE)
    fused = spec.model_copy(update={"kernel": "triton"}).build(16).to(DEVICE)
    fused.load_state_dict(mixer.state_dict())
    x_BTW = torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(1)).to(DEVICE)
    (y_BTW, state), (fused_BTW, fused_state) = (one.prefill(x_BTW, one.initial_state(3, 5)) for one in (mixer, fused))
    weights = torch.randn(y_BTW.shape, generator=torch.Generator().manual_seed(2)).to(DEVICE)
    (y_BTW * weights).sum().backward()
    (fused_BTW * weights).sum().backward()
    for one, other in zip([fused_BTW, *fused_state], [y_BTW, *state], strict=True):
        assert_near(one.detach(), other.detach(), tolerance=SINGLE)
    for one, other in zip(fused.parameters(), mixer.parameters(), strict=True):
        assert_near(one.grad, other.grad, tolerance=SINGLE)


def test_other_types_are_refused():
    arguments = inputs(2, 1, 8, 1)
    with pytest.raises(UnsupportedKernel, match=r"not torch\.float64"):
        slstm.scan(*arguments)
    with pytest.raises(UnsupportedKernel, match=r"not torch\.float16"):
        slstm.scan(*in_types(arguments, x=torch.float16, R=torch.float16))


@needs_no_gpu
def test_products_that_the_interpreter_gets_wrong_are_refused():
    with pytest.raises(UnsupportedKernel, match="no products in bfloat16"):
        slstm.scan(*in_types(inputs(2, 1, 8, 1), x=torch.bfloat16, R=torch.bfloat16))


def test_a_cpu_is_refused():
    call = "import torch; from models.kernels.slstm import scan; scan(torch.zeros(1), *[None] * 5)"
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    ran = subprocess.run([sys.executable, "-c", call], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert "UnsupportedKernel" in ran.stderr
    assert "runs on CUDA" in ran.stderr


def train(channels: int, dtype: str) -> None:
    """Calls every kernel, for the smallest and for the largest block of sequences."""
    for time, heads, batch in ((1, 1, 1), (2, 2, 1024)):
        arguments = inputs(time, heads, channels, batch)
        results(slstm.scan, in_types(arguments, x=getattr(torch, dtype), R=getattr(torch, dtype)))


@needs_no_gpu
@pytest.mark.parametrize(
    ("channels", "dtype", "form"),
    [
        (64, "float32", "resident"),
        (64, "bfloat16", "resident"),
        (128, "bfloat16", "resident"),
        (256, "float32", "streamed"),
        (256, "bfloat16", "streamed"),
    ],
)
def test_every_kernel_compiles_for_hopper(channels, dtype, form):
    kernels = compiled(train, channels, dtype)
    assert {kernel.name for kernel in kernels} == {f"forward_{form}", "memory", f"backward_{form}"}
    assert_fits(kernels)
    assert max(kernel.stack_bytes for kernel in kernels) <= 512  # of one thread: hardly any register is spilled


@on_gpu
@pytest.mark.parametrize("shape", [(512, 4, 64, 8), (512, 4, 64, 64), (512, 4, 128, 17), (512, 4, 256, 16)], ids=str)
@pytest.mark.parametrize("R", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("x", [torch.float32, torch.bfloat16], ids=str)
def test_the_scan_is_its_definition_on_a_gpu(shape, x, R):
    arguments = in_types(inputs(*shape), x=x, R=R)
    expected = results(Scan.apply, [tensor.double() for tensor in arguments])
    single = x == R == torch.float32
    assert_equal(results(slstm.scan, arguments), expected, tolerance=SINGLE if single else HALF)


@on_gpu
@pytest.mark.parametrize("shape", [(512, 4, 64, 64), (512, 4, 256, 64)], ids=str)
def test_a_scan_repeats_itself_on_a_gpu(shape):
    """A step that read what another had not yet written would not."""
    arguments = in_types(inputs(*shape), x=torch.bfloat16, R=torch.bfloat16)
    first = results(slstm.scan, arguments)
    for _ in range(5):
        assert_equal(results(slstm.scan, arguments), first, tolerance=0)
