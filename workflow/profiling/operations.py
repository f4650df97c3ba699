"""How many floating-point operations a call takes, counted on shapes: matrix products and convolutions."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from models.mixer import state_bytes
from workflow.profiling.gate import definition
from workflow.profiling.workloads import Subject, subject_of
from workflow.runs import ProfilingRun

_SHORT = 16  # tokens, after which a state that does not grow is like any later one
_META = torch.device("meta")


def flops(run: ProfilingRun) -> int | None:
    """Returns the operations of a call on the whole batch, None for `generate`.

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


def _on_shapes(run: ProfilingRun) -> Subject:
    with _META:
        return subject_of(run, on=_META)
