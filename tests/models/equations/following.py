"""What the tests of all equations share: weights as after training, a sequence, and what it is to follow an equation."""

import torch
from torch import Tensor

from models.mixer import SequenceMixer
from tests.models.weights import M, perturbed

WIDTH, TIME = 8, 11
GATES = [1.0, 40.0]  # typical size of a gate's pre-activation


def trained(module: M) -> M:
    torch.manual_seed(1)
    return perturbed(module.double(), deviation=0.5)


def tokens() -> Tensor:
    return torch.randn(TIME, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def assert_follows(mixer: SequenceMixer, expected_TW: Tensor, *, tolerance: float) -> None:
    """The outputs, and the gradients of every parameter, are those of the equations."""
    found_TW = mixer(tokens()[None])[0]
    torch.testing.assert_close(found_TW, expected_TW, rtol=tolerance, atol=tolerance)
    weights_TW = torch.randn_like(expected_TW)
    expected, found = (
        torch.autograd.grad((y_TW * weights_TW).sum(), list(mixer.parameters())) for y_TW in (expected_TW, found_TW)
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=10 * tolerance, atol=10 * tolerance)


def assert_stable(mixer: SequenceMixer) -> None:
    mixer, x_BTW = mixer.float(), tokens().float()[None]
    mixer.zero_grad()
    y_BTW = mixer(x_BTW)
    y_BTW.square().sum().backward()
    _, state = mixer.prefill(x_BTW, mixer.initial_state(1, TIME + 1))
    y_BW, _ = mixer.step(x_BTW[:, 0], state)
    assert y_BTW.isfinite().all()
    assert y_BW.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in mixer.parameters())


def layer_norm(x: Tensor) -> Tensor:
    return (x - x.mean()) / torch.sqrt(x.var(correction=0) + 1e-6)
