"""ProfilingRun -> Result: time and memory of one phase. By hand: `python -m workflow.profiling results/runs/<id> ...`.

Time and memory are taken in separate passes, on a CPU each in a process of its own, always with one thread.
"""

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from models.mixer import state_bytes
from models.network import Network
from workflow.evaluation import autocast
from workflow.isolation import Answer, attempt, in_process
from workflow.memory import forget_peak, peak_bytes, used_bytes
from workflow.provenance import device
from workflow.results import Measurement, Outcome
from workflow.runs import OptimizerSpec, ProfilingRun
from workflow.serving import Desk, main, one_by_one
from workflow.training.optimizer import adamw, descend

# A step's cost does not depend on these numbers, but taking one needs them.
_OPTIMIZER = OptimizerSpec(
    learning_rate=1e-3,
    final_rate=0.1,
    warmup_steps=0,
    steps=1,
    until=None,
    batch_size=1,
    weight_decay=0.1,
    beta2=0.95,
    gradient_clip=1.0,
)


class Workload(NamedTuple):
    """One phase, ready to be called again and again. `static_bytes` counts the tensors that stay between two calls."""

    call: Callable[[], Tensor]
    static_bytes: Callable[[], int]


def profile(run: ProfilingRun) -> Outcome:
    """Returns every time sample, the peak memory, and what was counted; a point that does not fit is a status."""
    timed = _apart(sampled_seconds, run)
    if timed.status != "finished":
        return Outcome(timed.status, timed.detail, ())
    weighed = _apart(memory, run)
    if weighed.status != "finished":
        return Outcome(weighed.status, weighed.detail, ())
    network = run.network.build(run.vocabulary)
    tokens = run.batch if run.phase == "decode" else run.batch * run.length
    rows = [Measurement(name="seconds", value=value, unit="s", at={"sample": i}) for i, value in enumerate(timed.value)]
    rows += [Measurement(name=name, value=value, unit="B") for name, value in weighed.value.items()]
    rows += [
        Measurement(name="tokens", value=tokens, unit="token"),
        Measurement(name="flops", value=run.batch * network.flops(run.length), unit="FLOP"),
        Measurement(name="parameters", value=sum(parameter.numel() for parameter in network.parameters()), unit="1"),
    ]
    return Outcome("finished", "", tuple(rows))


def workload(run: ProfilingRun, *, on: torch.device) -> Workload:
    """Returns the phase of a freshly seeded network on random tokens.

    `train_step` labels every position; `prefill` starts from an empty state, made in the call; `decode` takes one more
    token after `length` of them.
    """
    torch.manual_seed(0)
    network = run.network.build(run.vocabulary).to(on)
    tokens_BT = torch.randint(run.vocabulary, (run.batch, run.length + 1), device=on)
    if run.phase == "train_step":
        return _training(network, run, inputs_BT=tokens_BT[:, :-1], targets_BT=tokens_BT[:, 1:])
    network.requires_grad_(False).eval()
    parameters = _bytes(network.parameters())
    if run.phase == "forward":
        return Workload(lambda: network(tokens_BT[:, :-1]), lambda: parameters)
    if run.phase == "prefill":
        return Workload(
            lambda: network.prefill(tokens_BT[:, :-1], network.initial_state(run.batch, run.length))[0],
            lambda: parameters,
        )
    return _decoding(network, run, tokens_BT=tokens_BT)


def _training(network: Network, run: ProfilingRun, *, inputs_BT: Tensor, targets_BT: Tensor) -> Workload:
    optimizer = adamw(network, _OPTIMIZER)

    def call() -> Tensor:
        logits_BTN = network(inputs_BT)
        loss = F.cross_entropy(logits_BTN.flatten(0, 1).float(), targets_BT.flatten())
        return descend(network, optimizer, loss, gradient_clip=_OPTIMIZER.gradient_clip)

    def static() -> int:
        parameters = list(network.parameters())
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        moments = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
        return _bytes(parameters) + _bytes(gradients) + _bytes(moments)

    return Workload(call, static)


def _decoding(network: Network, run: ProfilingRun, *, tokens_BT: Tensor) -> Workload:
    calls = run.warmup + run.samples
    with torch.inference_mode(), autocast(tokens_BT.device, run.precision):
        _, state = network.prefill(tokens_BT[:, :-1], network.initial_state(run.batch, run.length + calls))

    def call() -> Tensor:
        nonlocal state
        logits_BN, state = network.step(tokens_BT[:, -1], state)
        return logits_BN

    return Workload(call, lambda: _bytes(network.parameters()) + state_bytes(state))


def sampled_seconds(run: ProfilingRun) -> list[float]:
    """Returns the seconds of each call after the warm-up, each waited for."""
    on = _ready()
    work = workload(run, on=on)
    for _ in range(run.warmup):
        _called(work, run, on=on)
    samples: list[float] = []
    while len(samples) < run.samples and (len(samples) < 3 or sum(samples) < run.budget_seconds):
        started = time.perf_counter()
        _called(work, run, on=on)
        samples.append(time.perf_counter() - started)
    return samples


def memory(run: ProfilingRun) -> dict[str, int]:
    """Returns the peak over the floor from before the network was there, what of it stays between calls, and the state."""
    on = _ready()
    small = run.model_copy(update={"length": min(run.length, 8)})
    _called(workload(small, on=on), small, on=on)  # pages in the code, which is not the network's memory
    forget_peak(on)
    floor = used_bytes(on)
    work = workload(run, on=on)
    _called(work, run, on=on)  # the first training step makes the optimizer's moments
    forget_peak(on)
    _called(work, run, on=on)
    peak = peak_bytes(on) - floor
    state = run.network.build(run.vocabulary).initial_state(run.batch, run.length)
    return {"peak_bytes": peak, "static_bytes": work.static_bytes(), "state_bytes": state_bytes(state)}


def _called(work: Workload, run: ProfilingRun, *, on: torch.device) -> None:
    """Calls the phase and waits for it."""
    with torch.inference_mode(mode=run.phase != "train_step"), autocast(on, run.precision):
        work.call()
    if on.type == "cuda":
        torch.cuda.synchronize(on)


def _ready() -> torch.device:
    torch.set_num_threads(1)
    return device()


def _apart(function: Callable[[ProfilingRun], object], run: ProfilingRun) -> Answer:
    """Returns what the function gives: in its own process on a CPU; on CUDA here, where the allocator tells the peak."""
    if device().type == "cuda":
        return attempt(function, run)
    return in_process(function, run, timeout_seconds=run.timeout_seconds)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def execute(desk: Desk) -> Outcome:
    desk.watch(0, 0.0, [])
    return profile(desk.run)


if __name__ == "__main__":
    main(ProfilingRun, one_by_one(execute))
