"""sLSTM, the scalar memory of xLSTM, recurrent within each head (Beck et al. 2024, arXiv 2405.04517, (8) to (18)).

All gates see the same input, densely projected; the paper's own block is `models.native.xlstm`. The forget gate is a
sigmoid, as in all official code. Its bias starts on the official power law of a network's first block, other biases at
0, the recurrence at 0 or N(0, 1 / V).
"""

from typing import Literal, Self

import torch
from pydantic import PositiveInt, model_validator
from torch import Tensor, nn

from models.layers import HeadNorm, InputProjection, OutputProjection, channels_per_head, operand_precision
from models.mixer import MixerSpec, SequenceMixer, state_type
from models.slstm_cell import InputGate, Readout, SLSTMState, scan

RecurrentInit = Literal["zeros", "normal"]
Kernel = Literal["torch", "triton"]


class SLSTMSpec(MixerSpec):
    """`heads` of width / heads cells, each cell connected to those of its head.

    `input_gate` is the gate's function. `readout` is what the output gate lets out of the memory: "normalised" c / n as in
    the paper, "plain" c, or tanh(c). The sigmoid with the tanh is the paper's block-diagonal LSTM. A `readout` without n still
    keeps it, so that a variant costs what the whole costs.
    """

    name: Literal["slstm"]
    heads: PositiveInt
    recurrent_init: RecurrentInit
    input_gate: InputGate
    readout: Readout
    kernel: Kernel

    @model_validator(mode="after")
    def _variant_is_feasible(self) -> Self:
        require_feasible(self.input_gate, self.readout, self.kernel)
        return self

    def build(self, width: int) -> "SLSTM":
        cell = SLSTMCell(
            heads=self.heads,
            channels=cells_per_head(width, heads=self.heads),
            recurrent_init=self.recurrent_init,
            input_gate=self.input_gate,
            readout=self.readout,
            kernel=self.kernel,
        )
        return SLSTM(width, cell=cell)


def require_feasible(input_gate: InputGate, readout: Readout, kernel: Kernel) -> None:
    """ValueError, with the remedy, for a cell that overflows, or that its kernel does not compute."""
    if input_gate == "exp" and readout != "normalised":
        raise ValueError(
            f"readout {readout} with input_gate exp lets the memory grow as exp(i): "
            "take input_gate sigmoid, or readout normalised"
        )
    if kernel == "triton" and input_gate != "exp":
        raise ValueError(f"kernel triton has no input_gate {input_gate}: take kernel torch, or input_gate exp")


def cells_per_head(width: int, *, heads: int) -> int:
    """Returns width / heads; ValueError if it is no whole number above 1."""
    channels = channels_per_head(width, heads=heads)
    if channels < 2:
        raise ValueError(f"width={width} leaves heads={heads} one channel each, which a norm erases: lower heads")
    return channels


class SLSTMCell(nn.Module):
    """The recurrence of all heads, from the input's part of the gates' pre-activations on."""

    def __init__(
        self,
        *,
        heads: int,
        channels: int,
        recurrent_init: RecurrentInit,
        input_gate: InputGate,
        readout: Readout,
        kernel: Kernel,
    ):
        super().__init__()
        self.input_gate, self.readout, self.kernel = input_gate, readout, kernel
        self.recurrence_HGV = nn.Parameter(torch.zeros(heads, 4 * channels, channels))
        if recurrent_init == "normal":
            nn.init.normal_(self.recurrence_HGV, std=channels**-0.5)

    def initial_state(self, batch: int) -> SLSTMState:
        heads, _, channels = self.recurrence_HGV.shape
        dtype = state_type(self.recurrence_HGV)
        zeros_HVB = self.recurrence_HGV.new_zeros(heads, batch, channels, dtype=dtype).mT
        return SLSTMState(zeros_HVB, zeros_HVB.clone(), zeros_HVB.clone(), torch.full_like(zeros_HVB, -torch.inf))

    def forward(self, x_THGB: Tensor, state: SLSTMState) -> tuple[Tensor, SLSTMState]:
        """Returns h_THVB and the state after it."""
        if self.kernel == "torch":
            return self.scanned(x_THGB, state)
        from models.kernels.slstm import scan as fused  # which needs triton

        with operand_precision(x_THGB.device):
            h_THVB, *cnm = fused(x_THGB, self.recurrence_HGV.to(x_THGB.dtype), *state)
        return h_THVB, SLSTMState(h_THVB[-1].clone(), *cnm)

    def scanned(self, x_THGB: Tensor, state: SLSTMState) -> tuple[Tensor, SLSTMState]:
        """Returns the same, by the definition."""
        x_THGB = x_THGB.to(state.h_HVB.dtype)
        with operand_precision(x_THGB.device):
            h_THVB, *cnm = scan(
                x_THGB,
                self.recurrence_HGV.to(x_THGB.dtype),
                state,
                input_gate=self.input_gate,
                readout=self.readout,
            )
        return h_THVB, SLSTMState(h_THVB[-1].clone(), *cnm)

    def flops(self, time: int) -> int:
        return 2 * time * self.recurrence_HGV.numel()


class SLSTM(SequenceMixer):
    """y = norm(h) W_out with h the cell's output."""

    def __init__(self, width: int, *, cell: SLSTMCell):
        super().__init__()
        self.cell = cell
        self.heads, _, channels = cell.recurrence_HGV.shape
        self.gates = InputProjection(width, 4 * width)  # head by head, in each the gates i, f, z, o
        self.norm = HeadNorm(self.heads, channels=channels, eps=1e-6)
        self.out = OutputProjection(width, width, bias=False)
        with torch.no_grad():
            bias_HGV = self.gates.bias.zero_().view(self.heads, 4, channels)
            bias_HGV[:, 1] = forget_bias(channels, position=0.0)

    def project(self, x_BTW: Tensor) -> Tensor:
        """Returns x_THGB, the input's part of the gates' pre-activations."""
        return self.gates(x_BTW).unflatten(-1, (self.heads, -1)).permute(1, 2, 3, 0)

    def merge(self, h_THVB: Tensor, *, dtype: torch.dtype) -> Tensor:
        return self.out(self.norm(h_THVB.permute(3, 0, 1, 2)).to(dtype))

    def forward(self, x_BTW: Tensor) -> Tensor:
        return self.prefill(x_BTW, self.initial_state(len(x_BTW), x_BTW.shape[1]))[0]

    def initial_state(self, batch: int, max_time: int) -> SLSTMState:
        return self.cell.initial_state(batch)

    def prefill(self, x_BTW: Tensor, state: SLSTMState) -> tuple[Tensor, SLSTMState]:
        h_THVB, state = self.cell(self.project(x_BTW), state)
        return self.merge(h_THVB, dtype=x_BTW.dtype), state

    def step(self, x_BW: Tensor, state: SLSTMState) -> tuple[Tensor, SLSTMState]:
        h_THVB, state = self.cell.scanned(self.project(x_BW[:, None]), state)
        return self.merge(h_THVB, dtype=x_BW.dtype)[:, 0], state

    def flops(self, time: int) -> int:
        return 2 * time * (self.gates.weight.numel() + self.out.weight.numel()) + self.cell.flops(time)


def forget_bias(channels: int, *, position: float) -> Tensor:
    """Returns the forget gate's first bias for each channel of a head: 5 falling to -7, the later the higher the block.

    `position` is 0 in the first block and 1 in the last. The rule is the official code's.
    """
    return 5 - 12 * torch.linspace(0, 1, channels) ** (0.3 + 1.3 * position)
