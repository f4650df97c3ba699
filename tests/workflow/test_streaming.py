"""A stream read one by one says what it costs and whether it is right at any position; what is wrong on purpose is seen."""

import gc
import time
import weakref
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import workflow.profiling.streaming
from models.mixer import State, state_tensors
from models.network import NativeNetworkSpec, Network, SharedNetworkSpec
from tests.models.rows import ARCHITECTURES, GROWING, MIXERS
from tests.models.weights import perturbed
from workflow.profiling.streaming import QUANTILES, Stream, clock_seconds, drawn, streamed, windows
from workflow.results import Measurement

CPU = torch.device("cpu")
VOCABULARY = 11
# Pieces that divide no window, so that some are cut.
STREAM = Stream(tokens=200, piece=7, window=32, warmup=4, vocabulary=VOCABULARY, batch=2)
FIRSTS = [0, 32, 64, 128]
SHARED: dict[str, Any] = {"block": "shared", "width": 8, "depth": 2, "positions": 0, "convolution": 3, "feedforward": 0}
SPECS: dict[str, SharedNetworkSpec | NativeNetworkSpec] = {
    **{f"{name}-shared": SharedNetworkSpec(**SHARED, mixer=mixer) for name, mixer in MIXERS.items()},
    **{
        f"{name}-native": NativeNetworkSpec(block="native", width=8, depth=2, tied=False, mixer=architecture)
        for name, architecture in ARCHITECTURES.items()
    },
}


@pytest.fixture(autouse=True, scope="module")
def _what_is_there_already_is_not_collected():
    """Memory is read after a collection, which takes long in a process full of other tests."""
    gc.freeze()
    yield
    gc.unfreeze()


def network(name: str) -> Network:
    torch.manual_seed(3)
    return perturbed(SPECS[name].build(VOCABULARY), deviation=0.3).requires_grad_(False).eval()


def found(model: nn.Module, **changes: int) -> list[Measurement]:
    return streamed(model, stream=STREAM._replace(**changes), precision="float32", device=CPU)


def values(rows: list[Measurement], name: str) -> dict[Any, float]:
    """By what stands first in the address."""
    return {next(iter(row.at.values()), None): row.value for row in rows if row.name == name}


class Counter(nn.Module):
    """Stands for a network: its state is the number of tokens read, of which its logits depend."""

    def initial_state(self, batch: int, max_time: int) -> tuple[Tensor]:
        return (torch.zeros(batch),)

    def step(self, tokens_B: Tensor, state: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
        return self.head(state[0][:, None]), (state[0] + 1,)

    def read(self, tokens_BT: Tensor, state: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
        time = tokens_BT.shape[1]
        return state[0][:, None, None] + torch.arange(time)[:, None], (state[0] + time,)

    def head(self, count: Tensor) -> Tensor:
        return torch.cat([count, torch.zeros_like(count)], dim=-1) / 100


class Clock:
    """Moves on when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.now = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)


@pytest.mark.parametrize("name", SPECS)
def test_one_by_one_is_as_in_pieces_at_any_position(name):
    rows = found(network(name).double())
    deviations, resets = values(rows, "deviation"), values(rows, "reset_deviation")
    assert list(deviations) == list(resets) == FIRSTS
    assert max(deviations.values()) < 1e-11
    assert min(resets.values()) > 1e-5, "the logits do not depend on the state, so equal ones say nothing"
    assert values(rows, "finite_tokens") == {"step": STREAM.tokens, "pieces": STREAM.tokens}
    assert "first_nonfinite" not in {row.name for row in rows}


@pytest.mark.parametrize("name", SPECS)
def test_the_state_holds_as_much_at_the_end_as_at_the_start(name):
    model = network(name)
    short, long = (found(model, tokens=tokens, window=6, warmup=1) for tokens in (12, 18))
    at_start, at_end = values(short, "state_bytes").values()
    assert at_start == at_end > 0
    assert (values(long, "state_bytes")[0] > at_start) == (name.rsplit("-", 1)[0] in GROWING)


@pytest.mark.parametrize("name", ["mlstm-shared", "slstm-shared", "mamba2-shared", "xlstm-native", "lstm-shared"])
def test_a_state_that_loses_a_thousandth_per_step_deviates(name):
    model = network(name).double()
    right = model.step

    def losing(tokens_B: Tensor, state: State) -> tuple[Tensor, State]:
        logits_BN, state = right(tokens_B, state)
        for tensor in state_tensors(state):
            tensor.mul_(1 - 1e-3)
        return logits_BN, state

    model.step = losing
    assert min(values(found(model), "deviation").values()) > 1e-7


def test_an_error_at_one_position_shows_in_the_windows_from_there_on():
    model, position = Counter(), 150
    right = model.step
    model.step = lambda tokens_B, state: right(tokens_B, (state[0] + (state[0] == position),))
    deviations = values(found(model, vocabulary=2), "deviation")
    assert {first for first, value in deviations.items() if value > 1e-3} == {128}
    assert max(deviations[first] for first in FIRSTS[:-1]) < 1e-6


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
@pytest.mark.parametrize("form", ["step", "read"])
def test_logits_that_are_not_finite_are_a_row_and_end_the_stream(form, wrong):
    model, position = Counter(), 101
    right = getattr(model, form)

    def failing(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        y, after = right(tokens, state)
        return torch.where(y == (position / 100 if form == "step" else position), wrong, y), after

    setattr(model, form, failing)
    rows = found(model, vocabulary=2)
    form = {"step": "step", "read": "pieces"}[form]
    assert values(rows, "first_nonfinite") == {form: position}
    assert values(rows, "finite_tokens")[form] == position
    assert list(values(rows, "deviation")) == list(values(rows, "step_seconds")) == [0, 32]
    assert not {"tokens_per_second", "drift"} & {row.name for row in rows}


def test_a_step_that_takes_longer_from_token_to_token_drifts(monkeypatch):
    clock, model = Clock(monkeypatch), Counter()
    right, read = model.step, model.read

    def slowing(tokens_B: Tensor, state: State) -> tuple[Tensor, State]:
        clock.now += 1 + float(state[0][0])  # the token at p takes p + 1 seconds
        return right(tokens_B, state)

    def reading(tokens_BT: Tensor, state: State) -> tuple[Tensor, State]:
        clock.now += 1
        return read(tokens_BT, state)

    model.step, model.read = slowing, reading
    rows = found(model, vocabulary=2)
    seconds = {(row.at["position"], row.at["quantile"]): row.value for row in rows if row.name == "step_seconds"}
    assert set(seconds) == {(first, quantile) for first in FIRSTS for quantile in QUANTILES}
    middle = {first: (first + STREAM.warmup + last - 1) / 2 + 1 for first, last in windows(STREAM)}
    assert {first: seconds[first, 0.5] for first in FIRSTS} == pytest.approx(middle)
    assert {first: seconds[first, 1.0] for first in FIRSTS} == pytest.approx({0: 32, 32: 64, 64: 128, 128: 200})
    assert values(rows, "drift")[0.5] == pytest.approx(middle[128] / middle[0])
    assert values(rows, "warmup_seconds")[64] == pytest.approx(65 + 66 + 67 + 68)
    assert values(rows, "tokens_per_second")["step"] == pytest.approx(2 * 200 / (200 * 201 / 2))


def test_a_constant_step_does_not_drift_whatever_else_takes_time(monkeypatch):
    clock, model = Clock(monkeypatch), Counter()
    step, read = model.step, model.read

    def stepping(tokens_B: Tensor, state: State) -> tuple[Tensor, State]:
        clock.now += 0.25
        return step(tokens_B, state)

    def reading(tokens_BT: Tensor, state: State) -> tuple[Tensor, State]:
        clock.now += 8
        return read(tokens_BT, state)

    def drawing(first: int, **sizes: int) -> Tensor:
        clock.now += 1000
        return drawn(first, **sizes)

    model.step, model.read = stepping, reading
    monkeypatch.setattr(workflow.profiling.streaming, "drawn", drawing)
    rows = found(model, vocabulary=2)
    assert {row.value for row in rows if row.name == "step_seconds"} == {0.25}
    assert set(values(rows, "drift").values()) == {1.0}
    pieces = 5 + 5 + 10 + 11  # of 7 tokens at most
    assert values(rows, "tokens_per_second") == pytest.approx({"step": 2 / 0.25, "pieces": 2 * 200 / (8 * pieces)})


def test_memory_that_grows_with_the_stream_is_seen_and_a_growing_state_is_told_apart():
    model, hoard = Counter(), []
    right, each = model.step, 2**18

    def hoarding(tokens_B: Tensor, state: State) -> tuple[Tensor, State]:
        hoard.append(torch.zeros(each // 4))
        return right(tokens_B, state)

    def growing(tokens_B: Tensor, state: State) -> tuple[Tensor, State]:
        logits_BN, counted = right(tokens_B, state)
        return logits_BN, (*counted, *state[1:], torch.zeros(each // 4))

    clean = values(found(model, vocabulary=2), "growth_bytes")
    model.step = hoarding
    leaked = values(found(model, vocabulary=2), "growth_bytes")
    hoard.clear()
    model.step = growing
    grown = found(model, vocabulary=2)
    assert list(clean) == FIRSTS[1:]
    for (_, last), first in zip(windows(STREAM)[1:], FIRSTS[1:], strict=True):
        assert leaked[first] == pytest.approx((last - 32) * each, rel=0.05)
    assert max(map(abs, clean.values())) < 2**20
    assert max(map(abs, values(grown, "growth_bytes").values())) < 2**21
    at_start, at_end = values(grown, "state_bytes").values()
    assert at_end - at_start == STREAM.tokens * each


def test_no_more_logits_are_held_than_those_of_two_pieces(monkeypatch):
    model, alive, most = Counter(), weakref.WeakSet(), 0
    step, counts = model.step, []

    def watched(tokens_B: Tensor, state: State) -> tuple[Tensor, State]:
        nonlocal most
        logits_BN, state = step(tokens_B, state)
        alive.add(logits_BN)
        most = max(most, len(alive))
        return logits_BN, state

    def drawing(first: int, *, count: int, vocabulary: int, batch: int) -> Tensor:
        counts.append(count)
        return drawn(first, count=count, vocabulary=vocabulary, batch=batch)

    gc.collect()
    model.step = watched
    monkeypatch.setattr(workflow.profiling.streaming, "drawn", drawing)
    found(model, vocabulary=2, tokens=1000)
    assert most <= 2 * STREAM.piece
    assert max(counts) == STREAM.piece
    assert sum(counts) == 2 * 1000


def test_windows_double_and_the_last_is_no_shorter_than_the_first():
    million = STREAM._replace(tokens=10**6, window=1024)
    assert [first for first, _ in windows(million)] == [0, *(1024 * 2**k for k in range(10))]
    assert windows(million)[-1] == (524288, 10**6)
    assert windows(STREAM._replace(tokens=159)) == [(0, 32), (32, 64), (64, 159)]
    assert windows(STREAM._replace(tokens=160)) == [(0, 32), (32, 64), (64, 128), (128, 160)]


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [({"tokens": 63}, "raise stream.tokens to 64"), ({"warmup": 32}, "lower stream.warmup")],
)
def test_a_stream_too_short_to_tell_anything_is_refused(changes, remedy):
    with pytest.raises(ValueError, match=remedy):
        found(Counter(), **changes)


@given(first=st.integers(0, 300), count=st.integers(1, 50), batch=st.integers(1, 4))
@settings(max_examples=50, deadline=None)
def test_a_token_is_decided_by_its_position_alone(first, count, batch):
    whole_BT = drawn(0, count=350, vocabulary=VOCABULARY, batch=batch)
    assert torch.equal(
        drawn(first, count=count, vocabulary=VOCABULARY, batch=batch), whole_BT[:, first : first + count]
    )


def test_tokens_are_uniform_and_the_same_for_ever():
    assert drawn(10**6, count=4, vocabulary=256, batch=2).tolist() == [[30, 12, 206, 59], [75, 113, 79, 246]]
    counts = drawn(0, count=8000, vocabulary=VOCABULARY, batch=2).flatten().bincount()
    assert len(counts) == VOCABULARY
    expected = 16000 / VOCABULARY
    assert float(((counts - expected) ** 2 / expected).sum()) < 30  # chi-squared, ten degrees of freedom: .9991


def test_what_reading_the_clock_costs_is_told():
    assert 0 < clock_seconds(on=CPU) < 1e-4
    (told,) = [row for row in found(Counter(), vocabulary=2) if row.name == "clock_seconds"]
    assert (told.unit, told.at) == ("s", {})
