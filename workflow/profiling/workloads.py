"""A phase of a network, or of its first mixer alone, ready to be called again and again."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.mixer import State, state_bytes
from workflow.evaluation import autocast
from workflow.runs import OptimizerSpec, ProfilingRun
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


class Subject(NamedTuple):
    """What is profiled and what it reads: a network and tokens_BT, or a mixer and x_BTW; one position more than `length`."""

    module: nn.Module
    inputs: Tensor
    tokens: bool

    def last(self, predicted: Tensor) -> Tensor:
        """Returns what is predicted after the last position, of what `prefill` returns: a mixer tells all positions."""
        return predicted if self.tokens else predicted[:, -1]

    def following(self, predicted: Tensor) -> Tensor:
        """Returns what is read next where what was predicted last is read on: the likeliest token, or the output itself."""
        return predicted.argmax(dim=-1) if self.tokens else predicted


class Workload(NamedTuple):
    """One phase. `held` tells the bytes of the tensors that stay between two calls, by what they are."""

    call: Callable[[], Tensor]
    held: Callable[[], dict[str, int]]


def subject_of(run: ProfilingRun, *, on: torch.device) -> Subject:
    """Returns the subject, its weights and what it reads drawn from a fixed seed."""
    torch.manual_seed(0)
    if run.subject == "network":
        network = run.network.build(run.vocabulary).to(on)
        return Subject(network, torch.randint(run.vocabulary, (run.batch, run.length + 1), device=on), True)
    mixer = run.network.mixer.at(0).build(run.network.width).to(on)
    return Subject(mixer, torch.randn(run.batch, run.length + 1, run.network.width, device=on), False)


def workload(run: ProfilingRun, *, on: torch.device) -> Workload:
    """Returns the phase.

    `train_step` labels every position, and of a mixer alone is its forward and backward; `forward` keeps no state; `prefill`
    starts from an empty state, made in the call, and tells the last position; `decode` takes one more token after `length`
    of them; `generate` prefills `length` tokens and then takes `new_tokens` one by one, each the likeliest.
    """
    subject = subject_of(run, on=on)
    if run.phase == "train_step":
        return _training(subject, run)
    subject.module.requires_grad_(False).eval()
    held = {"parameter_bytes": _bytes(subject.module.parameters())}
    if run.phase == "decode":
        return _decoding(subject, run, held)
    calls = {"forward": _forward, "prefill": _prefill, "generate": _generate}
    return Workload(calls[run.phase](subject, run), lambda: held)


def compiled(function: Callable[..., Any], run: ProfilingRun) -> Callable[..., Any]:
    """Returns the function as the run calls it."""
    return torch.compile(function) if run.compile else function


def _training(subject: Subject, run: ProfilingRun) -> Workload:
    module, inputs = subject.module, subject.inputs[:, :-1]
    forward = compiled(module, run)
    if not subject.tokens:
        x_BTW, gradient_BTW = inputs.clone().requires_grad_(), torch.randn_like(inputs)

        def both() -> Tensor:
            module.zero_grad()
            x_BTW.grad = None
            y_BTW = forward(x_BTW)
            y_BTW.backward(gradient_BTW.to(y_BTW.dtype))
            return x_BTW.grad

        return Workload(both, lambda: _held(module))
    optimizer, targets = adamw(module, _OPTIMIZER), subject.inputs[:, 1:].flatten()

    def step() -> Tensor:
        loss = F.cross_entropy(forward(inputs).flatten(0, 1).float(), targets)
        return descend(module, optimizer, loss, gradient_clip=_OPTIMIZER.gradient_clip)

    def held() -> dict[str, int]:
        moments = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
        return _held(module) | {"optimizer_bytes": _bytes(moments)}

    return Workload(step, held)


def _held(module: nn.Module) -> dict[str, int]:
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    return {"parameter_bytes": _bytes(module.parameters()), "gradient_bytes": _bytes(gradients)}


def _forward(subject: Subject, run: ProfilingRun) -> Callable[[], Tensor]:
    forward, inputs = compiled(subject.module, run), subject.inputs[:, :-1]
    return lambda: forward(inputs)


def _prefill(subject: Subject, run: ProfilingRun) -> Callable[[], Tensor]:
    prefill, inputs = compiled(subject.module.prefill, run), subject.inputs[:, :-1]
    return lambda: subject.last(prefill(inputs, subject.module.initial_state(run.batch, run.length))[0])


def _generate(subject: Subject, run: ProfilingRun) -> Callable[[], Tensor]:
    prefill, step = (compiled(function, run) for function in (subject.module.prefill, subject.module.step))
    inputs, new_tokens = subject.inputs[:, :-1], run.new_tokens or 0

    def call() -> Tensor:
        predicted, state = prefill(inputs, subject.module.initial_state(run.batch, run.length + new_tokens))
        predicted = subject.last(predicted)
        for _ in range(new_tokens):
            predicted, state = step(subject.following(predicted), state)
        return predicted

    return call


def _decoding(subject: Subject, run: ProfilingRun, held: dict[str, int]) -> Workload:
    state, step = _after_reading(subject, run), compiled(subject.module.step, run)

    def call() -> Tensor:
        nonlocal state
        predicted, state = step(subject.inputs[:, -1], state)
        return predicted

    return Workload(call, lambda: held | {"state_bytes": state_bytes(state)})


def _after_reading(subject: Subject, run: ProfilingRun) -> State:
    """Returns the state after `length` tokens, with room for all that a round decodes."""
    with torch.inference_mode(), autocast(subject.inputs.device, run.precision):
        room = subject.module.initial_state(run.batch, run.length + run.warmup + run.samples)
        return subject.module.prefill(subject.inputs[:, :-1], room)[1]


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
