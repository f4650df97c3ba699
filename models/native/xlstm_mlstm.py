"""The first xLSTM's mLSTM block (Beck et al. 2024, arXiv 2405.04517, figure 11): a cell between projections up and down."""

from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from models.block import Block, draw_small, small_deviation
from models.convolution import InnerConvolution
from models.kernels.mlstm import refusal
from models.layers import HeadNorm, InputProjection, OutputProjection, operand_precision
from models.mixer import SequenceMixer, state_type
from models.mlstm import Kernel, scan
from models.mlstm_cell import MLSTMState, cell_flops, parallel, recurrent, unnormalised
from models.mlstm_gates import MLSTMGates
from models.stacking import along_batch

EPSILON = 1e-5  # of all norms


class MLSTMBlockSpec(BaseModel):
    """`heads` memories of inner / heads squared between projections to and from `inner` channels (2 * width).

    `convolution` is the kernel before q and k (4), 0 for none and no SiLU either. q, k and v are projected in blocks of
    `block` channels (4). `gates`, which see q, k and v, `chunk` and `kernel` are as for the mixer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    heads: PositiveInt
    inner: PositiveInt
    convolution: NonNegativeInt
    block: PositiveInt
    gates: MLSTMGates
    chunk: PositiveInt
    kernel: Kernel

    def build(self, width: int, *, depth: int) -> Block:
        """Returns the block, drawn as the released code draws it; ValueError, with the remedy, if it cannot be."""
        if self.inner % self.heads or self.inner < 2 * self.heads:
            raise ValueError(
                f"inner={self.inner} over heads={self.heads}: make inner a multiple of heads, twice or more"
            )
        if self.inner % self.block:
            raise ValueError(
                f"inner={self.inner} is not divisible by block={self.block}: make inner a multiple of block"
            )
        channels = self.inner // self.heads
        if sentence := refusal(self.kernel, K=channels, V=channels, chunk=self.chunk):
            raise ValueError(sentence)
        layer = MLSTMLayer(width, self)
        block = Block(layer, feedforward=None, norm=partial(nn.LayerNorm, width, eps=EPSILON, bias=False))
        draw_small(block, width=width, depth=depth)
        nn.init.normal_(layer.qkv_NVV, std=small_deviation(width))
        return block


class MLSTMLayerState(NamedTuple):
    """The convolution's last inputs, none where there is no convolution, and the memory."""

    window_BFV: Tensor
    memory: MLSTMState


class MLSTMLayer(SequenceMixer):
    """y = ((norm(h) + skip * c) * SiLU(z)) W_down with u, z = x W_up, v of u, and q and k of c = SiLU(convolution(u)).

    The paper's text calls the factor of z a sigmoid output gate; its figure 11 and the released code have SiLU.
    """

    def __init__(self, width: int, spec: MLSTMBlockSpec):
        super().__init__()
        inner = spec.inner
        self.heads, self.chunk, self.kernel = spec.heads, spec.chunk, spec.kernel
        self.normalised = spec.gates.normaliser
        self.up = InputProjection(width, 2 * inner, bias=False)
        self.convolution = InnerConvolution(inner, kernel=spec.convolution) if spec.convolution else None
        self.qkv_NVV = nn.Parameter(torch.empty(3 * inner // spec.block, spec.block, spec.block))
        self.gates = spec.gates.build(3 * inner, heads=spec.heads)
        self.norm = HeadNorm(spec.heads, channels=inner // spec.heads, eps=EPSILON)
        self.skip = nn.Parameter(torch.ones(inner))
        self.down = OutputProjection(inner, width, bias=False)

    def project(self, u_BTV: Tensor, c_BTV: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Returns q_BHTK, k_BHTK and v_BHTV, i_BHT and f_BHT in the state's type; a fused kernel's q, k, v as they come."""
        qkv_BTV = blockwise(torch.cat([c_BTV.mT, c_BTV.mT, u_BTV.mT], dim=1), self.qkv_NVV).mT.contiguous()
        i_BHT, f_BHT = self.gates(qkv_BTV)
        dtype = state_type(qkv_BTV) if self.kernel == "torch" else qkv_BTV.dtype
        q_BHTK, k_BHTK, v_BHTV = (
            part_BTV.unflatten(-1, (self.heads, -1)).transpose(1, 2).to(dtype) for part_BTV in qkv_BTV.chunk(3, dim=-1)
        )
        if not self.normalised:
            k_BHTK, v_BHTV = unnormalised(k_BHTK, v_BHTV)
        return q_BHTK * q_BHTK.shape[-1] ** -0.5, k_BHTK, v_BHTV, i_BHT, f_BHT

    def merge(self, h_BTHV: Tensor, c_BTV: Tensor, z_BTV: Tensor) -> Tensor:
        y_BTV = torch.addcmul(self.norm(h_BTHV), self.skip.to(h_BTHV.dtype), c_BTV.to(h_BTHV.dtype))
        return self.down((y_BTV * F.silu(z_BTV)).to(z_BTV.dtype))

    def forward(self, x_BTW: Tensor) -> Tensor:
        if self.kernel != "torch" or x_BTW.shape[1] > self.chunk:
            return self.prefill(x_BTW, self.initial_state(len(x_BTW), x_BTW.shape[1]))[0]
        u_BTV, z_BTV = self.up(x_BTW).chunk(2, dim=-1)
        c_BTV = self.convolution(u_BTV) if self.convolution else u_BTV
        qkvif = self.project(u_BTV, c_BTV)
        with operand_precision(x_BTW.device):
            h_BHTV = along_batch(parallel, *qkvif)
        return self.merge(h_BHTV.transpose(1, 2), c_BTV, z_BTV)

    def initial_state(self, batch: int, max_time: int) -> MLSTMLayerState:
        weight, channels = self.down.weight, self.norm.channels
        sizes = (channels, channels), (channels,), ()
        memory = (weight.new_zeros(batch, self.heads, *size, dtype=state_type(weight)) for size in sizes)
        window_BFV = self.convolution.initial_state(batch) if self.convolution else weight.new_zeros(batch, 0, 0)
        return MLSTMLayerState(window_BFV, MLSTMState(*memory))

    def prefill(self, x_BTW: Tensor, state: MLSTMLayerState) -> tuple[Tensor, MLSTMLayerState]:
        u_BTV, z_BTV = self.up(x_BTW).chunk(2, dim=-1)
        c_BTV, window_BFV = u_BTV, state.window_BFV
        if self.convolution:
            c_BTV, window_BFV = self.convolution.prefill(u_BTV, window_BFV)
        qkvif = self.project(u_BTV, c_BTV)
        with operand_precision(x_BTW.device):
            h_BHTV, memory = scan(self.kernel)(*qkvif, state.memory, chunk=self.chunk)
        return self.merge(h_BHTV.transpose(1, 2), c_BTV, z_BTV), MLSTMLayerState(window_BFV, memory)

    def step(self, x_BW: Tensor, state: MLSTMLayerState) -> tuple[Tensor, MLSTMLayerState]:
        u_BV, z_BV = self.up(x_BW).chunk(2, dim=-1)
        c_BV, window_BFV = u_BV, state.window_BFV
        if self.convolution:
            c_BV, window_BFV = self.convolution.step(u_BV, window_BFV)
        qkvif = self.project(u_BV[None], c_BV[None])  # one sequence of as many tokens: the fewest and largest products
        with operand_precision(x_BW.device):
            h_BHV, memory = recurrent(
                *(part[0].transpose(0, 1).to(state.memory.m_BH.dtype) for part in qkvif), state.memory
            )
        return self.merge(h_BHV, c_BV, z_BV), MLSTMLayerState(window_BFV, memory)

    def flops(self, time: int) -> int:
        K = self.norm.channels
        weights = self.up.weight, self.qkv_NVV, self.down.weight
        convolution = self.convolution.flops(time) if self.convolution else 0
        projections = convolution + self.gates.flops(time) + 2 * time * sum(weight.numel() for weight in weights)
        return projections + self.heads * cell_flops(time, K=K, V=K, chunk=self.chunk)


def blockwise(x_BVT: Tensor, weight_NVV: Tensor) -> Tensor:
    """Returns y_BVT, each block of channels multiplied by its own matrix. Time comes last, which makes the products large."""
    return (weight_NVV @ x_BVT.unflatten(1, (len(weight_NVV), -1))).flatten(1, 2)
