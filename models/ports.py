"""What stands between the data and the residual stream: how a network reads, and how it predicts."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.layers import sinusoids
from models.native.architecture import Ends


class Ports(NamedTuple):
    """`embedding` maps inputs to the residual stream, `head` the stream to predictions; `decoder`, if any, lies before it."""

    embedding: nn.Module
    head: nn.Linear
    decoder: "PositionDecoder | None"


def token_ports(width: int, ends: Ends, *, vocabulary: int, tied: bool, bottleneck: bool) -> Ports:
    """Returns what reads token ids and predicts logits; `tied` makes the head the embedding's weights."""
    embedding = nn.Embedding(vocabulary, width)
    nn.init.normal_(embedding.weight, std=ends.embedding_deviation)
    head = CappedLinear(width, vocabulary, cap=ends.logit_cap)
    if tied:
        head.weight = embedding.weight
    else:
        nn.init.normal_(head.weight, std=ends.head_deviation)
    return Ports(embedding, head, PositionDecoder(width) if bottleneck else None)


def series_ports(width: int, ends: Ends, *, channels: int, outputs: int) -> Ports:
    """Returns what reads vectors of numbers, of deviation one, and predicts numbers, which start near zero."""
    embedding, head = nn.Linear(channels, width), nn.Linear(width, outputs)
    nn.init.normal_(embedding.weight, std=ends.embedding_deviation)
    nn.init.normal_(head.weight, std=ends.head_deviation / width**0.5)
    nn.init.zeros_(embedding.bias)
    nn.init.zeros_(head.bias)
    return Ports(embedding, head, None)


class CappedLinear(nn.Linear):
    """y = x W without bias, bent to cap * tanh(y / cap) where there is a cap (Beck et al. 2025, arXiv 2503.13427, section 3)."""

    def __init__(self, width: int, vocabulary: int, *, cap: float | None):
        super().__init__(width, vocabulary, bias=False)
        self.cap = cap

    def forward(self, x_BTW: Tensor) -> Tensor:
        y_BTN = super().forward(x_BTW)
        return y_BTN if self.cap is None else self.cap * torch.tanh(y_BTN / self.cap)


class PositionDecoder(nn.Module):
    """Tells every position from the last one's features alone, as MAD's compression task asks (arXiv 2403.17844, section 3).

    y_t = gelu(x_T U + p_t V) W with sinusoidal p: what the network kept of the sequence is all that there is to tell it by.
    """

    def __init__(self, width: int):
        super().__init__()
        self.kept = nn.Linear(width, 2 * width)
        self.place = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(2 * width, width)

    def forward(self, x_BTW: Tensor) -> Tensor:
        p_TW = sinusoids(x_BTW.shape[1], width=x_BTW.shape[2]).to(x_BTW)
        return self.out(nn.functional.gelu(self.kept(x_BTW[:, -1:]) + self.place(p_TW)))

    def flops(self, time: int) -> int:
        return 2 * (self.kept.weight.numel() + time * (self.place.weight.numel() + self.out.weight.numel()))
