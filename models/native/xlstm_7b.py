"""xLSTM 7B (Beck et al. 2025, arXiv 2503.13427): mLSTM and SwiGLU, each behind an RMSNorm, and soft-capped logits.

The weights start as in the authors' JAX training code, which the released PyTorch code does not carry over: there the
output gate starts at weights 0, half open whatever the token, and all matrices are drawn by `draw_small`.
"""

from functools import partial
from typing import Literal

import torch
from pydantic import PositiveInt

from models.block import Block, FeedForward, draw_small, small_deviation
from models.layers import RMSNorm
from models.mlstm import Kernel, MLSTMSpec
from models.mlstm_gates import MLSTMGates
from models.native.architecture import ArchitectureSpec, Ends

EPSILON = 1e-6
LOGIT_CAP = 30.0


class XLSTM7BSpec(ArchitectureSpec):
    """`heads` memories of `key_dim` x (width / heads), `feedforward` hidden units; `chunk` and `kernel` as for mLSTM.

    7B has width 4096, depth 32, heads 8, key_dim 256, feedforward 10944, and a vocabulary of 50304. Both numbers are stated
    as such, not as factors of the width (1/2 and 8/3), since the official codes round the second differently: at width
    768 the PyTorch code takes 2048 and the JAX code 2112.
    """

    name: Literal["xlstm-7b"]
    heads: PositiveInt
    key_dim: PositiveInt
    gates: MLSTMGates
    feedforward: PositiveInt
    chunk: PositiveInt
    kernel: Kernel

    def block(self, width: int, *, index: int, depth: int) -> Block:
        mixer = MLSTMSpec(
            name="mlstm",
            heads=self.heads,
            key_dim=self.key_dim,
            gates=self.gates,
            chunk=self.chunk,
            kernel=self.kernel,
        ).build(width)
        feedforward = FeedForward(width, hidden=self.feedforward, activation="silu")
        block = Block(mixer, feedforward=feedforward, norm=partial(RMSNorm, width, eps=EPSILON))
        draw_small(block, width=width, depth=depth)
        with torch.no_grad():
            mixer.qkvo.weight[-width:].zero_()
        return block

    def ends(self, width: int) -> Ends:
        deviation = small_deviation(width)
        return Ends(RMSNorm(width, eps=EPSILON), deviation, deviation, logit_cap=LOGIT_CAP)
