"""Ahead-of-time compilation: what it compiles, and that it fails where the compiler does."""

import pytest
import torch
import triton
from triton import language as tl

from tests.models.kernels.hopper import assert_fits, compiled


@triton.jit
def product(x, y, BLOCK: tl.constexpr):
    index = tl.arange(0, BLOCK)[:, None] * BLOCK + tl.arange(0, BLOCK)[None, :]
    x_block = tl.load(x + index)
    tl.store(y + index, tl.dot(x_block, x_block))


def square(block: int) -> None:
    x = torch.ones(block, block, dtype=torch.bfloat16)
    y = torch.empty(block, block)
    product[(1,)](x, y, BLOCK=block)


def test_a_launch_is_compiled_and_not_executed():
    (kernel,) = compiled(square, 64)
    assert kernel.name == "product"
    assert kernel.registers > 0
    assert_fits([kernel])


def test_what_does_not_compile_fails_the_test():
    with pytest.raises(AssertionError, match="power of 2"):
        compiled(square, 48)


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU kernels run there")
def test_without_a_gpu_kernels_are_interpreted():
    x, y = torch.randn(16, 16), torch.empty(16, 16)
    product[(1,)](x, y, BLOCK=16)
    torch.testing.assert_close(y, x @ x)
