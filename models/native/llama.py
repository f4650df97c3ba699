"""Llama (Touvron et al. 2023, arXiv 2302.13971): RMSNorm, rotary attention and SwiGLU.

With fewer key and value heads it is Llama 2's large models (Touvron et al. 2023, arXiv 2307.09288) and Llama 3, with a window
also Mistral 7B (Jiang et al. 2023, arXiv 2310.06825).
"""

from functools import partial
from typing import Literal

from pydantic import PositiveInt
from torch import nn

from models.attention import AttentionFields
from models.block import Block, FeedForward
from models.layers import RMSNorm
from models.native.architecture import ArchitectureSpec, Ends

DEVIATION = 0.02  # of every matrix: the papers do not say; `initializer_range` of the released configurations
EPSILON = 1e-5  # the default `norm_eps` of the released code


class LlamaSpec(AttentionFields, ArchitectureSpec):
    """`feedforward` hidden units (the first paper takes 8/3 width) behind attention as `AttentionFields` says."""

    name: Literal["llama"]
    feedforward: PositiveInt

    def block(self, width: int, *, index: int, depth: int) -> Block:
        feedforward = FeedForward(width, hidden=self.feedforward, activation="silu")
        block = Block(self.attention(width), feedforward=feedforward, norm=partial(RMSNorm, width, eps=EPSILON))
        for part in block.modules():
            if isinstance(part, nn.Linear):
                nn.init.normal_(part.weight, std=DEVIATION)
        return block

    def ends(self, width: int) -> Ends:
        return Ends(RMSNorm(width, eps=EPSILON), DEVIATION, DEVIATION, logit_cap=None)
