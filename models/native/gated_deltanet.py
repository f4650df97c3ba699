"""Gated DeltaNet's own block (Yang, Kautz and Hatamizadeh 2024, arXiv 2412.06464, section 3.4), with SwiGLU between mixers.

Layer and initialisation are those of the released code (github.com/NVlabs/GatedDeltaNet): matrices uniform up to
1 / sqrt(inputs), as PyTorch starts them; those from the feed-forward layer to the residual stream divided by
sqrt(2 depth); those from the mixer not, as their name escapes the released rule. Its networks tie the head to the embedding.
"""

from functools import partial
from typing import Literal

import torch
from pydantic import PositiveInt

from models.block import Block, FeedForward
from models.gated_deltanet import GatedDeltaNet, Kernel
from models.layers import RMSNorm
from models.native.architecture import ArchitectureSpec, Ends

EPSILON = 1e-5
DEVIATION = 0.02  # of the embedding, which is the head too


class GatedDeltaNetArchitectureSpec(ArchitectureSpec):
    """`heads` memories of `key_dim` x `value_dim`, which the paper makes 3/4 and 3/2 of the width over all heads.

    `convolution` is the kernel of the short convolution of q, k and v (4), `feedforward` the hidden units.
    """

    name: Literal["gated-deltanet"]
    heads: PositiveInt
    key_dim: PositiveInt
    value_dim: PositiveInt
    convolution: PositiveInt
    negative_eigenvalues: bool
    feedforward: PositiveInt
    chunk: PositiveInt
    kernel: Kernel

    def block(self, width: int, *, index: int, depth: int) -> Block:
        mixer = GatedDeltaNet(
            width,
            heads=self.heads,
            key_dim=self.key_dim,
            value_dim=self.value_dim,
            convolution=self.convolution,
            negative_eigenvalues=self.negative_eigenvalues,
            chunk=self.chunk,
            kernel=self.kernel,
        )
        feedforward = FeedForward(width, hidden=self.feedforward, activation="silu")
        with torch.no_grad():
            feedforward.out.weight /= (2 * depth) ** 0.5
        return Block(mixer, feedforward=feedforward, norm=partial(RMSNorm, width, eps=EPSILON))

    def ends(self, width: int) -> Ends:
        return Ends(RMSNorm(width, eps=EPSILON), DEVIATION, DEVIATION, logit_cap=None)
