"""Mamba's own block (Gu and Dao 2023, arXiv 2312.00752, section 3.4): nothing but the mixer, behind an RMSNorm.

The weights start as in the authors' released code: matrices and convolution as PyTorch starts them, uniform up to
1 / sqrt(inputs), but those to the residual stream divided by sqrt(depth). Its head is tied to the embedding.
"""

from functools import partial
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import nn

from models.block import Block
from models.layers import RMSNorm
from models.mamba import Kernel, Mamba
from models.mixer import SequenceMixer
from models.native.architecture import ArchitectureSpec, Ends

EPSILON = 1e-5
DEVIATION = 0.02  # of the embedding


class MambaArchitectureSpec(ArchitectureSpec):
    """`state_dim` (16), `expand` (2) and `rank` (width / 16) as for the mixer, `convolution` the kernel inside it (4)."""

    name: Literal["mamba"]
    state_dim: PositiveInt
    expand: PositiveInt
    rank: PositiveInt
    convolution: PositiveInt
    kernel: Kernel

    def block(self, width: int, *, index: int, depth: int) -> Block:
        mixer = Mamba(
            width,
            state_dim=self.state_dim,
            expand=self.expand,
            rank=self.rank,
            convolution=self.convolution,
            kernel=self.kernel,
        )
        return released(mixer, mixer.out, width=width, depth=depth)

    def ends(self, width: int) -> Ends:
        return released_ends(width)


def released(mixer: SequenceMixer, out: nn.Linear, *, width: int, depth: int) -> Block:
    """Returns the block around a Mamba or Mamba-2 mixer, with the weights of `out`, back to the residual stream, scaled."""
    with torch.no_grad():
        out.weight /= depth**0.5
    return Block(mixer, feedforward=None, norm=partial(RMSNorm, width, eps=EPSILON))


def released_ends(width: int) -> Ends:
    """Returns the ends of a Mamba or Mamba-2 model. A head of its own deviates as much as PyTorch's uniform one."""
    return Ends(RMSNorm(width, eps=EPSILON), DEVIATION, (3 * width) ** -0.5, logit_cap=None)
