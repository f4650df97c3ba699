"""Runs the Triton kernels of third-party packages where there is no GPU: interpreted, or only compiled for Hopper."""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.mixer import MixerSpec, state_tensors
from tests.models.kernels.hopper import SHARED_BYTES

needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU kernels run there")


def on_gpu(test: Any) -> Any:
    """Marks a test that runs on a GPU, and only there."""
    return pytest.mark.gpu(pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")(test))


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(package) is None, reason=f"needs the package {package}")


class Index(int):
    """A loop's index as Triton's interpreter hands it out, which forgets that Triton's own can be converted."""

    def to(self, dtype: Any) -> int:
        return int(self)


@contextmanager
def interpreting() -> Iterator[None]:
    """Inside, kernels run interpreted, each with the first of its configurations, and warn of nothing.

    A masked element may overflow, and packages use what Triton discourages. What they would compile runs uncompiled.
    """
    from triton.runtime.autotuner import Autotuner

    run = Autotuner.run

    def run_first(tuner: Autotuner, *arguments: Any, **options: Any) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tuner, "configs", tuner.configs[:1])
            return run(tuner, *arguments, **options)

    with (
        pytest.MonkeyPatch.context() as patch,
        warnings.catch_warnings(),
        np.errstate(all="ignore"),
        torch.compiler.set_stance("force_eager"),
    ):
        warnings.simplefilter("ignore")
        patch.setattr(Autotuner, "run", run_first)
        patch.setattr(torch.cuda, "device", lambda device: nullcontext())
        patch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(multi_processor_count=1))
        if find_spec("fla"):
            from fla.ops.common import chunk_delta_h, chunk_h

            for module in (chunk_h, chunk_delta_h):
                patch.setattr(module, "range", lambda *bounds: map(Index, range(*bounds)), raising=False)
        yield


def imitate_hopper() -> None:
    """Lets packages that ask for the device find Hopper. For a process in which kernels are compiled and not run."""
    from triton.runtime import driver
    from triton.runtime.autotuner import Autotuner, Config

    def size(config: Config) -> tuple[int, int, int]:
        return math.prod(config.kwargs.values()), config.num_stages, -config.num_warps

    def run_smallest(tuner: Autotuner, *arguments: Any, **options: Any) -> Any:  # the surest to fit, and soon compiled
        tuner.best_config = min(tuner.configs, key=size)
        return tuner.fn.run(*arguments, **options, **tuner.best_config.all_kwargs())

    Autotuner.run = run_smallest
    torch.cuda.device_count = lambda: 1
    torch.cuda.get_device_name = lambda device=None: "NVIDIA H200"
    torch.cuda.get_device_capability = lambda device=None: (9, 0)
    driver.active.utils = SimpleNamespace(get_device_properties=lambda device: {"max_shared_mem": SHARED_BYTES})
    torch.cuda.get_device_properties = lambda device=None: SimpleNamespace(multi_processor_count=132)
    torch.cuda.device = lambda device: nullcontext()
    torch.compiler.set_stance("force_eager")
    if find_spec("fla"):
        from fla.utils import hardware

        hardware.get_all_max_shared_mem = lambda: {None: SHARED_BYTES, 0: SHARED_BYTES}


def differentiated(
    form: Callable[..., tuple[Tensor, Tensor]], arguments: list[Tensor], *, outputs: int
) -> tuple[list[Tensor], tuple[Tensor, ...]]:
    """Returns what the form returns, and the gradients of a fixed function of the first `outputs` of that."""
    leaves = [x.detach().requires_grad_() for x in arguments]
    returned, generator = list(form(*leaves)), torch.Generator().manual_seed(2)
    loss = torch.zeros((), device=leaves[0].device)
    for output in returned[:outputs]:
        weights = torch.randn(output.shape, generator=generator, dtype=torch.float64).to(output)
        loss = loss + (output * weights).sum()
    return returned, torch.autograd.grad(loss, leaves, materialize_grads=True)


def assert_same(
    found: tuple[list[Tensor], tuple[Tensor, ...]],
    expected: tuple[list[Tensor], tuple[Tensor, ...]],
    *,
    outputs: float,
    gradients: float,
) -> None:
    """Both have the same outputs and gradients, each to a tolerance of its own."""
    for tolerance, ones, others in zip((outputs, gradients), found, expected, strict=True):
        for one, other in zip(ones, others, strict=True):
            assert_near(one.cpu(), other, tolerance=tolerance)


def assert_kernel_serves(spec: MixerSpec, *, kernel: str) -> None:
    """The mixer with this kernel reads and continues as that without, from the same weights, in float32."""
    width, outputs = 64, []
    x_BTW = torch.randn(2, 21, width, generator=torch.Generator().manual_seed(1))
    for name in ("torch", kernel):
        torch.manual_seed(0)
        mixer = type(spec).model_validate(spec.model_dump() | {"kernel": name}).build(width)
        with torch.no_grad():
            y_BTW = mixer(x_BTW)
            prompt_BTW, state = mixer.prefill(x_BTW[:, :20], mixer.initial_state(2, 21))
            y_BW, _ = mixer.step(x_BTW[:, 20], state)
        outputs.append((y_BTW, prompt_BTW, y_BW, *state_tensors(state)))
    for one, other in zip(*outputs, strict=True):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def assert_near(found: Tensor, expected: Tensor, *, tolerance: float) -> None:
    """The difference is at most `tolerance` of the expected tensor's length."""
    assert found.isfinite().all()
    assert (found.double() - expected.double()).norm() <= tolerance * expected.double().norm()
