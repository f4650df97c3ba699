"""A language model: embedding, residual blocks around a mixer, head."""

from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, model_validator
from torch import Tensor, nn

from models import Mixer
from models.layers import Convolved, InputProjection, OutputProjection
from models.mixer import SequenceMixer, State


class NetworkSpec(BaseModel):
    """Everything that decides a network but the size of its vocabulary, which is the task's.

    `block` is the residual block: `shared` is the same around every mixer. `convolution` is the kernel, in tokens, of
    the short convolution before the mixer; `feedforward` the hidden units of the layer after it; 0 leaves either out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    block: Literal["shared"]
    width: PositiveInt
    depth: PositiveInt
    convolution: NonNegativeInt
    feedforward: NonNegativeInt
    mixer: Mixer

    @model_validator(mode="after")
    def _mixer_fits(self) -> Self:
        with torch.device("meta"):
            self.mixer.build(self.width)
        return self

    def build(self, vocabulary: int) -> "Network":
        """Returns the network with weights drawn from torch's global generator."""
        return Network(self, vocabulary=vocabulary)


class FeedForward(nn.Module):
    """y = (SiLU(x W_gate) * x W_in) W_out: SwiGLU (Shazeer 2020, equation 6), without biases."""

    def __init__(self, width: int, *, hidden: int):
        super().__init__()
        self.gate_and_in = InputProjection(width, 2 * hidden, bias=False)
        self.out = OutputProjection(hidden, width, bias=False)

    def forward(self, x_BTW: Tensor) -> Tensor:
        gate_BTF, in_BTF = self.gate_and_in(x_BTW).chunk(2, dim=-1)
        return self.out(F.silu(gate_BTF) * in_BTF)

    def flops(self, time: int) -> int:
        return 2 * time * (self.gate_and_in.weight.numel() + self.out.weight.numel())


class Block(nn.Module):
    """x + mixer(norm(x)), then x + feedforward(norm(x)) where there is one; both norms are RMSNorm."""

    def __init__(self, spec: NetworkSpec):
        super().__init__()
        mixer = spec.mixer.build(spec.width)
        self.mixer_norm = nn.RMSNorm(spec.width, eps=1e-6)
        self.mixer: SequenceMixer = (
            Convolved(mixer, width=spec.width, kernel=spec.convolution) if spec.convolution else mixer
        )
        self.feedforward_norm = nn.RMSNorm(spec.width, eps=1e-6) if spec.feedforward else None
        self.feedforward = FeedForward(spec.width, hidden=spec.feedforward) if spec.feedforward else None

    def completed(self, x_BTW: Tensor) -> Tensor:
        """Returns the residual stream after the feed-forward layer."""
        return x_BTW if self.feedforward is None else x_BTW + self.feedforward(self.feedforward_norm(x_BTW))

    def forward(self, x_BTW: Tensor) -> Tensor:
        return self.completed(x_BTW + self.mixer(self.mixer_norm(x_BTW)))

    def prefill(self, x_BTW: Tensor, state: State) -> tuple[Tensor, State]:
        y_BTW, state = self.mixer.prefill(self.mixer_norm(x_BTW), state)
        return self.completed(x_BTW + y_BTW), state

    def step(self, x_BW: Tensor, state: State) -> tuple[Tensor, State]:
        y_BW, state = self.mixer.step(self.mixer_norm(x_BW), state)
        return self.completed(x_BW + y_BW), state

    def flops(self, time: int) -> int:
        return self.mixer.flops(time) + (self.feedforward.flops(time) if self.feedforward else 0)


class Network(nn.Module):
    """Tokens to logits. Its state is the tuple of its blocks' states."""

    def __init__(self, spec: NetworkSpec, *, vocabulary: int):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, spec.width)
        self.blocks = nn.ModuleList(Block(spec) for _ in range(spec.depth))
        self.norm = nn.RMSNorm(spec.width, eps=1e-6)
        self.head = nn.Linear(spec.width, vocabulary, bias=False)
        self._draw_weights(spec)

    def _draw_weights(self, spec: NetworkSpec) -> None:
        """Draws the embedding, the head and every matrix that its mixer does not start by a rule of its own.

        As GPT-NeoX-20B (Black et al. 2022) and xLSTM do: standard deviation sqrt(2 / (5 width)) (Nguyen and Salazar
        2019), but 2 / (depth sqrt(width)) for the maps back to the residual stream (Wang 2021).
        """
        for module in self.modules():
            if isinstance(module, OutputProjection):
                nn.init.normal_(module.weight, std=2 / (spec.depth * spec.width**0.5))
            elif isinstance(module, InputProjection | nn.Embedding) or module is self.head:
                nn.init.normal_(module.weight, std=(2 / (5 * spec.width)) ** 0.5)

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
        return tuple(block.mixer.initial_state(batch, max_time) for block in self.blocks)

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
