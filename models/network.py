"""A language model: embedding, residual blocks around a mixer, head."""

from functools import partial
from typing import Annotated, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator
from torch import Tensor, nn

from models import Architecture, Mixer
from models.block import Block, FeedForward, LearnedPositions, draw_small, small_deviation
from models.convolution import Convolved
from models.layers import RMSNorm
from models.mixer import SequenceMixer, State
from models.native.architecture import Ends


class SharedNetworkSpec(BaseModel):
    """The same residual block around every mixer, so that networks differ in the mixer only.

    `positions` is the number of learned positions added to the embedding, `convolution` the kernel, in tokens, of the short
    convolution before the mixer, `feedforward` the hidden units of the SwiGLU layer after it; 0 leaves any of them out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    block: Literal["shared"]
    width: PositiveInt
    depth: PositiveInt
    positions: NonNegativeInt
    convolution: NonNegativeInt
    feedforward: NonNegativeInt
    mixer: Mixer

    @model_validator(mode="after")
    def _mixer_fits(self) -> Self:
        with torch.device("meta"):
            self.blocks()
        return self

    def build(self, vocabulary: int) -> "Network":
        """Returns the network with weights drawn from torch's global generator."""
        deviation = small_deviation(self.width)
        ends = Ends(RMSNorm(self.width, eps=1e-6), deviation, deviation, logit_cap=None)
        return Network(self.blocks(), ends, width=self.width, vocabulary=vocabulary, tied=False)

    def blocks(self) -> list[SequenceMixer]:
        blocks: list[SequenceMixer] = [self._block(index) for index in range(self.depth)]
        if self.positions:
            positions = LearnedPositions(self.width, count=self.positions)
            nn.init.normal_(positions.embedding.weight, std=small_deviation(self.width))
            blocks.insert(0, positions)
        return blocks

    def _block(self, index: int) -> Block:
        mixer: SequenceMixer = self.mixer.at(index).build(self.width)
        if self.convolution:
            mixer = Convolved(mixer, width=self.width, kernel=self.convolution)
        feedforward = FeedForward(self.width, hidden=self.feedforward, activation="silu") if self.feedforward else None
        block = Block(mixer, feedforward=feedforward, norm=partial(RMSNorm, self.width, eps=1e-6))
        draw_small(block, width=self.width, depth=self.depth)
        return block


class NativeNetworkSpec(BaseModel):
    """Each paper's own residual block and initialisation around its mixer; `tied` makes the head the embedding's weights."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    block: Literal["native"]
    width: PositiveInt
    depth: PositiveInt
    tied: bool
    mixer: Architecture

    @model_validator(mode="after")
    def _architecture_fits(self) -> Self:
        with torch.device("meta"):
            self.blocks()
        return self

    def build(self, vocabulary: int) -> "Network":
        """Returns the network with weights drawn from torch's global generator."""
        ends = self.mixer.at(0).ends(self.width)
        return Network(self.blocks(), ends, width=self.width, vocabulary=vocabulary, tied=self.tied)

    def blocks(self) -> list[SequenceMixer]:
        return [self.mixer.at(i).block(self.width, index=i, depth=self.depth) for i in range(self.depth)]


NetworkSpec = Annotated[SharedNetworkSpec | NativeNetworkSpec, Field(discriminator="block")]


class CappedLinear(nn.Linear):
    """y = x W without bias, bent to cap * tanh(y / cap) where there is a cap (Beck et al. 2025, arXiv 2503.13427, section 3)."""

    def __init__(self, width: int, vocabulary: int, *, cap: float | None):
        super().__init__(width, vocabulary, bias=False)
        self.cap = cap

    def forward(self, x_BTW: Tensor) -> Tensor:
        y_BTN = super().forward(x_BTW)
        return y_BTN if self.cap is None else self.cap * torch.tanh(y_BTN / self.cap)


class Network(nn.Module):
    """Tokens to logits. Its state is the tuple of its blocks' states."""

    def __init__(self, blocks: list[SequenceMixer], ends: Ends, *, width: int, vocabulary: int, tied: bool):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList(blocks)
        self.norm = ends.norm
        self.head = CappedLinear(width, vocabulary, cap=ends.logit_cap)
        nn.init.normal_(self.embedding.weight, std=ends.embedding_deviation)
        if tied:
            self.head.weight = self.embedding.weight
        else:
            nn.init.normal_(self.head.weight, std=ends.head_deviation)

    def features(self, tokens_BT: Tensor) -> Tensor:
        """Returns x_BTW, what the head reads: head(features(tokens)) are the logits."""
        x_BTW = self.embedding(tokens_BT)
        for block in self.blocks:
            x_BTW = block(x_BTW)
        return self.norm(x_BTW)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Returns logits_BTN."""
        return self.head(self.features(tokens_BT))

    def initial_state(self, batch: int, max_time: int) -> tuple[State, ...]:
        """Returns the state before the first token, able to take `max_time` tokens."""
        return tuple(block.initial_state(batch, max_time) for block in self.blocks)

    def prefill(self, tokens_BT: Tensor, state: tuple[State, ...]) -> tuple[Tensor, tuple[State, ...]]:
        """Returns logits_BN of the last position and the state after it. `state` is consumed."""
        x_BTW, states = self.embedding(tokens_BT), []
        for block, block_state in zip(self.blocks, state, strict=True):
            x_BTW, block_state = block.prefill(x_BTW, block_state)
            states.append(block_state)
        return self.head(self.norm(x_BTW[:, -1])), tuple(states)

    def step(self, tokens_B: Tensor, state: tuple[State, ...]) -> tuple[Tensor, tuple[State, ...]]:
        """Returns logits_BN of the next position and the state after it. `state` is consumed."""
        x_BW, states = self.embedding(tokens_B), []
        for block, block_state in zip(self.blocks, state, strict=True):
            x_BW, block_state = block.step(x_BW, block_state)
            states.append(block_state)
        return self.head(self.norm(x_BW)), tuple(states)

    def flops(self, time: int) -> int:
        """Returns the floating-point operations of `forward` on one sequence, counted as `SequenceMixer.flops` says."""
        return sum(block.flops(time) for block in self.blocks) + 2 * time * self.head.weight.numel()

    def parameter_count(self) -> int:
        """Returns the number of trained numbers, embedding and head included."""
        return sum(parameter.numel() for parameter in self.parameters())
