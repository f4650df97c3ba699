"""What `models.mixer` asks of a mixer, tried on one of a reader's own. Those built in have tests/models/test_contract.py.

All is computed in float64 with weights as random as after training, so that equality needs no generous tolerance.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from models.mixer import MixerSpec, SequenceMixer, State, state_bytes, state_tensors

WIDTH = 64
_BATCH, _TIME = 2, 11

Check = Callable[[MixerSpec, int], str]  # a specification and a width -> what is wrong, or nothing


def broken(spec: MixerSpec, *, width: int = WIDTH) -> list[str]:
    """Returns what of the contract a mixer does not keep, a line each."""
    return [f"{name}: {problem}" for name, problem in checked(spec, width=width).items() if problem]


def checked(spec: MixerSpec, *, width: int = WIDTH) -> dict[str, str]:
    """Returns, by what is asked of a mixer, what is wrong with it, or nothing. torch's generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        built = _attempted(_built, spec, width)
        if built:
            return {"build": built}
        return {"build": ""} | {name: _attempted(check, spec, width) for name, check in _CHECKS.items()}


def _attempted(check: Check, spec: MixerSpec, width: int) -> str:
    try:
        return check(spec, width)
    except Exception as error:  # whatever a reader's code raises is what is wrong with it
        return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _built(spec: MixerSpec, width: int) -> str:
    mixer = spec.build(width)
    if not isinstance(mixer, SequenceMixer):
        return f"build returns a {type(mixer).__name__}, not a models.mixer.SequenceMixer"
    y_BTW = mixer(torch.zeros(_BATCH, _TIME, width))
    shape = tuple(y_BTW.shape) if isinstance(y_BTW, Tensor) else type(y_BTW).__name__
    return "" if shape == (_BATCH, _TIME, width) else f"forward returns {shape}, not y_BTW of the shape of x_BTW"


def _causal(spec: MixerSpec, width: int) -> str:
    mixer, x_BTW = _random(spec, width)
    y_BTW = mixer(x_BTW)
    for time in range(1, _TIME):
        changed_BTW = torch.cat([x_BTW[:, :time], x_BTW[:, time:] + 10 * torch.randn_like(x_BTW[:, time:])], dim=1)
        if not torch.equal(mixer(changed_BTW)[:, :time], y_BTW[:, :time]):
            return f"outputs before token {time} depend on the tokens from {time} on: y[:, t] may see x[:, :t+1] only"
    return ""


def _separate(spec: MixerSpec, width: int) -> str:
    mixer, x_BTW = _random(spec, width)
    return _differing(mixer(x_BTW)[:1], mixer(x_BTW[:1]), "what a sequence gives depends on the others of its batch")


def _prefilled(spec: MixerSpec, width: int) -> str:
    mixer, x_BTW = _random(spec, width)
    y_BTW, _ = mixer.prefill(x_BTW, mixer.initial_state(_BATCH, _TIME))
    return _differing(y_BTW, mixer(x_BTW), "prefill gives other outputs than forward")


def _stepped(spec: MixerSpec, width: int) -> str:
    mixer, x_BTW = _random(spec, width)
    y_BTW, _ = _one_by_one(mixer, x_BTW, mixer.initial_state(_BATCH, _TIME))
    return _differing(y_BTW, mixer(x_BTW), "steps from the initial state give other outputs than forward")


def _continued(spec: MixerSpec, width: int) -> str:
    mixer, x_BTW = _random(spec, width)
    early_BTW, state = mixer.prefill(x_BTW[:, :3], mixer.initial_state(_BATCH, _TIME))
    middle_BTW, state = mixer.prefill(x_BTW[:, 3:6], state)
    late_BTW, state = _one_by_one(mixer, x_BTW[:, 6:], state)
    found_BTW = torch.cat([early_BTW, middle_BTW, late_BTW], dim=1)
    wrong = _differing(found_BTW, mixer(x_BTW), "two prefills and steps after them give other outputs than forward")
    whole = mixer.prefill(x_BTW, mixer.initial_state(_BATCH, _TIME))[1]
    for one, other in zip(state_tensors(state), state_tensors(whole), strict=True):
        wrong = wrong or _differing(one, other, "the state after prefills and steps is not that after one prefill")
    return wrong


def _sized(spec: MixerSpec, width: int) -> str:
    def bytes_of(mixer: SequenceMixer, device: str) -> tuple[int, int]:
        before = mixer.initial_state(_BATCH, _TIME)
        stated = state_bytes(before)
        return stated, state_bytes(mixer.prefill(torch.zeros(_BATCH, _TIME, width, device=device), before)[1])

    with torch.device("meta"):
        planned = spec.build(width)
    (before, after), (foretold, _) = bytes_of(spec.build(width), "cpu"), bytes_of(planned, "meta")
    if before != after:
        return f"the initial state has {before} bytes, the state after a prefill {after}: they must be of one size"
    if before != foretold:
        return (
            f"the state has {before} bytes, but {foretold} on the meta device: take shapes and types from the weights"
        )
    return ""


def _counted(spec: MixerSpec, width: int) -> str:
    for time in (1, _TIME):
        mixer, x_BTW = _random(spec, width, time=time)
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            mixer(x_BTW[:1])
        stated, counted = mixer.flops(time), counter.get_total_flops()
        if stated != counted:
            return f"flops({time}) says {stated}, and PyTorch counts {counted} on one sequence of {time} tokens"
    return ""


def _trainable(spec: MixerSpec, width: int) -> str:
    mixer = spec.build(width)
    mixer(torch.randn(_BATCH, _TIME, width)).square().sum().backward()
    for name, parameter in mixer.named_parameters():
        if parameter.grad is None or not parameter.grad.isfinite().all():
            return f"{name} gets {'no' if parameter.grad is None else 'a gradient that is not a finite'} number"
    return ""


_CHECKS: dict[str, Check] = {
    "causal": _causal,
    "sequences apart": _separate,
    "forward = prefill": _prefilled,
    "forward = steps": _stepped,
    "prefill, then steps": _continued,
    "size of the state": _sized,
    "operations": _counted,
    "gradients": _trainable,
}


def _random(spec: MixerSpec, width: int, *, time: int = _TIME) -> tuple[SequenceMixer, Tensor]:
    torch.manual_seed(1)
    mixer = spec.build(width).double().requires_grad_(False)
    for parameter in mixer.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.5)
    return mixer, torch.randn(_BATCH, time, width, dtype=torch.float64)


def _one_by_one(mixer: SequenceMixer, x_BTW: Tensor, state: State) -> tuple[Tensor, State]:
    outputs = []
    for x_BW in x_BTW.unbind(1):
        y_BW, state = mixer.step(x_BW, state)
        outputs.append(y_BW)
    return torch.stack(outputs, dim=1), state


def _differing(found: Tensor, expected: Tensor, said: str) -> str:
    if found.shape != expected.shape:
        return f"{said}: their shapes are {tuple(found.shape)} and {tuple(expected.shape)}"
    if torch.allclose(found, expected, rtol=1e-9, atol=1e-10):
        return ""
    return f"{said}, by up to {(found - expected).abs().max().item():.2g}"
