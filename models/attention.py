"""Causal softmax attention (Vaswani et al. 2017, equation 1) with rotary positions (Su et al. 2021, equation 34)."""

import math
from typing import Annotated, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor

from models.layers import InputProjection, OutputProjection, channels_per_head
from models.mixer import MixerSpec, SequenceMixer, state_type


class AttentionSpec(MixerSpec):
    """`heads` of width / heads channels, rotary wavelengths growing from 2 pi to nearly 2 pi `rotary_base` tokens."""

    name: Literal["attention"]
    heads: PositiveInt
    rotary_base: Annotated[float, Field(gt=1, allow_inf_nan=False)]

    def build(self, width: int) -> "Attention":
        if channels_per_head(width, heads=self.heads) % 2:
            raise ValueError(
                f"width={width} over heads={self.heads} leaves an odd head, which rotary positions cannot pair up: "
                "make width a multiple of 2 * heads"
            )
        return Attention(width, heads=self.heads, rotary_base=self.rotary_base)


class AttentionState(NamedTuple):
    """The keys and values of the tokens so far, in buffers of `max_time` tokens that are written in place.

    `position`, the number of tokens so far, is an int64 scalar in the host's memory whatever the device: reading it
    never waits for the device, and a full buffer is noticed before it is written.
    """

    k_BHTK: Tensor
    v_BHTK: Tensor
    position: Tensor


class Attention(SequenceMixer):
    """y = concat_h(softmax(q k^T / sqrt(K)) v) W_out with q, k, v = x W without bias."""

    def __init__(self, width: int, *, heads: int, rotary_base: float):
        super().__init__()
        self.heads, self.rotary_base = heads, rotary_base
        self.qkv = InputProjection(width, 3 * width, bias=False)
        self.out = OutputProjection(width, width, bias=False)

    def project(self, x_BTW: Tensor, *, start: int) -> tuple[Tensor, Tensor, Tensor]:
        """Returns q, k and v_BHTK for the tokens at positions start, start + 1, ..., q and k turned."""
        qkv_BTHK = self.qkv(x_BTW).unflatten(-1, (3 * self.heads, -1))
        qk_BTHK, v_BTHK = qkv_BTHK.split([2 * self.heads, self.heads], dim=2)
        positions_T = torch.arange(start, start + x_BTW.shape[1], device=x_BTW.device)
        q_BTHK, k_BTHK = rotated(qk_BTHK, positions_T, base=self.rotary_base).chunk(2, dim=2)
        return q_BTHK.transpose(1, 2), k_BTHK.transpose(1, 2), v_BTHK.transpose(1, 2)

    def merge(self, h_BHTK: Tensor) -> Tensor:
        return self.out(h_BHTK.transpose(1, 2).flatten(-2))

    def forward(self, x_BTW: Tensor) -> Tensor:
        q_BHTK, k_BHTK, v_BHTK = self.project(x_BTW, start=0)
        return self.merge(F.scaled_dot_product_attention(q_BHTK, k_BHTK, v_BHTK, is_causal=True))

    def initial_state(self, batch: int, max_time: int) -> AttentionState:
        """The buffers have the type in which keys will be computed: autocast's where it is on, else the weights'."""
        weight = self.qkv.weight
        device = weight.device.type
        autocast = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else weight.dtype
        shape = (batch, self.heads, max_time, len(self.out.weight) // self.heads)
        k_BHTK, v_BHTK = (torch.zeros(shape, dtype=dtype, device=weight.device) for _ in range(2))
        return AttentionState(k_BHTK, v_BHTK, torch.zeros((), dtype=torch.int64, device="cpu"))

    def prefill(self, x_BTW: Tensor, state: AttentionState) -> tuple[Tensor, AttentionState]:
        start, time = int(state.position), x_BTW.shape[1]
        q_BHTK, k_BHTK, v_BHTK = self.project(x_BTW, start=start)
        state = extended(state, k_BHTK, v_BHTK)
        if start == 0:
            return self.merge(F.scaled_dot_product_attention(q_BHTK, k_BHTK, v_BHTK, is_causal=True)), state
        k_BHTK, v_BHTK = state.k_BHTK[:, :, : start + time], state.v_BHTK[:, :, : start + time]
        visible = torch.ones(time, start + time, dtype=torch.bool, device=x_BTW.device).tril(start)
        return self.merge(F.scaled_dot_product_attention(q_BHTK, k_BHTK, v_BHTK, attn_mask=visible)), state

    def step(self, x_BW: Tensor, state: AttentionState) -> tuple[Tensor, AttentionState]:
        start = int(state.position)
        q_BHTK, k_BHTK, v_BHTK = self.project(x_BW[:, None], start=start)
        state = extended(state, k_BHTK, v_BHTK)
        k_BHTK, v_BHTK = state.k_BHTK[:, :, : start + 1], state.v_BHTK[:, :, : start + 1]
        return self.merge(F.scaled_dot_product_attention(q_BHTK, k_BHTK, v_BHTK))[:, 0], state

    def flops(self, time: int) -> int:
        """Every query meets every key: the half that causality hides is counted too, as PyTorch's own counter does."""
        width = len(self.out.weight)
        return 2 * time * self.qkv.weight.numel() + 2 * time * self.out.weight.numel() + 4 * time**2 * width


def extended(state: AttentionState, k_BHTK: Tensor, v_BHTK: Tensor) -> AttentionState:
    """Returns the state with the new keys and values behind the old ones; ValueError if the buffers are too short."""
    start, end = int(state.position), int(state.position) + k_BHTK.shape[2]
    max_time = state.k_BHTK.shape[2]
    if end > max_time:
        raise ValueError(f"token {end} does not fit a state of max_time={max_time}: ask initial_state for a longer one")
    state.k_BHTK[:, :, start:end] = k_BHTK
    state.v_BHTK[:, :, start:end] = v_BHTK
    return AttentionState(state.k_BHTK, state.v_BHTK, state.position + k_BHTK.shape[2])


def rotated(x_BTHK: Tensor, positions_T: Tensor, *, base: float) -> Tensor:
    """Returns x with channels j and j + K/2 turned by the angle position * base^(-2j/K) (RoFormer, equation 34).

    The paper pairs channels 2j and 2j + 1: the same but for the channels' order.
    """
    half, dtype = x_BTHK.shape[-1] // 2, state_type(x_BTHK)
    frequencies_K = torch.exp(torch.arange(half, device=x_BTHK.device, dtype=dtype) * (-math.log(base) / half))
    angles_T1K = (positions_T.to(dtype)[:, None] * frequencies_K)[:, None]
    cos_T1K = torch.cat([angles_T1K.cos(), angles_T1K.cos()], dim=-1)
    sin_T1K = torch.cat([-angles_T1K.sin(), angles_T1K.sin()], dim=-1)
    return torch.addcmul(x_BTHK * cos_T1K, x_BTHK.roll(half, dims=-1), sin_T1K).to(x_BTHK.dtype)
