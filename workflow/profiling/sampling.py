"""What one process measures of a point: samples of time in one, memory in another, with one thread."""

import math
import time
from typing import NamedTuple

import torch

from models.mixer import state_bytes
from workflow.evaluation import autocast
from workflow.memory import forget_peak, peak_bytes, used_bytes
from workflow.profiling.gate import deviation
from workflow.profiling.meters import Readings, ceilings, finish, watched
from workflow.profiling.shapes import flops
from workflow.profiling.streaming import Stream, streamed
from workflow.profiling.workloads import Workload, subject_of, workload
from workflow.provenance import device
from workflow.results import Measurement
from workflow.runs import ProfilingRun

_LEAST = 3  # samples of a point, whatever they take


class Samples(NamedTuple):
    """Seconds of every call of one round: those of the warm-up, with which compiling and tuning go, and those that count."""

    warmup: list[float]
    seconds: list[float]
    readings: Readings  # of the round
    once: Readings  # of the point, empty but in the first round


def checked(run: ProfilingRun) -> float:
    """Returns the deviation from the definition (see `gate`)."""
    return deviation(run, on=_ready())


def sampled(run: ProfilingRun, *, first: bool) -> Samples:
    """Returns a round's share of the samples, each call waited for, and in the first round what is counted once."""
    on = _ready()
    once = _once(run, on=on) if first else {}
    work = workload(run, on=on)
    warmup = [seconds_of_call(work, run, on=on) for _ in range(run.warmup)]
    most, least = math.ceil(run.samples / run.rounds), math.ceil(_LEAST / run.rounds)
    seconds: list[float] = []
    with watched(on) as readings:
        while len(seconds) < most and (len(seconds) < least or sum(seconds) < run.budget_seconds / run.rounds):
            seconds.append(seconds_of_call(work, run, on=on))
    if "joules" in readings:
        joules, _ = readings.pop("joules")
        readings["joules_per_token"] = (joules / (len(seconds) * tokens(run)), "J/token")
    return Samples(warmup, seconds, readings, once)


def _once(run: ProfilingRun, *, on: torch.device) -> Readings:
    """Returns what is counted, and measured beside the samples."""
    subject = subject_of(run, on=on)
    counted = flops(run)
    parameters = sum(parameter.numel() for parameter in subject.module.parameters())
    nothing = Workload(lambda: subject.inputs, dict)
    floor = sorted(seconds_of_call(nothing, run, on=on) for _ in range(20))[10]
    readings: Readings = {
        "tokens": (tokens(run), "token"),
        "parameters": (parameters, "1"),
        "floor_seconds": (floor, "s"),  # of a call that does nothing
    }
    return readings | ({"flops": (counted, "FLOP")} if counted is not None else {}) | ceilings(on, run.precision)


def tokens(run: ProfilingRun) -> int:
    """Returns how many tokens a call reads, or writes where it writes any."""
    return run.batch * {"decode": 1, "generate": run.new_tokens or 0}.get(run.phase, run.length)


def in_stream(run: ProfilingRun) -> list[Measurement]:
    """Returns what was measured along a stream of `length` tokens (see `streaming`)."""
    on = _ready()
    network = subject_of(run, on=on).module.requires_grad_(False).eval()
    window = min(1024, run.length // 4)
    stream = Stream(
        tokens=run.length,
        piece=min(256, window),
        window=window,
        warmup=min(16, window // 4),
        vocabulary=run.vocabulary,
        batch=run.batch,
    )
    return streamed(network, stream=stream, precision=run.precision, device=on)


def memory(run: ProfilingRun) -> dict[str, int]:
    """Returns the peak over the floor from before the subject was there, and what it is made of.

    `static_bytes` stay between calls: parameters, gradients, optimizer, and in decoding the state. `activation_bytes` are
    what is left of the peak; of decoding, what a call adds to the memory held, as reading so far has left some behind.
    `state_bytes` is the state's size at `length` tokens, in any phase.
    """
    on = _ready()
    small = run.model_copy(update={"length": min(run.length, 8)})
    seconds_of_call(workload(small, on=on), small, on=on)  # pages in the code, which is not the subject's memory
    forget_peak(on)
    floor = used_bytes(on)
    work = workload(run, on=on)
    seconds_of_call(work, run, on=on)  # the first training step makes the optimizer's moments
    forget_peak(on)
    before = used_bytes(on)
    seconds_of_call(work, run, on=on)
    held = work.held()
    static = sum(held.values())
    peak = peak_bytes(on) - (before - static if run.phase == "decode" else floor)
    parts = held | {"static_bytes": static, "peak_bytes": peak, "activation_bytes": max(peak - static, 0)}
    del work
    state = subject_of(run, on=on).module.initial_state(run.batch, run.length)
    return parts | {"state_bytes": state_bytes(state)}


def seconds_of_call(work: Workload, run: ProfilingRun, *, on: torch.device) -> float:
    """Calls the phase, waits for it and returns what that took."""
    with torch.inference_mode(mode=run.phase != "train_step"), autocast(on, run.precision):
        started = time.perf_counter()
        work.call()
        finish(on)
        return time.perf_counter() - started


def _ready() -> torch.device:
    torch.set_num_threads(1)
    return device()
