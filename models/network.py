"""A network: what reads, residual blocks around a mixer, what predicts."""

from abc import ABC, abstractmethod
from functools import cache, partial
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
from models.ports import Ports, series_ports, token_ports


class _NetworkSpec(BaseModel, ABC):
    """The same blocks and norm, whatever is read and predicted. Weights are drawn from torch's global generator."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    width: PositiveInt
    depth: PositiveInt

    @abstractmethod
    def blocks(self) -> list[SequenceMixer]:
        """Returns the blocks, their weights drawn."""

    @abstractmethod
    def ends(self) -> Ends:
        """Returns what stands around the blocks."""

    @property
    def ties(self) -> bool:
        """Whether the head is the embedding's weights."""
        return False

    def build(self, vocabulary: int) -> "Network":
        """Returns the network of tokens in, logits out."""
        return self._tokens(vocabulary, bottleneck=False)

    def build_bottleneck(self, vocabulary: int) -> "Network":
        """Returns the network of tokens in, logits out, all of them told from the last position's features."""
        return self._tokens(vocabulary, bottleneck=True)

    def build_for_series(self, channels: int, outputs: int) -> "Network":
        """Returns the network of `channels` numbers in, `outputs` numbers out; ValueError if its head is tied."""
        if self.ties:
            raise ValueError("a series has no vocabulary whose embedding the head could be: set network.tied to false")
        ends, blocks = self.ends(), self.blocks()
        return Network(blocks, series_ports(self.width, ends, channels=channels, outputs=outputs), norm=ends.norm)

    def _tokens(self, vocabulary: int, *, bottleneck: bool) -> "Network":
        ends, blocks = self.ends(), self.blocks()
        ports = token_ports(self.width, ends, vocabulary=vocabulary, tied=self.ties, bottleneck=bottleneck)
        return Network(blocks, ports, norm=ends.norm)


@cache
def _refuse_unbuildable(spec: _NetworkSpec) -> None:
    """ValueError, with the remedy, where the blocks cannot be built: asked once of each, as a plan has many runs of it."""
    with torch.device("meta"):
        spec.blocks()


class SharedNetworkSpec(_NetworkSpec):
    """The same residual block around every mixer, so that networks differ in the mixer only.

    `positions` is the number of learned positions added to the embedding, `convolution` the kernel, in tokens, of the short
    convolution before the mixer, `feedforward` the hidden units of the SwiGLU layer after it; 0 leaves any of them out.
    """

    block: Literal["shared"]
    positions: NonNegativeInt
    convolution: NonNegativeInt
    feedforward: NonNegativeInt
    mixer: Mixer

    @model_validator(mode="after")
    def _mixer_fits(self) -> Self:
        _refuse_unbuildable(self)
        return self

    def ends(self) -> Ends:
        deviation = small_deviation(self.width)
        return Ends(RMSNorm(self.width, eps=1e-6), deviation, deviation, logit_cap=None)

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


class NativeNetworkSpec(_NetworkSpec):
    """Each paper's own residual block and initialisation around its mixer; `tied` makes the head the embedding's weights."""

    block: Literal["native"]
    tied: bool
    mixer: Architecture

    @model_validator(mode="after")
    def _architecture_fits(self) -> Self:
        _refuse_unbuildable(self)
        return self

    @property
    def ties(self) -> bool:
        return self.tied

    def ends(self) -> Ends:
        return self.mixer.at(0).ends(self.width)

    def blocks(self) -> list[SequenceMixer]:
        return [self.mixer.at(i).block(self.width, index=i, depth=self.depth) for i in range(self.depth)]


NetworkSpec = Annotated[SharedNetworkSpec | NativeNetworkSpec, Field(discriminator="block")]


class Network(nn.Module):
    """Inputs to predictions: logits of tokens, or numbers. Its state is the tuple of its blocks' states."""

    def __init__(self, blocks: list[SequenceMixer], ports: Ports, *, norm: nn.Module):
        super().__init__()
        self.embedding = ports.embedding
        self.blocks = nn.ModuleList(blocks)
        self.norm = norm
        self.decoder = ports.decoder
        self.head = ports.head

    def features(self, inputs: Tensor) -> Tensor:
        """Returns x_BTW, what the head reads: head(features(inputs)) are the predictions."""
        x_BTW = self.embedding(inputs)
        for block in self.blocks:
            x_BTW = block(x_BTW)
        x_BTW = self.norm(x_BTW)
        return x_BTW if self.decoder is None else self.decoder(x_BTW)

    def forward(self, inputs: Tensor) -> Tensor:
        """Returns logits_BTN of tokens_BT, or the numbers predicted after each of values_BTC."""
        return self.head(self.features(inputs))

    def initial_state(self, batch: int, max_time: int) -> tuple[State, ...]:
        """Returns the state before the first input, able to take `max_time` of them."""
        return tuple(block.initial_state(batch, max_time) for block in self.blocks)

    def read(self, inputs: Tensor, state: tuple[State, ...]) -> tuple[Tensor, tuple[State, ...]]:
        """Returns x_BTW, what the head reads, and the state after the last input. `state` is consumed."""
        assert self.decoder is None, "a bottleneck has no features before the last input"
        x_BTW, state = self._prefilled(inputs, state)
        return self.norm(x_BTW), state

    def prefill(self, inputs: Tensor, state: tuple[State, ...]) -> tuple[Tensor, tuple[State, ...]]:
        """Returns the predictions after the last input, logits_BN of tokens, and the state. `state` is consumed."""
        x_BTW, state = self._prefilled(inputs, state)
        return self.head(self.norm(x_BTW[:, -1])), state

    def _prefilled(self, inputs: Tensor, state: tuple[State, ...]) -> tuple[Tensor, tuple[State, ...]]:
        x_BTW, states = self.embedding(inputs), []
        for block, block_state in zip(self.blocks, state, strict=True):
            x_BTW, block_state = block.prefill(x_BTW, block_state)
            states.append(block_state)
        return x_BTW, tuple(states)

    def step(self, inputs: Tensor, state: tuple[State, ...]) -> tuple[Tensor, tuple[State, ...]]:
        """Returns the predictions after one more input, logits_BN of tokens_B, and the state. `state` is consumed."""
        x_BW, states = self.embedding(inputs), []
        for block, block_state in zip(self.blocks, state, strict=True):
            x_BW, block_state = block.step(x_BW, block_state)
            states.append(block_state)
        return self.head(self.norm(x_BW)), tuple(states)

    def flops(self, time: int) -> int:
        """Returns the floating-point operations of `forward` on one sequence, counted as `SequenceMixer.flops` says."""
        products = [self.head] + [self.embedding] * isinstance(self.embedding, nn.Linear)
        decoded = 0 if self.decoder is None else self.decoder.flops(time)
        ends = decoded + sum(2 * time * product.weight.numel() for product in products)
        return ends + sum(block.flops(time) for block in self.blocks)

    def parameter_count(self) -> int:
        """Returns the number of trained numbers, embedding and head included."""
        return sum(parameter.numel() for parameter in self.parameters())
