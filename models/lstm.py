"""LSTM (Hochreiter and Schmidhuber 1997; forget gate of Gers et al. 2000): torch's own, and an output projection.

Starts at torch's defaults but for the forget gate, whose bias starts at 1 (Jozefowicz et al. 2015).
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from models.layers import OutputProjection, operand_precision
from models.mixer import MixerSpec, SequenceMixer, state_type
from models.slstm_cell import SLSTMState, scan
from models.stacking import is_stacked


class LSTMSpec(MixerSpec):
    """`hidden` cells, whatever the width."""

    name: Literal["lstm"]
    hidden: PositiveInt

    def build(self, width: int) -> "LSTM":
        return LSTM(width, hidden=self.hidden)


class LSTMState(NamedTuple):
    h_BF: Tensor
    c_BF: Tensor


class LSTM(SequenceMixer):
    """y = h W_out with h the LSTM's hidden units (F of them)."""

    def __init__(self, width: int, *, hidden: int):
        super().__init__()
        self.hidden = hidden
        self.cell = nn.LSTM(width, hidden, batch_first=True)
        self.out = OutputProjection(hidden, width, bias=False)
        with torch.no_grad():
            for bias_F in (self.cell.bias_ih_l0, self.cell.bias_hh_l0):  # torch adds two; gates in the order i, f, z, o
                bias_F[hidden : 2 * hidden] = 0.5

    def forward(self, x_BTW: Tensor) -> Tensor:
        return self.prefill(x_BTW, self.initial_state(len(x_BTW), x_BTW.shape[1]))[0]

    def initial_state(self, batch: int, max_time: int) -> LSTMState:
        zeros_BF = self.out.weight.new_zeros(batch, self.hidden, dtype=state_type(self.out.weight))
        return LSTMState(zeros_BF, zeros_BF.clone())

    def prefill(self, x_BTW: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        dtype = self.out.weight.dtype
        with operand_precision(x_BTW.device):
            if is_stacked(x_BTW):
                h_BTF, (h_BF, c_BF) = self.scanned(x_BTW.to(dtype), state)
            else:
                h_BTF, (h_1BF, c_1BF) = self.cell(x_BTW.to(dtype), tuple(part[None].to(dtype) for part in state))
                h_BF, c_BF = h_1BF[0], c_1BF[0]
        return self.out(h_BTF), LSTMState(h_BF.to(state.h_BF.dtype), c_BF.to(state.c_BF.dtype))

    def scanned(self, x_BTW: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Returns what torch's cell does, which cannot be stacked: by sLSTM's, as the variant of one head that is an LSTM."""
        dtype, cell = state.h_BF.dtype, self.cell
        x_BTG = F.linear(x_BTW, cell.weight_ih_l0, cell.bias_ih_l0 + cell.bias_hh_l0).to(dtype)
        h_HVB, c_HVB = (part_BF.mT[None] for part_BF in state)
        before = SLSTMState(h_HVB, c_HVB, torch.zeros_like(c_HVB), torch.zeros_like(c_HVB))
        h_THVB, c_HVB, _, m_HVB = scan(
            x_BTG.permute(1, 2, 0)[:, None],
            cell.weight_hh_l0[None].to(dtype),
            before,
            input_gate="sigmoid",
            readout="tanh",
        )
        h_BTF = h_THVB[:, 0].permute(2, 0, 1)
        return h_BTF.to(x_BTW.dtype), LSTMState(h_BTF[:, -1], (c_HVB * m_HVB.exp())[0].mT)

    def step(self, x_BW: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        y_BTW, state = self.prefill(x_BW[:, None], state)
        return y_BTW[:, 0], state

    def flops(self, time: int) -> int:
        weights = (self.cell.weight_ih_l0, self.cell.weight_hh_l0, self.out.weight)
        return 2 * time * sum(weight.numel() for weight in weights)
