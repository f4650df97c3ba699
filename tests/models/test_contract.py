"""Every mixer, bare and behind the short convolution, and every native block keeps the contract of `models.mixer`."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from models import Architecture, Mixer
from models.attention import AttentionState
from models.block import LearnedPositions
from models.convolution import Convolved
from models.hybrid import HybridSpec
from models.mixer import MixerSpec, SequenceMixer, state_bytes, state_tensors
from models.native.architecture import ArchitectureSpec
from tests.models.rows import ARCHITECTURES, GROWING, MIXERS
from tests.models.weights import perturbed

WIDTH, BATCH, TIME = 8, 2, 11  # the time is no multiple of the chunk, and takes three of them


class Case(NamedTuple):
    name: str  # of the spec
    spec: MixerSpec | ArchitectureSpec | None
    convolved: bool

    def build(self) -> SequenceMixer:
        if self.spec is None:
            return LearnedPositions(WIDTH, count=2 * TIME)
        if isinstance(self.spec, ArchitectureSpec):
            return self.spec.block(WIDTH, index=1, depth=2)
        mixer = self.spec.build(WIDTH)
        return Convolved(mixer, width=WIDTH, kernel=3) if self.convolved else mixer

    @property
    def grows(self) -> bool:
        return self.name in GROWING

    def __str__(self) -> str:
        kind = "native" if isinstance(self.spec, ArchitectureSpec) else "convolved" if self.convolved else "bare"
        return f"{self.name}-{kind}"


BARE = [Case(name, spec, convolved=False) for name, spec in MIXERS.items()]
NATIVE = [Case(name, spec, convolved=False) for name, spec in ARCHITECTURES.items()]
CASES = [*BARE, *(case._replace(convolved=True) for case in BARE), *NATIVE, Case("positions", None, convolved=False)]

every_case = pytest.mark.parametrize("case", CASES, ids=str)


def members(registry: Any) -> Iterator[type]:
    """The specifications in a registry; hybrids, and mixers of a reader's own, apart."""
    for part in get_args(registry):
        if get_args(part):
            yield from members(part)
        elif isinstance(part, type) and not issubclass(part, HybridSpec) and part is not MixerSpec:
            yield part


@pytest.mark.parametrize(
    ("registry", "rows"), [(Mixer, MIXERS), (Architecture, ARCHITECTURES)], ids=["mixers", "native"]
)
def test_every_member_of_a_registry_has_a_row(registry, rows):
    assert set(members(registry)) == {type(row) for row in rows.values()}, "add a small spec of the new one"
    assert all(name.startswith(row.name) for name, row in rows.items())


def trained(case: Case) -> SequenceMixer:
    """In float64, with weights as random as after training: nothing is zero, one or equal by its initialisation."""
    torch.manual_seed(1)
    mixer = case.build().double()
    return perturbed(mixer, deviation=0.5)


def tokens(time: int = TIME) -> Tensor:
    return torch.randn(BATCH, time, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def assert_same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


def assert_same_state(found: object, expected: object) -> None:
    for one, other in zip(state_tensors(found), state_tensors(expected), strict=True):
        assert_same(one, other)


def recurrent_types(state: Any) -> Iterator[torch.dtype]:
    """The types in a state, but for windows and keys and values, which are held as they came, and positions."""
    if isinstance(state, AttentionState):
        return
    if isinstance(state, Tensor):
        if state.is_floating_point():
            yield state.dtype
        return
    for name, part in zip(getattr(state, "_fields", [""] * len(state)), state, strict=True):
        if not name.startswith("window"):
            yield from recurrent_types(part)


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


@every_case
def test_prefill_gives_the_outputs_of_forward(case):
    mixer = trained(case)
    for time in (1, 4, TIME):
        x_BTW = tokens(time)
        assert_same(mixer.prefill(x_BTW, mixer.initial_state(BATCH, time))[0], mixer(x_BTW))


@every_case
def test_steps_continue_a_prefill(case):
    mixer, x_BTW, prompt = trained(case), tokens(), 5
    with torch.no_grad():
        y_BTW, state = mixer.prefill(x_BTW[:, :prompt], mixer.initial_state(BATCH, TIME))
        later_BTW, state = read_one_by_one(mixer, x_BTW[:, prompt:], state)
        assert_same(torch.cat([y_BTW, later_BTW], dim=1), mixer(x_BTW))
        assert_same_state(state, mixer.prefill(x_BTW, mixer.initial_state(BATCH, TIME))[1])


@every_case
def test_steps_alone_give_the_outputs_of_forward(case):
    mixer, x_BTW = trained(case), tokens()
    with torch.no_grad():
        assert_same(read_one_by_one(mixer, x_BTW, mixer.initial_state(BATCH, TIME))[0], mixer(x_BTW))


@every_case
@settings(max_examples=12, deadline=None, derandomize=True)
@given(cuts=st.sets(st.integers(1, TIME - 1)))
def test_a_prefill_in_pieces_equals_one_at_once(case, cuts):
    mixer, x_BTW = trained(case), tokens()
    edges = [0, *sorted(cuts), TIME]
    with torch.no_grad():
        y_BTW, state = read_in_pieces(mixer, x_BTW, [end - start for start, end in pairwise(edges)])
        assert_same(y_BTW, mixer(x_BTW))
        assert_same_state(state, mixer.prefill(x_BTW, mixer.initial_state(BATCH, TIME))[1])


@every_case
def test_gradients_flow_through_a_handed_over_state(case):
    mixer, x_BTW = trained(case), tokens()
    weights_BTW = torch.randn_like(x_BTW)
    at_once = torch.autograd.grad((mixer(x_BTW) * weights_BTW).sum(), list(mixer.parameters()))
    in_pieces = torch.autograd.grad(
        (read_in_pieces(mixer, x_BTW, [5, 6])[0] * weights_BTW).sum(), list(mixer.parameters())
    )
    for found, expected in zip(in_pieces, at_once, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)  # a normaliser's epsilon has no gradient


@every_case
def test_no_output_depends_on_a_later_input(case):
    mixer, x_BTW = trained(case), tokens()
    for time in range(1, TIME):
        changed_BTW = x_BTW.clone()
        changed_BTW[:, time:] += 10 * torch.randn_like(x_BTW[:, time:])
        before_BTW, after_BTW = mixer(x_BTW), mixer(changed_BTW)
        assert torch.equal(before_BTW[:, :time], after_BTW[:, :time])
        assert not torch.isclose(before_BTW[:, time], after_BTW[:, time]).all(-1).any()


@every_case
def test_sequences_of_a_batch_do_not_mix(case):
    mixer, x_BTW = trained(case), tokens()
    assert_same(mixer(x_BTW)[:1], mixer(x_BTW[:1]))


@every_case
@pytest.mark.parametrize("time", [1, 4, 5, TIME, 12])
def test_stated_flops_are_those_counted(case, time):
    mixer, x_BTW = trained(case), tokens(time)[:1]
    # In float64 no fused kernel hides an LSTM from the counter, and the plain attention kernel is one it sees.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        mixer(x_BTW)
    assert mixer.flops(time) == counter.get_total_flops()


@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_a_state_has_the_size_that_the_meta_device_foretells(case, dtype):
    def bytes_for(mixer: SequenceMixer, time: int, device: str) -> int:
        x_BTW = torch.zeros(BATCH, time, WIDTH, device=device, dtype=dtype)
        _, state = mixer.prefill(x_BTW, mixer.initial_state(BATCH, time))
        assert state_bytes(state) == state_bytes(mixer.initial_state(BATCH, time))
        return state_bytes(state)

    with torch.device("meta"):
        planned = case.build().to(dtype)
    real = case.build().to(dtype)
    found = [bytes_for(real, time, "cpu") for time in (3, 5, 7)]
    assert found == [bytes_for(planned, time, "meta") for time in (3, 5, 7)]
    assert found[2] - found[1] == found[1] - found[0]
    assert (found[1] > found[0]) == (case.grows)


@every_case
def test_every_parameter_gets_a_finite_gradient(case):
    torch.manual_seed(0)
    mixer = case.build()
    mixer(tokens().float()).square().sum().backward()
    for name, parameter in mixer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@every_case
def test_bfloat16_autocast_keeps_recurrent_states_in_float32(case):
    mixer, x_BTW = trained(case).float(), tokens().float()
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
    if not case.grows:
        assert set(recurrent_types(state)) <= {torch.float32}


@every_case
def test_half_precision_weights_keep_recurrent_states_in_float32(case):
    mixer, x_BTW = case.build().bfloat16(), tokens().bfloat16()
    y_BTW, state = mixer.prefill(x_BTW, mixer.initial_state(BATCH, TIME + 1))
    y_BW, state = mixer.step(x_BTW[:, 0], state)
    assert mixer(x_BTW).dtype == y_BTW.dtype == y_BW.dtype == torch.bfloat16
    if not case.grows:
        assert set(recurrent_types(state)) <= {torch.float32}
