"""Every mixer of the registry, with and without the short convolution, keeps the contract of `models.mixer`."""

from itertools import pairwise
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from models import Mixer
from models.attention import AttentionSpec
from models.layers import Convolved
from models.lstm import LSTMSpec
from models.mamba2 import Mamba2Spec
from models.mixer import MixerSpec, SequenceMixer, state_bytes, state_tensors
from models.mlstm import MLSTMSpec
from models.slstm import SLSTMSpec

WIDTH, BATCH, TIME = 8, 2, 11  # the time is no multiple of the chunk, and takes three of them
ROWS: list[MixerSpec] = [
    AttentionSpec(name="attention", heads=2, rotary_base=100.0),
    MLSTMSpec(name="mlstm", heads=2, key_dim=3, chunk=4),
    SLSTMSpec(name="slstm", heads=2, recurrent_init="normal"),
    Mamba2Spec(name="mamba2", heads=4, state_dim=3, expand=2, chunk=4),
    LSTMSpec(name="lstm", hidden=5),
]
GROWING = {AttentionSpec}  # whose state grows with the time it can take

every_spec = pytest.mark.parametrize("spec", ROWS, ids=lambda spec: spec.name)
every_kernel = pytest.mark.parametrize("kernel", [0, 3], ids=["bare", "convolved"])


def test_every_member_of_the_registry_has_a_row():
    members = get_args(get_args(Mixer)[0])
    assert set(members) == {type(row) for row in ROWS}, "add a small spec of the new mixer to ROWS"


def built(spec: MixerSpec, kernel: int) -> SequenceMixer:
    mixer = spec.build(WIDTH)
    return Convolved(mixer, width=WIDTH, kernel=kernel) if kernel else mixer


def trained(spec: MixerSpec, kernel: int) -> SequenceMixer:
    """In float64, with weights as random as after training: nothing is zero, one or equal by its initialisation."""
    torch.manual_seed(1)
    mixer = built(spec, kernel).double()
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.5)
    return mixer


def tokens(time: int = TIME) -> Tensor:
    return torch.randn(BATCH, time, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def assert_same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


def assert_same_state(found: object, expected: object) -> None:
    for one, other in zip(state_tensors(found), state_tensors(expected), strict=True):
        assert_same(one, other)


def read_in_pieces(mixer: SequenceMixer, x_BTW: Tensor, pieces: list[int]) -> tuple[Tensor, object]:
    state, outputs = mixer.initial_state(len(x_BTW), x_BTW.shape[1]), []
    for piece in x_BTW.split(pieces, dim=1):
        y_BTW, state = mixer.prefill(piece, state)
        outputs.append(y_BTW)
    return torch.cat(outputs, dim=1), state


def read_one_by_one(mixer: SequenceMixer, x_BTW: Tensor, state: object) -> tuple[Tensor, object]:
    outputs = []
    for x_BW in x_BTW.unbind(1):
        y_BW, state = mixer.step(x_BW, state)
        outputs.append(y_BW)
    return torch.stack(outputs, dim=1), state


@every_kernel
@every_spec
def test_prefill_gives_the_outputs_of_forward(spec, kernel):
    mixer = trained(spec, kernel)
    for time in (1, 4, TIME):
        x_BTW = tokens(time)
        assert_same(mixer.prefill(x_BTW, mixer.initial_state(BATCH, time))[0], mixer(x_BTW))


@every_kernel
@every_spec
def test_steps_continue_a_prefill(spec, kernel):
    mixer, x_BTW, prompt = trained(spec, kernel), tokens(), 5
    with torch.no_grad():
        y_BTW, state = mixer.prefill(x_BTW[:, :prompt], mixer.initial_state(BATCH, TIME))
        later_BTW, state = read_one_by_one(mixer, x_BTW[:, prompt:], state)
        assert_same(torch.cat([y_BTW, later_BTW], dim=1), mixer(x_BTW))
        assert_same_state(state, mixer.prefill(x_BTW, mixer.initial_state(BATCH, TIME))[1])


@every_kernel
@every_spec
def test_steps_alone_give_the_outputs_of_forward(spec, kernel):
    mixer, x_BTW = trained(spec, kernel), tokens()
    with torch.no_grad():
        assert_same(read_one_by_one(mixer, x_BTW, mixer.initial_state(BATCH, TIME))[0], mixer(x_BTW))


@every_kernel
@every_spec
@settings(max_examples=12, deadline=None, derandomize=True)
@given(cuts=st.sets(st.integers(1, TIME - 1)))
def test_a_prefill_in_pieces_equals_one_at_once(spec, kernel, cuts):
    mixer, x_BTW = trained(spec, kernel), tokens()
    edges = [0, *sorted(cuts), TIME]
    with torch.no_grad():
        y_BTW, state = read_in_pieces(mixer, x_BTW, [end - start for start, end in pairwise(edges)])
        assert_same(y_BTW, mixer(x_BTW))
        assert_same_state(state, mixer.prefill(x_BTW, mixer.initial_state(BATCH, TIME))[1])


@every_kernel
@every_spec
def test_gradients_flow_through_a_handed_over_state(spec, kernel):
    mixer, x_BTW = trained(spec, kernel), tokens()
    weights_BTW = torch.randn_like(x_BTW)
    at_once = torch.autograd.grad((mixer(x_BTW) * weights_BTW).sum(), list(mixer.parameters()))
    in_pieces = torch.autograd.grad(
        (read_in_pieces(mixer, x_BTW, [5, 6])[0] * weights_BTW).sum(), list(mixer.parameters())
    )
    for found, expected in zip(in_pieces, at_once, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)  # a normaliser's epsilon has no gradient


@every_kernel
@every_spec
def test_no_output_depends_on_a_later_input(spec, kernel):
    mixer, x_BTW = trained(spec, kernel), tokens()
    for time in range(1, TIME):
        changed_BTW = x_BTW.clone()
        changed_BTW[:, time:] += 10 * torch.randn_like(x_BTW[:, time:])
        before_BTW, after_BTW = mixer(x_BTW), mixer(changed_BTW)
        assert torch.equal(before_BTW[:, :time], after_BTW[:, :time])
        assert not torch.isclose(before_BTW[:, time], after_BTW[:, time]).all(-1).any()


@every_kernel
@every_spec
def test_sequences_of_a_batch_do_not_mix(spec, kernel):
    mixer, x_BTW = trained(spec, kernel), tokens()
    assert_same(mixer(x_BTW)[:1], mixer(x_BTW[:1]))


@every_kernel
@every_spec
@pytest.mark.parametrize("time", [1, 4, 5, TIME, 12])
def test_stated_flops_are_those_counted(spec, kernel, time):
    mixer, x_BTW = trained(spec, kernel), tokens(time)[:1]
    # In float64 no fused kernel hides an LSTM from the counter, and the plain attention kernel is one it sees.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        mixer(x_BTW)
    assert mixer.flops(time) == counter.get_total_flops()


@every_kernel
@every_spec
def test_a_state_has_the_size_that_the_meta_device_foretells(spec, kernel):
    def bytes_for(mixer: SequenceMixer, time: int, device: str) -> int:
        x_BTW = torch.zeros(BATCH, time, WIDTH, device=device)
        _, state = mixer.prefill(x_BTW, mixer.initial_state(BATCH, time))
        assert state_bytes(state) == state_bytes(mixer.initial_state(BATCH, time))
        return state_bytes(state)

    with torch.device("meta"):
        planned = built(spec, kernel)
    real = built(spec, kernel)
    found = [bytes_for(real, time, "cpu") for time in (3, 5, 7)]
    assert found == [bytes_for(planned, time, "meta") for time in (3, 5, 7)]
    assert found[2] - found[1] == found[1] - found[0]
    assert (found[1] > found[0]) == (type(spec) in GROWING)


@every_kernel
@every_spec
def test_every_parameter_gets_a_finite_gradient(spec, kernel):
    torch.manual_seed(0)
    mixer = built(spec, kernel)
    mixer(tokens().float()).square().sum().backward()
    for name, parameter in mixer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@every_kernel
@every_spec
def test_bfloat16_autocast_keeps_recurrent_states_in_float32(spec, kernel):
    mixer, x_BTW = trained(spec, kernel).float(), tokens().float()
    expected_BTW = mixer(x_BTW).detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y_BTW = mixer(x_BTW)
        y_BTW.float().square().sum().backward()
        with torch.no_grad():
            prompt_BTW, state = mixer.prefill(x_BTW[:, :5], mixer.initial_state(BATCH, TIME))
            later_BTW, state = read_one_by_one(mixer, x_BTW[:, 5:], state)
    close = {"rtol": 0, "atol": 0.1 * expected_BTW.abs().max().item()}
    torch.testing.assert_close(y_BTW.float(), expected_BTW, **close)
    torch.testing.assert_close(torch.cat([prompt_BTW, later_BTW], dim=1).float(), expected_BTW, **close)
    assert all(parameter.grad.isfinite().all() for parameter in mixer.parameters())
    if type(spec) not in GROWING:
        assert {tensor.dtype for tensor in state_tensors(state)} == {torch.float32}


@every_spec
def test_half_precision_weights_keep_recurrent_states_in_float32(spec):
    mixer, x_BTW = built(spec, 0).bfloat16(), tokens().bfloat16()
    y_BTW, state = mixer.prefill(x_BTW, mixer.initial_state(BATCH, TIME + 1))
    y_BW, state = mixer.step(x_BTW[:, 0], state)
    assert mixer(x_BTW).dtype == y_BTW.dtype == y_BW.dtype == torch.bfloat16
    if type(spec) not in GROWING:
        assert {tensor.dtype for tensor in state_tensors(state)} == {torch.float32}
