"""A network on a long stream of random tokens, one by one and in pieces: seconds, memory and agreement along it.

The stream is cut into windows that double, so that what grows with position, a cost or an error, shows from one to the next:

    window  |  w  |  w  |     2 w     |            4 w            | ...
    step    |.....|.....|.............|...........................|  Network.step, token by token
    pieces  |- - -|- - -|- - - - - - -|- - - - - - - - - - - - - -|  Network.read and head, piece by piece

Each way carries a state of its own, and reads a window when the other has. What is held does not depend on the stream's length,
but for the samples of the window being read, eight bytes a token.
"""

import time
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.mixer import State, state_bytes
from models.network import Network
from tasks.draws import integers
from workflow.evaluation import autocast
from workflow.memory import release, used_bytes
from workflow.profiling.meters import finish
from workflow.results import Measurement
from workflow.runs import Precision

QUANTILES = (0.01, 0.05, 0.5, 0.95, 0.99, 1.0)
_DRIFTING = (0.01, 0.5)  # the fastest steps beside the median, as nothing else that runs on the machine slows them down
_CLOCK_READS = 1024


class Stream(NamedTuple):
    """`batch` sequences of `tokens` each, read in pieces of `piece` at most, the last of a window ending with it.

    The first window has `window` tokens. Of every window the first `warmup` are timed apart, as other work came before them.
    """

    tokens: int
    piece: int
    window: int
    warmup: int
    vocabulary: int
    batch: int


class Window(NamedTuple):
    """What was measured in the window that begins at `first`: `seconds` of a step by quantile, deviations in nat."""

    first: int
    warmup_seconds: float
    seconds: dict[float, float]
    deviation: float
    reset_deviation: float


def streamed(network: Network, *, stream: Stream, precision: Precision, device: torch.device) -> list[Measurement]:
    """Returns what `_by_window` and `_of_form` tell, the state's bytes before and after, and the clock's own seconds.

    `network` is on the device and is not trained, and its `step` gives new logits at every call. Where logits are not finite
    the stream ends with the window before, and a row `first_nonfinite` says where they were met. ValueError, with the
    remedy, if the stream is too short.
    """
    spans = windows(stream)
    with torch.inference_mode(), autocast(device, precision):
        steps, pieces = OneByOne(network, stream, on=device), InPieces(network, stream, on=device)
        states, passed, held = {0: state_bytes(steps.state)}, [], []
        for first, last in spans:
            window = _window(steps, pieces, first=first, last=last)
            if window is None:
                break
            passed.append(window)
            held.append(_held_bytes(steps, pieces))
        states[steps.finite] = state_bytes(steps.state)
        clock = Measurement(name="clock_seconds", value=clock_seconds(on=device), unit="s")
    sizes = [Measurement(name="state_bytes", value=size, unit="B", at={"position": p}) for p, size in states.items()]
    whole = not (steps.failed or pieces.failed)
    told = [*_of_form(steps, form="step", whole=whole), *_of_form(pieces, form="pieces", whole=whole)]
    return [clock, *sizes, *told, *_by_window(passed, held, whole=whole)]


def _of_form(reading: "Reading", *, form: str, whole: bool) -> list[Measurement]:
    """Returns how many tokens gave finite logits, and which was the first not to; of a `whole` stream, all of it, the rate."""
    at = {"form": form}
    found = [Measurement(name="finite_tokens", value=reading.finite, unit="token", at=at)]
    if reading.failed:
        found.append(Measurement(name="first_nonfinite", value=reading.finite, unit="token", at=at))
    if whole:
        rate = reading.stream.batch * reading.stream.tokens / reading.total_seconds
        found.append(Measurement(name="tokens_per_second", value=rate, unit="token/s", at=at))
    return found


def _by_window(passed: list[Window], held: list[int], *, whole: bool) -> list[Measurement]:
    """Returns the numbers of every window and, of a `whole` stream, the drift.

    `step_seconds` are of one token of every sequence, each waited for. `deviation` is the largest difference of a
    log-probability between one by one and in pieces, in the window's last piece; `reset_deviation` what it would be had the
    pieces forgotten all that came before that one. `growth_bytes` is what the windows after the first added to the memory
    held beside the states. `drift` is the seconds of a step in the last window over those in the first.
    """
    found = []
    for window in passed:
        at = {"position": window.first}
        found += [
            Measurement(name="warmup_seconds", value=window.warmup_seconds, unit="s", at=at),
            *(_seconds(value, at=at | {"quantile": quantile}) for quantile, value in window.seconds.items()),
            Measurement(name="deviation", value=window.deviation, unit="nat", at=at),
            Measurement(name="reset_deviation", value=window.reset_deviation, unit="nat", at=at),
        ]
    for window, held_bytes in zip(passed[1:], held[1:], strict=True):
        growth, at = held_bytes - held[0], {"position": window.first}
        found.append(Measurement(name="growth_bytes", value=growth, unit="B", at=at))
    if whole:
        ratios = {quantile: passed[-1].seconds[quantile] / passed[0].seconds[quantile] for quantile in _DRIFTING}
        found += [Measurement(name="drift", value=r, unit="1", at={"quantile": q}) for q, r in ratios.items()]
    return found


def _seconds(value: float, *, at: dict[str, int | float | str]) -> Measurement:
    return Measurement(name="step_seconds", value=value, unit="s", at=at)


def windows(stream: Stream) -> list[tuple[int, int]]:
    """Returns where each window begins and ends: 0, w, 2w, 4w, ...; the last, no shorter than w, ends with the stream."""
    if stream.warmup >= stream.window:
        raise ValueError(f"warmup={stream.warmup} leaves nothing of window={stream.window}: lower stream.warmup")
    if stream.tokens < 2 * stream.window:
        raise ValueError(
            f"tokens={stream.tokens} make no two windows to compare: raise stream.tokens to {2 * stream.window}, "
            "or lower stream.window"
        )
    firsts, first = [0], stream.window
    while first + stream.window <= stream.tokens:
        firsts.append(first)
        first *= 2
    return list(pairwise([*firsts, stream.tokens]))


def drawn(first: int, *, count: int, vocabulary: int, batch: int) -> Tensor:
    """Returns tokens_BT of the positions from `first` on: each is decided by position and sequence, not by how it is read."""
    # One raw draw makes one number, as `tasks.draws` relies on too, so a generator may start anywhere.
    rng = np.random.Generator(np.random.PCG64(0).advance(first * batch))
    return torch.from_numpy(integers(rng, vocabulary, (count, batch)).T)


class Reading(ABC):
    """A way to read the stream. `finite` counts the tokens from the first on whose logits are finite; the next ones `failed`."""

    def __init__(self, network: Network, stream: Stream, *, on: torch.device):
        self.network, self.stream, self.on = network, stream, on
        self.state = network.initial_state(stream.batch, stream.tokens)
        self.finite, self.failed = 0, False
        self.total_seconds = 0.0

    @abstractmethod
    def read(self, tokens_BT: Tensor) -> tuple[Tensor, array]:
        """Returns logits_BTN of the next tokens, and the seconds of each call of the network."""

    def through(self, first: int, last: int) -> tuple[Tensor, Tensor, array]:
        """Returns tokens_BT and logits_BTN of a window's last piece, or the first that failed, and the seconds of all calls."""
        stream, seconds = self.stream, array("d")
        for start in range(first, last, stream.piece):
            count = min(stream.piece, last - start)
            tokens_BT = drawn(start, count=count, vocabulary=stream.vocabulary, batch=stream.batch).to(self.on)
            logits_BTN, taken = self.read(tokens_BT)
            seconds += taken
            finite_T = logits_BTN.isfinite().all(dim=2).all(dim=0)
            self.finite += int(finite_T.long().cumprod(0).sum())
            if not finite_T.all():
                self.failed = True
                break
        self.total_seconds += sum(seconds)
        return tokens_BT, logits_BTN, seconds


class OneByOne(Reading):
    """By `Network.step`."""

    def read(self, tokens_BT: Tensor) -> tuple[Tensor, array]:
        logits, self.state, seconds = stepped(self.network.step, tokens_BT, state=self.state, on=self.on)
        return torch.stack(logits, dim=1), seconds


class InPieces(Reading):
    """By `Network.read`, with all logits, as many as one by one."""

    def read(self, tokens_BT: Tensor) -> tuple[Tensor, array]:
        started = time.perf_counter()
        features_BTW, self.state = self.network.read(tokens_BT, self.state)
        logits_BTN = self.network.head(features_BTW)
        finish(self.on)
        return logits_BTN, array("d", [time.perf_counter() - started])

    def afresh(self, tokens_BT: Tensor) -> Tensor:
        """Returns logits_BTN of the tokens as if they were the stream's first."""
        state = self.network.initial_state(*tokens_BT.shape)
        return self.network.head(self.network.read(tokens_BT, state)[0])


def stepped(
    step: Callable[[Tensor, State], tuple[Tensor, State]], tokens_BT: Tensor, *, state: State, on: torch.device
) -> tuple[list[Tensor], State, array]:
    """Returns the logits_BN of each token, the state after them, and the seconds between two readings of the clock.

    The clock is read once a token, after the device has finished it. What a stream needs beside is left for later.
    """
    tokens, logits, seconds = tokens_BT.unbind(1), [], array("d")
    before = time.perf_counter()
    for tokens_B in tokens:
        logits_BN, state = step(tokens_B, state)
        finish(on)
        logits.append(logits_BN)
        now = time.perf_counter()
        seconds.append(now - before)
        before = now
    return logits, state, seconds


def clock_seconds(*, on: torch.device) -> float:
    """Returns how much of the seconds of a step is the measuring's: the median of steps that do nothing."""
    _, _, seconds = stepped(lambda *both: both, torch.zeros(1, _CLOCK_READS, device=on), state=None, on=on)
    return float(np.median(seconds))


def _window(steps: OneByOne, pieces: InPieces, *, first: int, last: int) -> Window | None:
    """Returns a window's numbers, or None if one of the ways failed in it."""
    tokens_BT, stepped_BTN, seconds = steps.through(first, last)
    _, read_BTN, _ = pieces.through(first, last)
    if steps.failed or pieces.failed:
        return None
    warmup = steps.stream.warmup
    return Window(
        first=first,
        warmup_seconds=sum(seconds[:warmup]),
        seconds=dict(zip(QUANTILES, np.quantile(seconds[warmup:], QUANTILES).tolist(), strict=True)),
        deviation=_farthest(stepped_BTN, read_BTN),
        reset_deviation=_farthest(stepped_BTN, pieces.afresh(tokens_BT)),
    )


def _farthest(logits_BTN: Tensor, others_BTN: Tensor) -> float:
    """Returns the largest difference of a log-probability: in float64, one position after the other, as they may be large."""
    both = zip(logits_BTN.unbind(1), others_BTN.unbind(1), strict=True)
    return max(
        (a_BN.double().log_softmax(-1) - b_BN.double().log_softmax(-1)).abs().max().item() for a_BN, b_BN in both
    )


def _held_bytes(steps: OneByOne, pieces: InPieces) -> int:
    """Returns the memory held now beside the states."""
    release(steps.on)
    return used_bytes(steps.on) - state_bytes(steps.state) - state_bytes(pieces.state)
