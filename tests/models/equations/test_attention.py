"""Attention against the paper's equations, token by token, in float64, from the weights alone."""

import math

import pytest
import torch
from torch import Tensor

from models.attention import AttentionSpec, frequencies
from models.mixer import state_bytes
from tests.models.equations.following import (
    TIME,
    WIDTH,
    assert_follows,
    tokens,
    trained,
)


def attention(**changes: object) -> AttentionSpec:
    fields = {"heads": 2, "key_value_heads": 2, "window": None, "rotary_base": 100.0, "kernel": "sdpa"}
    return AttentionSpec(name="attention", **fields | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"heads": 4, "key_value_heads": 2},
        {"heads": 4, "key_value_heads": 1, "window": 3},
        {"window": 1},
        {"window": TIME + 1},
        {"rotary_base": None},
        {"kernel": "math", "key_value_heads": 1},
        {"kernel": "flash"},
    ],
    ids=str,
)
def test_attention_is_softmax_over_turned_keys(changes):
    spec = attention(**changes)
    mixer, channels = trained(spec.build(WIDTH)), WIDTH // spec.heads

    def turned(x: Tensor, position: int) -> Tensor:  # channels j and j + channels / 2 as one complex number
        if spec.rotary_base is None:
            return x
        half = channels // 2
        angles = position * spec.rotary_base ** (-2 * torch.arange(half, dtype=torch.float64) / channels)
        z = torch.complex(x[:half], x[half:]) * torch.polar(torch.ones(half, dtype=torch.float64), angles)
        return torch.cat([z.real, z.imag])

    outputs = []
    q_THK, k_THK, v_THK = (
        (mixer.qkv.weight @ tokens().T)
        .T.unflatten(1, (-1, channels))
        .split([spec.heads, spec.key_value_heads, spec.key_value_heads], dim=1)
    )
    for t in range(TIME):
        h = []
        for head in range(spec.heads):
            shared = head * spec.key_value_heads // spec.heads
            seen = range(0 if spec.window is None else max(0, t + 1 - spec.window), t + 1)
            q = turned(q_THK[t, head], t)
            scores = torch.stack([q @ turned(k_THK[j, shared], j) for j in seen])
            h.append(torch.softmax(scores / math.sqrt(channels), dim=0) @ v_THK[list(seen), shared])
        outputs.append(mixer.out.weight @ torch.cat(h))
    assert_follows(mixer, torch.stack(outputs), tolerance=1e-10)


def test_attention_refuses_a_token_more_than_its_state_can_take():
    mixer = attention().build(WIDTH)
    x_BTW = tokens().float()[None]
    with pytest.raises(ValueError, match=r"token 11 does not fit a state of max_time=10: ask initial_state"):
        mixer.prefill(x_BTW, mixer.initial_state(1, TIME - 1))
    _, state = mixer.prefill(x_BTW, mixer.initial_state(1, TIME))
    with pytest.raises(ValueError, match="token 12 does not fit"):
        mixer.step(x_BTW[:, 0], state)


def test_attention_reads_nothing_of_its_state_beyond_the_position():
    mixer = attention().build(WIDTH)
    x_BTW, roomy = tokens().float()[None], mixer.initial_state(1, 50)
    roomy.k_BHTK.fill_(torch.nan), roomy.v_BHTK.fill_(torch.nan)
    with torch.no_grad():
        first_BTW, roomy = mixer.prefill(x_BTW[:, :4], roomy)
        second_BTW, roomy = mixer.prefill(x_BTW[:, 4:10], roomy)
        last_BW, _ = mixer.step(x_BTW[:, 10], roomy)
        torch.testing.assert_close(torch.cat([first_BTW, second_BTW, last_BW[:, None]], dim=1), mixer(x_BTW))


@pytest.mark.parametrize("window", [None, 3])
def test_attention_learns_through_a_prefill_in_many_pieces(window):
    mixer, x_BTW = trained(attention(window=window).build(WIDTH)), tokens()[None]
    weights_BTW, state, outputs = torch.randn_like(x_BTW), mixer.initial_state(1, TIME), []
    for piece_BTW in x_BTW.split([1, 4, 1, 2, 3], dim=1):
        y_BTW, state = mixer.prefill(piece_BTW, state)
        outputs.append(y_BTW)
    in_pieces, at_once = (
        torch.autograd.grad((y_BTW * weights_BTW).sum(), list(mixer.parameters()))
        for y_BTW in (torch.cat(outputs, dim=1), mixer(x_BTW))
    )
    for found, expected in zip(in_pieces, at_once, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_a_window_makes_a_state_of_constant_size():
    mixer = attention(window=3).build(WIDTH)
    assert state_bytes(mixer.initial_state(1, 3)) == state_bytes(mixer.initial_state(1, 10**6)) == 2 * 3 * WIDTH * 4 + 8


def test_attention_trains_after_it_has_been_evaluated():
    frequencies.cache_clear()
    mixer, x_BTW = attention().build(WIDTH), tokens().float()[None]
    with torch.inference_mode():
        mixer(x_BTW)
    mixer(x_BTW).sum().backward()
    assert mixer.qkv.weight.grad.isfinite().all()


@pytest.mark.parametrize(
    ("changes", "width", "sentence"),
    [
        (
            {"heads": 4, "key_value_heads": 3},
            8,
            "key_value_heads=3 does not divide heads=4.* a multiple of key_value_heads",
        ),
        ({"heads": 2, "key_value_heads": 4}, 8, "key_value_heads=4 does not divide heads=2"),
        ({"window": 4, "kernel": "flash"}, 8, "kernel=flash has no window, so window=4 cannot be: take flash-attn"),
        ({"kernel": "flash-attn"}, 1024, "heads of 512 channels, and kernel=flash-attn takes 256: raise heads"),
        ({"window": 0}, 8, "window"),
        ({"rotary_base": 1.0}, 8, "rotary_base"),
        ({"kernel": "torch"}, 8, "kernel"),
    ],
    ids=str,
)
def test_infeasible_attention_is_refused_with_its_remedy(changes, width, sentence):
    with pytest.raises(ValueError, match=sentence):
        attention(**changes).build(width)
