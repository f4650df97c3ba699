"""The gates of mLSTM: what decides them, how they start, and what the papers vary about them (arXiv 2405.04517, 2503.13427)."""

from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, NonNegativeFloat, model_validator
from torch import Tensor, nn

from models.layers import operand_precision
from models.mixer import state_type

From = Literal["token", "bias", "constant"]


class MLSTMGates(BaseModel):
    """What is written and kept of a token: i of "token", f of "token", the normaliser on, in both papers.

    `input` is the input gate's function: "exp", or "sigmoid" as in mLSTMsig (Beck et al. 2025, arXiv 2503.14376), the only one
    that can do without `normaliser`. `input_from` and `forget_from` say what decides a gate: the token and a learned bias,
    the bias alone, or a constant; the rows of the first paper's gating ablation differ in these (its gate of +inf, all
    kept, is a bias of 40). Weights start at 0; the input bias at N(mean, deviation) of `input_bias`, (0, 0.1) in the first
    paper and (-10, 0) in 7B; the forget bias evenly over the heads from the first to the last of `forget_bias`, (3, 6) in both.
    `cap` bends pre-activations x to cap tanh(x / cap): 15 in 7B, none in the first paper.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    input: Literal["exp", "sigmoid"]
    normaliser: bool
    input_from: From
    forget_from: From
    input_bias: tuple[FiniteFloat, Annotated[NonNegativeFloat, Field(allow_inf_nan=False)]]
    forget_bias: tuple[FiniteFloat, FiniteFloat]
    cap: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None

    @model_validator(mode="after")
    def _outputs_are_bounded(self) -> Self:
        if self.input == "exp" and not self.normaliser:
            raise ValueError(
                "gates.input exp without a normaliser lets outputs grow as exp(i): "
                "take gates.input sigmoid, or gates.normaliser true"
            )
        return self

    def build(self, inputs: int, *, heads: int) -> "Gates":
        """Returns the gates of `heads` heads, computed from `inputs` channels."""
        mean, deviation = self.input_bias
        return Gates(
            Gate(torch.zeros(heads, inputs), mean + deviation * torch.randn(heads), source=self.input_from),
            Gate(torch.zeros(heads, inputs), torch.linspace(*self.forget_bias, heads), source=self.forget_from),
            sigmoid=self.input == "sigmoid",
            cap=self.cap,
        )


class Gate(nn.Module):
    """One gate of every head: weight x + bias, of which the constant parts are no parameters.

    A gate that the token does not decide keeps weights of 0, so that an ablation costs what the whole layer costs.
    """

    def __init__(self, weight_HW: Tensor, bias_H: Tensor, *, source: From):
        super().__init__()
        self.weight = nn.Parameter(weight_HW) if source == "token" else nn.Buffer(weight_HW)
        self.bias = nn.Buffer(bias_H) if source == "constant" else nn.Parameter(bias_H)


class Gates(nn.Module):
    """The pre-activations of the input and forget gates."""

    def __init__(self, input_gate: Gate, forget_gate: Gate, *, sigmoid: bool, cap: float | None):
        super().__init__()
        self.input, self.forget, self.sigmoid, self.cap = input_gate, forget_gate, sigmoid, cap

    def forward(self, x_BTW: Tensor) -> tuple[Tensor, Tensor]:
        """Returns i_BHT and f_BHT in the state's type: what exp and sigmoid are taken of, in the input and forget gate.

        A sigmoid input gate is i = log sigmoid(x), so that the cell knows exp alone.
        """
        gates = self.input, self.forget
        weight_GW, bias_G = torch.cat([gate.weight for gate in gates]), torch.cat([gate.bias for gate in gates])
        with operand_precision(x_BTW.device):
            x_BTG = F.linear(x_BTW.to(weight_GW.dtype), weight_GW, bias_G).to(state_type(x_BTW))
            if self.cap is not None:
                x_BTG = self.cap * torch.tanh(x_BTG / self.cap)
            i_BHT, f_BHT = x_BTG.mT.chunk(2, dim=1)
            return F.logsigmoid(i_BHT) if self.sigmoid else i_BHT, f_BHT

    def flops(self, time: int) -> int:
        return 2 * time * (self.input.weight.numel() + self.forget.weight.numel())
