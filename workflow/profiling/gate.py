"""Whether what is timed computes what its definition does: no speed is told of a kernel that is wrong here."""

import json

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from models.network import NetworkSpec
from workflow.evaluation import autocast
from workflow.profiling.workloads import Subject, compiled, subject_of
from workflow.runs import ProfilingRun

# Of the largest number compared. Rounding to bfloat16 leaves 2^-8 of every number, several layers more.
ALLOWED = {"float32": 1e-3, "bfloat16": 0.1}
_LENGTH = 64  # of what is compared, at most
_STEPS = 4  # of one token each

_NETWORK: TypeAdapter[NetworkSpec] = TypeAdapter(NetworkSpec)


def deviation(run: ProfilingRun, *, on: torch.device) -> float:
    """Returns the largest difference between what the phase computes and what the definition does, in float32.

    It is told as a share of the largest number there is, over at most 64 tokens: of outputs and, of a training step, of every
    gradient. `decode`, `generate` and `stream` are compared with the definition's forward pass, so a wrong state is seen.
    """
    run = run.model_copy(update={"length": min(run.length, _LENGTH)})
    timed, defined = (
        subject_of(run, on=on),
        subject_of(run.model_copy(update={"network": definition(run.network)}), on=on),
    )
    defined.module.load_state_dict(timed.module.state_dict())
    if run.phase == "train_step":
        mine, theirs = _gradients(timed, run), _gradients(defined, _exact(run))
        least = 0.01 * max(gradient.abs().max().item() for gradient in theirs)  # of some, only rounding is left
        return max(_share(one, other, least=least) for one, other in zip(mine, theirs, strict=True))
    with torch.inference_mode():
        with autocast(on, run.precision):
            mine = _read(timed, run)
        theirs = defined.module(defined.inputs[:, :-1])[:, -mine.shape[1] :]
        return _share(mine.float(), theirs, least=0.0)


def definition(spec: NetworkSpec) -> NetworkSpec:
    """Returns the network whose every kernel is the readable form."""

    def plain(node: object) -> object:
        if isinstance(node, list):
            return [plain(part) for part in node]
        if not isinstance(node, dict):
            return node
        readable = "math" if node.get("name") in ("attention", "llama") else "torch"
        return {name: readable if name == "kernel" else plain(part) for name, part in node.items()}

    return _NETWORK.validate_json(json.dumps(plain(spec.model_dump(mode="json"))))


def _exact(run: ProfilingRun) -> ProfilingRun:
    return run.model_copy(update={"precision": "float32", "compile": False})


def _read(subject: Subject, run: ProfilingRun) -> Tensor:
    """Returns what is predicted at the last positions but one, as the phase reads them."""
    inputs = subject.inputs[:, :-1]
    if run.phase == "forward":
        return compiled(subject.module, run)(inputs)
    prefill, step = (compiled(function, run) for function in (subject.module.prefill, subject.module.step))
    stepped = min(_STEPS, run.length - 1) if run.phase in ("decode", "generate", "stream") else 0
    first = inputs.shape[1] - stepped
    predicted, state = prefill(inputs[:, :first], subject.module.initial_state(run.batch, run.length))
    read = [subject.last(predicted)]
    for place in range(first, inputs.shape[1]):
        predicted, state = step(inputs[:, place], state)
        read.append(predicted)
    return torch.stack(read, dim=1)


def _gradients(subject: Subject, run: ProfilingRun) -> list[Tensor]:
    """Returns the gradients of one number that depends on every output, in float32."""
    with autocast(subject.inputs.device, run.precision):
        outputs = compiled(subject.module, run)(subject.inputs[:, :-1])
    torch.manual_seed(1)
    (outputs.float() * torch.randn(outputs.shape, device=outputs.device)).sum().backward()
    return [parameter.grad.float() for parameter in _trained(subject.module)]


def _trained(module: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in module.parameters() if parameter.grad is not None]


def _share(mine: Tensor, theirs: Tensor, *, least: float) -> float:
    """Returns the largest difference over the largest number, or over `least`; infinite where not all is finite."""
    if not (mine.isfinite().all() and theirs.isfinite().all()):
        return float("inf")
    difference, largest = (mine - theirs).abs().max().item(), max(theirs.abs().max().item(), least)
    return difference / largest if difference else 0.0
