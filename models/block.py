"""The residual block around a mixer, the feed-forward layer inside it, and learned positions before the first one."""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers import InputProjection, OutputProjection
from models.mixer import SequenceMixer, State

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"silu": F.silu, "gelu": F.gelu}


class FeedForward(nn.Module):
    """y = (activation(x W_gate) * x W_in) W_out without biases: SwiGLU and GeGLU (Shazeer 2020, equations 5 and 6)."""

    def __init__(self, width: int, *, hidden: int, activation: Literal["silu", "gelu"]):
        super().__init__()
        self.activation = activation
        self.gate_and_in = InputProjection(width, 2 * hidden, bias=False)
        self.out = OutputProjection(hidden, width, bias=False)

    def forward(self, x_BTW: Tensor) -> Tensor:
        # Two products, as activations of interleaved halves would cost a CPU more than the second product does.
        gate_BTF, in_BTF = (F.linear(x_BTW, weight_FW) for weight_FW in self.gate_and_in.weight.chunk(2))
        return self.out(_ACTIVATIONS[self.activation](gate_BTF) * in_BTF)

    def flops(self, time: int) -> int:
        return 2 * time * (self.gate_and_in.weight.numel() + self.out.weight.numel())


class Block(SequenceMixer):
    """x + mixer(norm(x)), then x + feedforward(norm(x)) where there is one. `norm` makes one norm of the width."""

    def __init__(self, mixer: SequenceMixer, *, feedforward: FeedForward | None, norm: Callable[[], nn.Module]):
        super().__init__()
        self.mixer_norm = norm()
        self.mixer = mixer
        self.feedforward_norm = norm() if feedforward else None
        self.feedforward = feedforward

    def completed(self, x_BTW: Tensor) -> Tensor:
        """Returns the residual stream after the feed-forward layer."""
        return x_BTW if self.feedforward is None else x_BTW + self.feedforward(self.feedforward_norm(x_BTW))

    def forward(self, x_BTW: Tensor) -> Tensor:
        return self.completed(x_BTW + self.mixer(self.mixer_norm(x_BTW)))

    def initial_state(self, batch: int, max_time: int) -> State:
        return self.mixer.initial_state(batch, max_time)

    def prefill(self, x_BTW: Tensor, state: State) -> tuple[Tensor, State]:
        y_BTW, state = self.mixer.prefill(self.mixer_norm(x_BTW), state)
        return self.completed(x_BTW + y_BTW), state

    def step(self, x_BW: Tensor, state: State) -> tuple[Tensor, State]:
        y_BW, state = self.mixer.step(self.mixer_norm(x_BW), state)
        return self.completed(x_BW + y_BW), state

    def flops(self, time: int) -> int:
        return self.mixer.flops(time) + (self.feedforward.flops(time) if self.feedforward else 0)


class LearnedPositions(SequenceMixer):
    """y_t = x_t + p_t with a learned p for each of `count` positions. Its state is the position, in the host's memory."""

    def __init__(self, width: int, *, count: int):
        super().__init__()
        self.embedding = nn.Embedding(count, width)

    def forward(self, x_BTW: Tensor) -> Tensor:
        return x_BTW + self.at(0, x_BTW.shape[1])

    def at(self, start: int, end: int) -> Tensor:
        """Returns p_TW from `start` to before `end`; ValueError if there are fewer positions."""
        count = self.embedding.num_embeddings
        if end > count:
            raise ValueError(
                f"token {end} has no position: raise network.positions from {count}, or shorten the sequence"
            )
        return self.embedding.weight[start:end]

    def initial_state(self, batch: int, max_time: int) -> Tensor:
        return torch.zeros((), dtype=torch.int64, device="cpu")

    def prefill(self, x_BTW: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        end = state + x_BTW.shape[1]
        return x_BTW + self.at(int(state), int(end)), end

    def step(self, x_BW: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        y_BTW, state = self.prefill(x_BW[:, None], state)
        return y_BTW[:, 0], state

    def flops(self, time: int) -> int:
        return 0


def draw_small(module: nn.Module, *, width: int, depth: int) -> None:
    """Draws every matrix from and to the residual stream, as GPT-NeoX-20B (Black et al. 2022) and xLSTM do.

    Standard deviation sqrt(2 / (5 width)) (Nguyen and Salazar 2019), but 2 / (depth sqrt(width)) for the maps back to the
    residual stream (Wang 2021).
    """
    for part in module.modules():
        if isinstance(part, OutputProjection):
            nn.init.normal_(part.weight, std=2 / (depth * width**0.5))
        elif isinstance(part, InputProjection):
            nn.init.normal_(part.weight, std=small_deviation(width))


def small_deviation(width: int) -> float:
    """Returns sqrt(2 / (5 width)) (Nguyen and Salazar 2019)."""
    return (2 / (5 * width)) ** 0.5
