"""The first xLSTM's sLSTM block (Beck et al. 2024, arXiv 2405.04517, figure 10): a cell, then projections up and down."""

from functools import partial
from typing import NamedTuple, Self

import torch
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, model_validator
from torch import Tensor, nn

from models.block import Block, FeedForward, draw_small, small_deviation
from models.convolution import InnerConvolution
from models.layers import HeadNorm
from models.mixer import SequenceMixer
from models.native.xlstm_mlstm import EPSILON
from models.slstm import Kernel, RecurrentInit, SLSTMCell, cells_per_head, forget_bias, require_feasible
from models.slstm_cell import InputGate, Readout, SLSTMState


class SLSTMBlockSpec(BaseModel):
    """`heads` of width / heads cells, then a GeGLU of `feedforward` hidden units.

    The paper takes 4/3 of the width, its code 1.3 rounded up to a multiple of 64. `convolution` is the kernel before the
    input and forget gates (4; the paper's formal languages have none), 0 for none and no SiLU either. The other fields are
    as for the mixer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    heads: PositiveInt
    convolution: NonNegativeInt
    recurrent_init: RecurrentInit
    input_gate: InputGate
    readout: Readout
    feedforward: PositiveInt
    kernel: Kernel

    @model_validator(mode="after")
    def _variant_is_feasible(self) -> Self:
        require_feasible(self.input_gate, self.readout, self.kernel)
        return self

    def build(self, width: int, *, index: int, depth: int) -> Block:
        """Returns block `index` of `depth`, drawn as the released code draws it; ValueError if it cannot be."""
        layer = SLSTMLayer(width, self, position=index / max(depth - 1, 1))
        feedforward = FeedForward(width, hidden=self.feedforward, activation="gelu")
        block = Block(layer, feedforward=feedforward, norm=partial(nn.LayerNorm, width, eps=EPSILON, bias=False))
        draw_small(block, width=width, depth=depth)
        for weight_HVG in (layer.if_HVG, layer.zo_HVG):
            nn.init.normal_(weight_HVG, std=small_deviation(width))
        return block


class SLSTMLayerState(NamedTuple):
    """The convolution's last inputs, none where there is no convolution, and the cells."""

    window_BFW: Tensor
    cells: SLSTMState


class SLSTMLayer(SequenceMixer):
    """y = norm(h), i and f of c = SiLU(convolution(x)), z and o of x, all projected within each head; no map back."""

    def __init__(self, width: int, spec: SLSTMBlockSpec, *, position: float):
        super().__init__()
        channels = cells_per_head(width, heads=spec.heads)
        self.convolution = InnerConvolution(width, kernel=spec.convolution) if spec.convolution else None
        self.if_HVG = nn.Parameter(torch.empty(spec.heads, channels, 2 * channels))
        self.zo_HVG = nn.Parameter(torch.empty(spec.heads, channels, 2 * channels))
        self.bias = nn.Parameter(torch.zeros(4 * width))  # head by head, in each the gates i, f, z, o
        self.cell = SLSTMCell(
            heads=spec.heads,
            channels=channels,
            recurrent_init=spec.recurrent_init,
            input_gate=spec.input_gate,
            readout=spec.readout,
            kernel=spec.kernel,
        )
        self.norm = HeadNorm(spec.heads, channels=channels, eps=EPSILON)
        with torch.no_grad():
            self.bias.view(spec.heads, 4, channels)[:, 1] = forget_bias(channels, position=position)

    def project(self, x_BTW: Tensor, c_BTW: Tensor) -> Tensor:
        """Returns x_THGB, the input's part of the gates' pre-activations."""
        bias_H1G = self.bias.view(len(self.if_HVG), 1, -1)
        parts = zip((c_BTW, x_BTW), (self.if_HVG, self.zo_HVG), bias_H1G.chunk(2, dim=-1), strict=True)
        x_HMG = torch.cat(
            [torch.baddbmm(bias, by_head(x, heads=len(weight_HVG)), weight_HVG) for x, weight_HVG, bias in parts],
            dim=-1,
        )
        return x_HMG.unflatten(1, x_BTW.shape[:2]).permute(2, 0, 3, 1)

    def merge(self, h_THVB: Tensor, *, dtype: torch.dtype) -> Tensor:
        return self.norm(h_THVB.permute(3, 0, 1, 2)).to(dtype)

    def forward(self, x_BTW: Tensor) -> Tensor:
        return self.prefill(x_BTW, self.initial_state(len(x_BTW), x_BTW.shape[1]))[0]

    def initial_state(self, batch: int, max_time: int) -> SLSTMLayerState:
        window_BFW = self.convolution.initial_state(batch) if self.convolution else self.bias.new_zeros(batch, 0, 0)
        return SLSTMLayerState(window_BFW, self.cell.initial_state(batch))

    def prefill(self, x_BTW: Tensor, state: SLSTMLayerState) -> tuple[Tensor, SLSTMLayerState]:
        c_BTW, window_BFW = x_BTW, state.window_BFW
        if self.convolution:
            c_BTW, window_BFW = self.convolution.prefill(x_BTW, window_BFW)
        h_THVB, cells = self.cell(self.project(x_BTW, c_BTW), state.cells)
        return self.merge(h_THVB, dtype=x_BTW.dtype), SLSTMLayerState(window_BFW, cells)

    def step(self, x_BW: Tensor, state: SLSTMLayerState) -> tuple[Tensor, SLSTMLayerState]:
        c_BW, window_BFW = x_BW, state.window_BFW
        if self.convolution:
            c_BW, window_BFW = self.convolution.step(x_BW, window_BFW)
        h_THVB, cells = self.cell.scanned(self.project(x_BW[:, None], c_BW[:, None]), state.cells)
        return self.merge(h_THVB, dtype=x_BW.dtype)[:, 0], SLSTMLayerState(window_BFW, cells)

    def flops(self, time: int) -> int:
        convolution = self.convolution.flops(time) if self.convolution else 0
        return convolution + 2 * time * (self.if_HVG.numel() + self.zo_HVG.numel()) + self.cell.flops(time)


def by_head(x_BTW: Tensor, *, heads: int) -> Tensor:
    """Returns x_HMV for M tokens, those of one sequence after those of another."""
    return x_BTW.flatten(0, 1).unflatten(-1, (heads, -1)).transpose(0, 1)
