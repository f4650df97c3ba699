"""What is timed is compared with its definition, and what is wrong on purpose is seen."""

import pytest
import torch

from tests.models.rows import ARCHITECTURES, settings
from tests.workflow.test_profiling import CPU, MIXERS, PHASES, in_phase, run_of
from workflow.profiling import gate
from workflow.profiling.gate import deviation
from workflow.profiling.workloads import subject_of


def broken_subject(monkeypatch, break_it):
    """Makes the first subject of two, the timed one, wrong."""
    made = []

    def subject(run, *, on):
        found = subject_of(run, on=on)
        if not made:
            break_it(found.module)
        made.append(found)
        return found

    monkeypatch.setattr(gate, "subject_of", subject)


@pytest.mark.parametrize("phase", PHASES)
def test_a_wrong_output_is_seen(monkeypatch, phase):
    def louder(module):
        for name in ("forward", "prefill"):
            read = getattr(module, name)

            def wrong(*given, read=read):
                told = read(*given)
                return (1.01 * told[0], told[1]) if isinstance(told, tuple) else 1.01 * told

            setattr(module, name, wrong)

    broken_subject(monkeypatch, louder)
    assert deviation(in_phase(phase), on=CPU) > gate.ALLOWED["float32"]


@pytest.mark.parametrize("phase", ["decode", "generate"])
def test_a_wrong_state_is_seen(monkeypatch, phase):
    def forgetful(module):
        prefill = module.prefill
        module.prefill = lambda inputs, state: (prefill(inputs, state)[0], module.initial_state(len(inputs), 20))

    broken_subject(monkeypatch, forgetful)
    run = in_phase(phase, {"network.mixer": MIXERS[1]})
    assert deviation(run, on=CPU) > gate.ALLOWED["float32"]


def test_a_wrong_gradient_behind_right_outputs_is_seen(monkeypatch):
    def shortened(module):
        forward = module.forward
        module.forward = lambda inputs: (told := forward(inputs)) - 0.01 * (told - told.detach())

    broken_subject(monkeypatch, shortened)
    assert deviation(in_phase("train_step"), on=CPU) > gate.ALLOWED["float32"]
    assert deviation(in_phase("forward"), on=CPU) < 1e-5


def test_a_kernel_is_compared_with_the_readable_form():
    spec = run_of({"network.mixer": settings("mlstm", {"kernel": "fla", "key_dim": 16, "chunk": 64})}).network
    assert gate.definition(spec).mixer.kernel == "torch"
    native = ARCHITECTURES["llama"].model_dump(mode="json") | {"kernel": "flash"}
    network = {"block": "native", "width": 8, "depth": 2, "tied": True, "mixer": native}
    assert gate.definition(run_of({"network": network}).network).mixer.kernel == "math"


@pytest.mark.parametrize("phase", PHASES)
def test_what_is_compiled_is_compared_as_it_is_compiled(monkeypatch, phase):
    def miscompiled(function):
        def wrong(*given):
            told = function(*given)
            return (1.01 * told[0], told[1]) if isinstance(told, tuple) else 1.01 * told

        return wrong

    monkeypatch.setattr(torch, "compile", miscompiled)
    assert deviation(in_phase(phase, {"compile": True}), on=CPU) > gate.ALLOWED["float32"]
    assert deviation(in_phase(phase, {"compile": False}), on=CPU) < 1e-4
