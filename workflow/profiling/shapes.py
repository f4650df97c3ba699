"""What is known of a call before it is made: its floating-point operations, and bytes it cannot do without, counted on shapes."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from models.mixer import state_bytes
from workflow.profiling.gate import definition
from workflow.profiling.workloads import Subject, subject_of
from workflow.runs import ProfilingRun

_SHORT = 16  # tokens, after which a state that does not grow is like any later one
_META = torch.device("meta")


def flops(run: ProfilingRun) -> int | None:
    """Returns the matrix products and convolutions of a call on the whole batch, in operations; None for `generate`.

    Those of a forward pass are stated and tested (`SequenceMixer.flops`); a training step is counted as three of them, its
    backward pass being two; one token after many is counted by PyTorch as the definition takes it.
    """
    if run.phase == "generate":
        return None
    if run.phase == "decode":
        return _decoding(run.model_copy(update={"network": definition(run.network)}))
    return (3 if run.phase == "train_step" else 1) * run.batch * _on_shapes(run).module.flops(run.length)


def _decoding(run: ProfilingRun) -> int:
    few = run.model_copy(update={"length": min(run.length, _SHORT)})
    subject = _on_shapes(few)
    state = subject.module.initial_state(run.batch, few.length)
    if state_bytes(state) != state_bytes(subject.module.initial_state(run.batch, 2 * few.length)):
        subject = _on_shapes(run)
    with torch.inference_mode():
        inputs = subject.inputs
        _, state = subject.module.prefill(inputs[:, :-1], subject.module.initial_state(run.batch, inputs.shape[1]))
        with FlopCounterMode(display=False) as count:
            subject.module.step(inputs[:, -1], state)
    return count.get_total_flops()


def least_bytes(run: ProfilingRun) -> int:
    """Returns bytes that the phase cannot do without: weights, state or predictions, and in training what goes with weights."""
    subject = _on_shapes(run)
    weights = 4 * sum(parameter.numel() for parameter in subject.module.parameters())
    if run.phase in ("decode", "generate", "stream"):
        with _META:
            return weights + state_bytes(subject.module.initial_state(run.batch, run.length))
    width = run.vocabulary if subject.tokens else run.network.width
    predicted = 4 * run.batch * run.length * width if run.phase != "prefill" else 0
    copies = (4 if subject.tokens else 2) if run.phase == "train_step" else 1  # gradients; of a network both moments
    return copies * weights + predicted


def _on_shapes(run: ProfilingRun) -> Subject:
    with _META:
        return subject_of(run, on=_META)
