"""Causal softmax attention (Vaswani et al. 2017, equation 1) with rotary positions (Su et al. 2021, equation 34).

Queries may share keys and values (Ainslie et al. 2023, arXiv 2305.13245, section 2.2) and see the last tokens only (Beltagy et
al. 2020, arXiv 2004.05150, section 3.1).
"""

import math
from functools import lru_cache
from typing import Annotated, Literal, NamedTuple, Self

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field, PositiveInt, model_validator
from torch import Tensor

from models.kernels.attention import AttentionKernel, attended
from models.layers import InputProjection, OutputProjection, channels_per_head
from models.mixer import MixerSpec, SequenceMixer, state_type
from models.stacking import along_batch


class AttentionFields(BaseModel):
    """`heads` of width / heads channels, whose queries share `key_value_heads` heads of keys and values.

    A token sees the last `window` tokens, itself included, or all of them (None). Rotary wavelengths grow from 2 pi to nearly
    2 pi `rotary_base` tokens; None turns nothing. `kernel` reads whole sequences, see `models.kernels.attention`; with "sdpa"
    PyTorch chooses one by itself. What comes after a first prefill is always read as PyTorch chooses.
    """

    heads: PositiveInt
    key_value_heads: PositiveInt
    window: PositiveInt | None
    rotary_base: Annotated[float, Field(gt=1, allow_inf_nan=False)] | None
    kernel: AttentionKernel

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        if self.heads % self.key_value_heads:
            raise ValueError(
                f"key_value_heads={self.key_value_heads} does not divide heads={self.heads}, which share them equally: "
                "make heads a multiple of key_value_heads"
            )
        if self.window and self.kernel == "flash":
            raise ValueError(
                f"kernel=flash has no window, so window={self.window} cannot be: take flash-attn, cudnn or efficient on a GPU, "
                "math or sdpa anywhere"
            )
        return self

    def attention(self, width: int) -> "Attention":
        """Returns the mixer for a residual stream of `width` channels; ValueError, with the remedy, if it cannot be."""
        channels = channels_per_head(width, heads=self.heads)
        if self.rotary_base and channels % 2:
            raise ValueError(
                f"width={width} over heads={self.heads} leaves an odd head, which rotary positions cannot pair up: "
                "make width a multiple of 2 * heads"
            )
        if self.kernel == "flash-attn" and channels > 256:
            raise ValueError(
                f"width={width} over heads={self.heads} leaves heads of {channels} channels, and kernel=flash-attn takes 256: "
                "raise heads or choose another kernel"
            )
        return Attention(
            width,
            heads=self.heads,
            key_value_heads=self.key_value_heads,
            window=self.window,
            rotary_base=self.rotary_base,
            kernel=self.kernel,
        )


class AttentionSpec(AttentionFields, MixerSpec):
    """Attention in the shared block, as `AttentionFields` says."""

    name: Literal["attention"]

    def build(self, width: int) -> "Attention":
        return self.attention(width)


class AttentionState(NamedTuple):
    """The keys and values of the tokens so far, in buffers that are written in place: token t in slot t % slots.

    Without a window there are `max_time` slots, with one as many as it has tokens. `position`, the number of tokens so far,
    is an int64 scalar in the host's memory whatever the device: reading it never waits for the device, and a full buffer is
    noticed before it is written.
    """

    k_BHTK: Tensor
    v_BHTK: Tensor
    position: Tensor


class Attention(SequenceMixer):
    """y = concat_h(softmax(q k^T / sqrt(K)) v) W_out with q, k, v = x W without bias."""

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        key_value_heads: int,
        window: int | None,
        rotary_base: float | None,
        kernel: AttentionKernel,
    ):
        super().__init__()
        self.heads, self.key_value_heads, self.channels = heads, key_value_heads, width // heads
        self.window, self.rotary_base, self.kernel = window, rotary_base, kernel
        self.qkv = InputProjection(width, (heads + 2 * key_value_heads) * self.channels, bias=False)
        self.out = OutputProjection(width, width, bias=False)

    def project(self, x_BTW: Tensor, *, start: int) -> tuple[Tensor, Tensor, Tensor]:
        """Returns q, k and v_BHTK for the tokens at positions start, start + 1, ..., q and k turned."""
        qkv_BTHK = self.qkv(x_BTW).unflatten(-1, (-1, self.channels))
        qk_BTHK, v_BTHK = qkv_BTHK.split([self.heads + self.key_value_heads, self.key_value_heads], dim=2)
        if self.rotary_base is not None:
            qk_BTHK = rotated(qk_BTHK, start=start, base=self.rotary_base)
        q_BTHK, k_BTHK = qk_BTHK.split([self.heads, self.key_value_heads], dim=2)
        return q_BTHK.transpose(1, 2), k_BTHK.transpose(1, 2), v_BTHK.transpose(1, 2)

    def merge(self, h_BHTK: Tensor) -> Tensor:
        return self.out(h_BHTK.transpose(1, 2).flatten(-2))

    def attended(self, q_BHTK: Tensor, k_BHTK: Tensor, v_BHTK: Tensor) -> Tensor:
        return attended(q_BHTK, k_BHTK, v_BHTK, kernel=self.kernel, window=self.window)

    def forward(self, x_BTW: Tensor) -> Tensor:
        q_BHTK, k_BHTK, v_BHTK = self.project(x_BTW, start=0)
        return self.merge(along_batch(self.attended, q_BHTK, k_BHTK, v_BHTK))

    def initial_state(self, batch: int, max_time: int) -> AttentionState:
        """The buffers have the type in which keys will be computed: autocast's where it is on, else the weights'."""
        weight = self.qkv.weight
        device = weight.device.type
        autocast = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else weight.dtype
        shape = (batch, self.key_value_heads, self.window or max_time, self.channels)
        k_BHTK, v_BHTK = (torch.zeros(shape, dtype=dtype, device=weight.device) for _ in range(2))
        return AttentionState(k_BHTK, v_BHTK, torch.zeros((), dtype=torch.int64, device="cpu"))

    def prefill(self, x_BTW: Tensor, state: AttentionState) -> tuple[Tensor, AttentionState]:
        start = int(state.position)
        q_BHTK, k_BHTK, v_BHTK = self.project(x_BTW, start=start)
        if start == 0:
            h_BHTK = self.attended(q_BHTK, k_BHTK, v_BHTK)
        else:
            count = start if self.window is None else min(start, self.window - 1)
            seen_BHTK = [
                torch.cat([latest(past_BHTK, count=count, end=start), new_BHTK], dim=2)
                for past_BHTK, new_BHTK in [(state.k_BHTK, k_BHTK), (state.v_BHTK, v_BHTK)]
            ]
            h_BHTK = self.read(q_BHTK, *seen_BHTK)
        return self.merge(h_BHTK), self.extended(state, k_BHTK, v_BHTK)

    def step(self, x_BW: Tensor, state: AttentionState) -> tuple[Tensor, AttentionState]:
        start = int(state.position)
        q_BHTK, k_BHTK, v_BHTK = self.project(x_BW[:, None], start=start)
        state = self.extended(state, k_BHTK, v_BHTK)
        slots = slice(start + 1)  # in whatever order: a sum over tokens has none
        return self.merge(self.read(q_BHTK, state.k_BHTK[:, :, slots], state.v_BHTK[:, :, slots]))[:, 0], state

    def read(self, q_BHTK: Tensor, k_BHTK: Tensor, v_BHTK: Tensor) -> Tensor:
        """Returns h_BHTK for queries that are the last of the tokens."""
        time, total = q_BHTK.shape[2], k_BHTK.shape[2]
        visible_TT = None
        if time > 1:
            visible_TT = torch.ones(time, total, dtype=torch.bool, device=q_BHTK.device).tril(total - time)
            if self.window is not None:
                visible_TT = visible_TT.triu(total - time + 1 - self.window)
        grouped = self.heads != self.key_value_heads
        return F.scaled_dot_product_attention(q_BHTK, k_BHTK, v_BHTK, attn_mask=visible_TT, enable_gqa=grouped)

    def extended(self, state: AttentionState, k_BHTK: Tensor, v_BHTK: Tensor) -> AttentionState:
        """Returns the state with the new keys and values behind the old ones; ValueError if the buffers are too short."""
        start, time, slots = int(state.position), k_BHTK.shape[2], state.k_BHTK.shape[2]
        if self.window is None and start + time > slots:
            raise ValueError(
                f"token {start + time} does not fit a state of max_time={slots}: ask initial_state for a longer one"
            )
        write(state.k_BHTK, k_BHTK, start=start)
        write(state.v_BHTK, v_BHTK, start=start)
        return AttentionState(state.k_BHTK, state.v_BHTK, state.position + time)

    def flops(self, time: int) -> int:
        """Every query meets every key: what causality and a window hide is counted too, as PyTorch's own counter does."""
        weights = self.qkv.weight.numel() + self.out.weight.numel()
        return 2 * time * weights + 4 * time**2 * self.heads * self.channels


def write(buffer_BHTK: Tensor, x_BHTK: Tensor, *, start: int) -> None:
    """Puts the tokens start, start + 1, ... into their slots of the buffer; of more than it has, the last ones."""
    slots, end = buffer_BHTK.shape[2], start + x_BHTK.shape[2]
    first = max(start, end - slots)
    while first < end:  # at most twice: up to the last slot, and on from the first
        count = min(end - first, slots - first % slots)
        buffer_BHTK[:, :, first % slots : first % slots + count] = x_BHTK[:, :, first - start : first - start + count]
        first += count


def latest(buffer_BHTK: Tensor, *, count: int, end: int) -> Tensor:
    """Returns the `count` tokens before token `end`, oldest first, of a buffer that holds them."""
    slots = buffer_BHTK.shape[2]
    if end <= slots:
        return buffer_BHTK[:, :, end - count : end]
    return buffer_BHTK.roll(-(end % slots), dims=2)[:, :, slots - count :]


def rotated(x_BTHK: Tensor, *, start: int, base: float) -> Tensor:
    """Returns x with channels j and j + K/2 turned by the angle position * base^(-2j/K) (RoFormer, equation 34).

    The positions are start, start + 1, ... The paper pairs channels 2j and 2j + 1: the same but for the channels' order.
    """
    time, _, channels = x_BTHK.shape[1:]
    positions_T = torch.arange(start, start + time, dtype=state_type(x_BTHK), device=x_BTHK.device)
    angles_T1K = positions_T[:, None, None] * frequencies(
        channels, base=base, dtype=positions_T.dtype, device=x_BTHK.device
    )
    turned_BTHK = torch.addcmul(x_BTHK * angles_T1K.cos(), x_BTHK.roll(channels // 2, dims=-1), angles_T1K.sin())
    return turned_BTHK.to(x_BTHK.dtype)


@lru_cache(maxsize=64)  # every step of every block asks for them
def frequencies(channels: int, *, base: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Returns the angles per token of each channel: negative where the sine comes with a minus."""
    half = channels // 2
    frequencies_K = torch.exp(torch.arange(half, dtype=torch.float64, device=device) * (-math.log(base) / half))
    return torch.cat([-frequencies_K, frequencies_K]).to(dtype)
