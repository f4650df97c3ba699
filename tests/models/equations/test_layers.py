"""What several mixers share against the paper's equations, token by token, in float64, from the weights alone."""

import pytest
import torch

from models.convolution import CanonConvolution
from models.layers import RMSNorm
from tests.models.equations.following import WIDTH, tokens, trained


def test_the_convolution_reaches_back_over_its_kernel():
    kernel = 4
    convolution, x_TW = trained(CanonConvolution(WIDTH, kernel=kernel)), tokens()
    for t, found_W in enumerate(convolution(x_TW[None])[0]):
        taps = [convolution.weight[:, kernel - 1 - back] * x_TW[t - back] for back in range(kernel) if back <= t]
        y_W = x_TW[t] + sum(taps)
        torch.testing.assert_close(found_W, y_W)


@pytest.mark.parametrize("shape", [(3, 5, WIDTH), (3, WIDTH), (2, 0, WIDTH)], ids=str)
def test_the_root_mean_square_norm_and_its_gradient_are_its_equation(shape):
    norm = trained(RMSNorm(WIDTH, eps=0.1))
    x_BTW = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    expected_BTW = norm.weight * x_BTW / torch.sqrt(x_BTW.square().mean(-1, keepdim=True) + 0.1)
    weights_BTW = torch.randn_like(expected_BTW)
    with torch.no_grad():
        torch.testing.assert_close(norm(x_BTW), expected_BTW)
    torch.testing.assert_close(norm(x_BTW), expected_BTW)
    found, expected = (
        torch.autograd.grad((y_BTW * weights_BTW).sum(), [x_BTW, norm.weight]) for y_BTW in (norm(x_BTW), expected_BTW)
    )
    torch.testing.assert_close(found, expected)


def test_the_gradient_of_the_root_mean_square_norm_stays_in_float32_under_autocast():
    norm, x_BTW = RMSNorm(WIDTH, eps=1e-5), tokens().float()[None].requires_grad_()
    weights_BTW = torch.randn_like(x_BTW)
    expected = torch.autograd.grad((norm(x_BTW) * weights_BTW).sum(), [x_BTW, norm.weight])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = torch.autograd.grad((norm(x_BTW) * weights_BTW).sum(), [x_BTW, norm.weight])
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
