"""mLSTM, the matrix memory of xLSTM (Beck et al. 2024, arXiv 2405.04517, equations 15 to 27).

The layer around the cell, and the chunkwise form, are those of xLSTM 7B (Beck et al. 2025, arXiv 2503.13427): dense
projections, per-head norm, sigmoid output gate. As in all official code the forget gate is a sigmoid (the first paper
also allows exp).
"""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from models.kernels.mlstm import fla, nxai, refusal
from models.layers import HeadNorm, InputProjection, OutputProjection, channels_per_head, operand_precision
from models.mixer import MixerSpec, SequenceMixer, state_type
from models.mlstm_cell import MLSTMState, cell_flops, chunkwise, parallel, recurrent, unnormalised
from models.mlstm_gates import MLSTMGates
from models.stacking import along_batch

Kernel = Literal["torch", "fla", "nxai"]


class MLSTMSpec(MixerSpec):
    """`heads` memories of `key_dim` x (width / heads) each; training works on chunks of at most `chunk` tokens."""

    name: Literal["mlstm"]
    heads: PositiveInt
    key_dim: PositiveInt
    gates: MLSTMGates
    chunk: PositiveInt
    kernel: Kernel

    def build(self, width: int) -> "MLSTM":
        if channels_per_head(width, heads=self.heads) < 2:
            raise ValueError(
                f"width={width} leaves heads={self.heads} one channel each, which a norm erases: lower heads"
            )
        if sentence := refusal(self.kernel, K=self.key_dim, V=width // self.heads, chunk=self.chunk):
            raise ValueError(sentence)
        return MLSTM(
            width, heads=self.heads, key_dim=self.key_dim, gates=self.gates, chunk=self.chunk, kernel=self.kernel
        )


class MLSTM(SequenceMixer):
    """y = (sigmoid(x W_o) * norm(h)) W_out with h the cell's output."""

    def __init__(self, width: int, *, heads: int, key_dim: int, gates: MLSTMGates, chunk: int, kernel: Kernel):
        super().__init__()
        self.heads, self.key_dim, self.chunk, self.kernel = heads, key_dim, chunk, kernel
        self.normalised = gates.normaliser
        self.qkvo = InputProjection(width, 2 * heads * key_dim + 2 * width, bias=False)
        self.gates = gates.build(width, heads=heads)
        self.norm = HeadNorm(heads, channels=width // heads, eps=1e-6)
        self.out = OutputProjection(width, width, bias=False)

    def project(self, x_BTW: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Returns q_BHTK, k_BHTK and v_BHTV, i_BHT and f_BHT in the state's type, and the output gate o_BTW.

        A fused kernel is given q, k and v as they come, in half precision under autocast.
        """
        keys, width = self.heads * self.key_dim, len(self.out.weight)
        qk_BTW, v_BTW, o_BTW = self.qkvo(x_BTW).split([2 * keys, width, width], dim=-1)
        dtype = state_type(x_BTW) if self.kernel == "torch" else o_BTW.dtype
        q_BHTK, k_BHTK = qk_BTW.unflatten(-1, (2 * self.heads, -1)).transpose(1, 2).to(dtype).chunk(2, dim=1)
        v_BHTV = v_BTW.unflatten(-1, (self.heads, -1)).transpose(1, 2).to(dtype)
        if not self.normalised:
            k_BHTK, v_BHTV = unnormalised(k_BHTK, v_BHTV)
        return q_BHTK * self.key_dim**-0.5, k_BHTK, v_BHTV, *self.gates(x_BTW), torch.sigmoid(o_BTW)

    def merge(self, h_BTHV: Tensor, o_BTW: Tensor) -> Tensor:
        return self.out((o_BTW * self.norm(h_BTHV)).to(o_BTW.dtype))

    def forward(self, x_BTW: Tensor) -> Tensor:
        *qkvif, o_BTW = self.project(x_BTW)
        with operand_precision(x_BTW.device):
            if self.kernel == "torch" and x_BTW.shape[1] <= self.chunk:
                h_BHTV = along_batch(parallel, *qkvif)
            else:
                state = self.initial_state(len(x_BTW), x_BTW.shape[1])
                h_BHTV, _ = scan(self.kernel)(*qkvif, state, chunk=self.chunk)
        return self.merge(h_BHTV.transpose(1, 2), o_BTW)

    def initial_state(self, batch: int, max_time: int) -> MLSTMState:
        weight, value_dim = self.out.weight, len(self.out.weight) // self.heads
        shapes = (batch, self.heads, self.key_dim, value_dim), (batch, self.heads, self.key_dim), (batch, self.heads)
        return MLSTMState(*(weight.new_zeros(shape, dtype=state_type(weight)) for shape in shapes))

    def prefill(self, x_BTW: Tensor, state: MLSTMState) -> tuple[Tensor, MLSTMState]:
        *qkvif, o_BTW = self.project(x_BTW)
        with operand_precision(x_BTW.device):
            h_BHTV, state = scan(self.kernel)(*qkvif, state, chunk=self.chunk)
        return self.merge(h_BHTV.transpose(1, 2), o_BTW), state

    def step(self, x_BW: Tensor, state: MLSTMState) -> tuple[Tensor, MLSTMState]:
        *qkvif, o_BTW = self.project(x_BW[:, None])
        with operand_precision(x_BW.device):
            h_BHV, state = recurrent(*(part.squeeze(2).to(state.C_BHKV.dtype) for part in qkvif), state)
        return self.merge(h_BHV, o_BTW.squeeze(1)), state

    def flops(self, time: int) -> int:
        K, V = self.key_dim, len(self.out.weight) // self.heads
        projections = 2 * time * (self.qkvo.weight.numel() + self.out.weight.numel()) + self.gates.flops(time)
        return projections + self.heads * cell_flops(time, K=K, V=V, chunk=self.chunk)


def scan(kernel: Kernel) -> Callable[..., tuple[Tensor, MLSTMState]]:
    """Returns `chunkwise` or its fused form."""
    return {"torch": chunkwise, "fla": fla, "nxai": nxai}[kernel]
