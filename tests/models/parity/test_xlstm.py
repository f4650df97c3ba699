"""The first xLSTM's blocks against the authors' package xlstm 2.0.6, with sLSTM in its form without CUDA, in float64.

Both add an epsilon to mLSTM's normaliser where it is scaled by exp(-m). In the official parallel form m is another than in
its steps, which therefore differ by about 1e-6; all our forms have that of the steps, and take it as a constant to the
gradient. With the epsilon at 0 on both sides nothing but the order of sums is left to tell them apart.
"""

import re
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from xlstm import (
    FeedForwardConfig,
    mLSTMBlockConfig,
    mLSTMLayerConfig,
    sLSTMBlockConfig,
    sLSTMLayerConfig,
    xLSTMLMModel,
    xLSTMLMModelConfig,
)
from xlstm.blocks.mlstm.backends import parallel_stabilized_simple, recurrent_step_stabilized_simple

import models.mlstm_cell
from models.native.xlstm import XLSTMSpec
from models.network import NativeNetworkSpec, Network
from tests.models.rows import MLSTM_GATES
from tests.models.weights import perturbed

WIDTH, HEADS, VOCABULARY, BATCH, TIME = 32, 4, 13, 2, 11
INNER = FEEDFORWARD = 64  # 2 * width, and 1.3 * width up to a multiple of 64


class Case(NamedTuple):
    slstm_at: tuple[int, ...]
    chunk: int
    convolution: int  # of sLSTM: the official mLSTM cannot do without
    lstm: bool  # the official sLSTM layer around the cell of an LSTM
    tied: bool


CASES = [
    Case((), chunk=TIME, convolution=4, lstm=False, tied=False),
    Case((), chunk=4, convolution=4, lstm=False, tied=True),
    Case((0, 1), chunk=4, convolution=4, lstm=False, tied=False),
    Case((0, 1), chunk=4, convolution=0, lstm=False, tied=True),
    Case((0, 1), chunk=4, convolution=4, lstm=True, tied=False),
    Case((1,), chunk=4, convolution=4, lstm=False, tied=False),
    Case((0,), chunk=TIME, convolution=0, lstm=True, tied=False),
]

every_case = pytest.mark.parametrize("case", CASES, ids=str)


@pytest.fixture
def _no_epsilon(monkeypatch):
    monkeypatch.setattr(models.mlstm_cell, "EPSILON", 0.0)


def spec(case: Case, *, depth: int) -> XLSTMSpec:
    mlstms, slstms = depth - len(case.slstm_at), len(case.slstm_at)
    mlstm = {
        "heads": HEADS,
        "inner": 2 * WIDTH,
        "convolution": 4,
        "block": 4,
        "gates": MLSTM_GATES,
        "chunk": case.chunk,
        "kernel": "torch",
    }
    slstm = {
        "heads": HEADS,
        "convolution": case.convolution,
        "recurrent_init": "normal",
        "input_gate": "sigmoid" if case.lstm else "exp",
        "readout": "tanh" if case.lstm else "normalised",
        "feedforward": FEEDFORWARD,
        "kernel": "torch",
    }
    shares = {(2, 0): "1:0", (0, 2): "0:1"}.get((mlstms, slstms), f"{mlstms}:{slstms}")
    return XLSTMSpec(
        name="xlstm",
        stack=f"xlstm[{shares}]",
        slstm_at=case.slstm_at,
        mlstm=mlstm if mlstms else None,
        slstm=slstm if slstms else None,
    )


def ours(case: Case, *, depth: int = 2) -> Network:
    network = NativeNetworkSpec(block="native", width=WIDTH, depth=depth, tied=case.tied, mixer=spec(case, depth=depth))
    return network.build(VOCABULARY)


def theirs(case: Case, *, depth: int = 2) -> xLSTMLMModel:
    slstm = sLSTMLayerConfig(
        backend="vanilla",
        function="lstm" if case.lstm else "slstm",
        num_heads=HEADS,
        conv1d_kernel_size=case.convolution,
        dtype="float32",
    )
    config = xLSTMLMModelConfig(
        vocab_size=VOCABULARY,
        mlstm_block=mLSTMBlockConfig(mlstm=mLSTMLayerConfig(num_heads=HEADS)),
        slstm_block=sLSTMBlockConfig(slstm=slstm, feedforward=FeedForwardConfig(proj_factor=1.3)),
        context_length=TIME,
        num_blocks=depth,
        embedding_dim=WIDTH,
        slstm_at=list(case.slstm_at),
        tie_weights=case.tied,
    )
    model = xLSTMLMModel(config)
    model.reset_parameters()  # which its constructor leaves out
    return model


def as_ours(theirs: dict[str, Tensor], *, one: float) -> dict[str, Tensor]:
    """The official parameters under our names. `one` is what their norms add to theirs: 1, or 0 for gradients."""
    stack = "xlstm_block_stack."
    found = {
        "embedding.weight": theirs["token_embedding.weight"],
        "norm.weight": one + theirs[stack + "post_blocks_norm.weight"],
    }
    if "lm_head.weight" in theirs:
        found["head.weight"] = theirs["lm_head.weight"]
    for index in sorted({int(i) for name in theirs for i in re.findall(r"blocks\.(\d+)\.", name)}):
        prefix = f"{stack}blocks.{index}."
        block = {name.removeprefix(prefix): value for name, value in theirs.items() if name.startswith(prefix)}
        layer = {name.removeprefix("xlstm."): value for name, value in block.items() if name.startswith("xlstm.")}
        mixer = mlstm_as_ours(layer, one=one) if "proj_up.weight" in layer else slstm_as_ours(layer, one=one)
        if "conv1d.conv.weight" in layer:
            mixer["convolution.weight"] = layer["conv1d.conv.weight"][:, 0]
            mixer["convolution.bias"] = layer["conv1d.conv.bias"]
        found |= {f"blocks.{index}.mixer.{name}": value for name, value in mixer.items()}
        found[f"blocks.{index}.mixer_norm.weight"] = one + block["xlstm_norm.weight"]
        if "ffn.proj_up.weight" in block:
            found[f"blocks.{index}.feedforward_norm.weight"] = one + block["ffn_norm.weight"]
            found[f"blocks.{index}.feedforward.gate_and_in.weight"] = block["ffn.proj_up.weight"]
            found[f"blocks.{index}.feedforward.out.weight"] = block["ffn.proj_down.weight"]
    return found


def mlstm_as_ours(layer: dict[str, Tensor], *, one: float) -> dict[str, Tensor]:
    return {
        "up.weight": layer["proj_up.weight"],
        "qkv_NVV": torch.cat([layer[f"{name}_proj.weight"] for name in "qkv"]),
        "gates.input.weight": layer["mlstm_cell.igate.weight"],
        "gates.input.bias": layer["mlstm_cell.igate.bias"],
        "gates.forget.weight": layer["mlstm_cell.fgate.weight"],
        "gates.forget.bias": layer["mlstm_cell.fgate.bias"],
        "norm.weight": one + layer["mlstm_cell.outnorm.weight"],
        "skip": layer["learnable_skip"],
        "down.weight": layer["proj_down.weight"],
    }


def slstm_as_ours(layer: dict[str, Tensor], *, one: float) -> dict[str, Tensor]:
    return {
        # The released layer calls the input gate's weights fgate and the forget gate's igate (issue 98); the cell, from which
        # the bias and the recurrence come, has the names right.
        "if_HVG": torch.cat([layer["fgate.weight"], layer["igate.weight"]], dim=1).mT,
        "zo_HVG": torch.cat([layer["zgate.weight"], layer["ogate.weight"]], dim=1).mT,
        "bias": layer["slstm_cell._bias_"].view(4, HEADS, -1).transpose(0, 1).flatten(),
        "cell.recurrence_HGV": layer["slstm_cell._recurrent_kernel_"],
        "norm.weight": one + layer["group_norm.weight"],
    }


def parameters(model: nn.Module) -> dict[str, Tensor]:
    return dict(model.named_parameters())


def pair(case: Case, *, epsilon: float) -> tuple[Network, xLSTMLMModel]:
    """Both in float64, with the same weights, as random as after training."""
    torch.manual_seed(1)
    network, official = ours(case).double(), theirs(case).double()
    perturbed(official, deviation=0.2)
    with torch.no_grad():
        weights = as_ours({name: value.detach() for name, value in official.named_parameters()}, one=1.0)
        assert set(weights) == set(parameters(network))
        for name, parameter in network.named_parameters():
            parameter.copy_(weights[name])
    for block in official.xlstm_block_stack.blocks:
        if hasattr(block.xlstm, "mlstm_cell"):
            block.xlstm.mlstm_cell.backend_fn = partial(parallel_stabilized_simple, eps=epsilon)
            block.xlstm.mlstm_cell.backend_fn_step = partial(recurrent_step_stabilized_simple, eps=epsilon)
    return network, official


def tokens() -> Tensor:
    return torch.randint(VOCABULARY, (BATCH, TIME), generator=torch.Generator().manual_seed(2))


def assert_same(found: Any, expected: Any, *, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@every_case
@pytest.mark.usefixtures("_no_epsilon")
def test_logits_and_gradients_are_the_official_ones(case):
    network, official = pair(case, epsilon=0.0)
    found_BTN, expected_BTN = network(tokens()), official(tokens())
    assert_same(found_BTN, expected_BTN)
    weights_BTN = torch.randn_like(expected_BTN)
    (found_BTN * weights_BTN).sum().backward()
    (expected_BTN * weights_BTN).sum().backward()
    expected = as_ours({name: value.grad for name, value in official.named_parameters()}, one=0.0)
    for name, parameter in network.named_parameters():
        assert_same(parameter.grad, expected[name])


@every_case
@pytest.mark.usefixtures("_no_epsilon")
def test_prefill_and_steps_give_the_official_logits(case):
    network, official = pair(case, epsilon=0.0)
    prompt, theirs_state = 5, None
    with torch.no_grad():
        expected_BTN = official(tokens())
        logits_BN, state = network.prefill(tokens()[:, :prompt], network.initial_state(BATCH, TIME))
        assert_same(logits_BN, expected_BTN[:, prompt - 1])
        for time, token_B in enumerate(tokens().unbind(1)):
            step_B1N, theirs_state = official.step(token_B[:, None], theirs_state)
            if time >= prompt:
                logits_BN, state = network.step(token_B, state)
                assert_same(logits_BN, expected_BTN[:, time])
                assert_same(logits_BN, step_B1N[:, 0])


@pytest.mark.parametrize("chunk", [TIME, 4])
def test_with_the_published_epsilon_logits_are_those_of_the_official_steps(chunk):
    network, official = pair(CASES[5]._replace(chunk=chunk), epsilon=1e-6)
    steps, state = [], None
    with torch.no_grad():
        for token_B in tokens().unbind(1):
            logits_B1N, state = official.step(token_B[:, None], state)
            steps.append(logits_B1N)
        found_BTN = network(tokens())
        assert_same(found_BTN, torch.cat(steps, dim=1))
        assert_same(found_BTN, official(tokens()), tolerance=1e-5)


@every_case
@pytest.mark.usefixtures("_no_epsilon")
def test_each_block_alone_is_the_official_one(case):
    network, official = pair(case, epsilon=0.0)
    x_BTW = torch.randn(BATCH, TIME, WIDTH, dtype=torch.float64)
    for ours_block, theirs_block in zip(network.blocks, official.xlstm_block_stack.blocks, strict=True):
        assert_same(ours_block(x_BTW), theirs_block(x_BTW))


def test_weights_start_as_the_official_ones():
    """The same constants, and random weights of the same size, but for sLSTM's recurrence: the official one starts at 0."""
    torch.manual_seed(3)
    case, depth = Case((1, 4), chunk=4, convolution=4, lstm=False, tied=False), 5
    found, expected = parameters(ours(case, depth=depth)), parameters(theirs(case, depth=depth))
    expected = as_ours(expected, one=1.0)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if "recurrence" in name:
            assert found[name].std().item() == pytest.approx((WIDTH / HEADS) ** -0.5, rel=0.1)
        elif value.std() == 0 or name.endswith((".forget.bias", "mixer.bias")):
            assert_same(found[name], value, tolerance=1e-6)
        else:
            error = 4 * value.numel() ** -0.5  # four standard deviations of a ratio of two standard deviations
            assert (found[name].std() / value.std()).item() == pytest.approx(1, abs=error), name
            assert abs(found[name].mean().item()) < error * value.std().item()
    assert found["blocks.1.mixer.bias"].tolist() != found["blocks.4.mixer.bias"].tolist()


def test_a_model_has_as_many_parameters_as_the_official_one():
    for case in CASES:
        found, expected = (sum(p.numel() for p in model(case).parameters()) for model in (ours, theirs))
        assert found == expected


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"stack": "xlstm[7:1]"}, r"depth=2 with 1 sLSTM blocks is no xlstm\[7:1\]: write xlstm\[1:1\]"),
        ({"stack": "xlstm[2:2]"}, r"not in lowest terms: write xlstm\[1:1\]"),
        ({"stack": "xlstm[0:0]"}, r"not in lowest terms: write xlstm\[1:0\]"),
        ({"stack": "xlstm(1:1)"}, "stack"),
        ({"stack": "xlstm[1:0]"}, "has no slstm blocks: make slstm null"),
        ({"slstm": None}, "has slstm blocks: describe them in slstm"),
        ({"slstm_at": (2,)}, r"slstm_at \(2,\) goes beyond depth=2: its indices run from 0 to 1"),
        ({"slstm_at": (1, 0)}, "sort it, each index once"),
        ({"slstm_at": (0, 1)}, r"depth=2 with 2 sLSTM blocks is no xlstm\[1:1\]: write xlstm\[0:1\]"),
        ({"slstm_at": ()}, r"depth=2 with 0 sLSTM blocks is no xlstm\[1:1\]: write xlstm\[1:0\]"),
    ],
    ids=str,
)
def test_a_stack_that_is_not_what_it_says_is_refused_with_its_remedy(changes, sentence):
    fields = spec(CASES[5], depth=2).model_dump() | changes
    with pytest.raises(ValidationError, match=sentence):
        NativeNetworkSpec(block="native", width=WIDTH, depth=2, tied=False, mixer=fields)


@pytest.mark.parametrize(
    ("part", "changes", "sentence"),
    [
        ("mlstm", {"inner": 66}, "inner=66 over heads=4: make inner a multiple of heads, twice or more"),
        ("mlstm", {"inner": 4, "block": 1}, "inner=4 over heads=4"),
        ("mlstm", {"block": 7}, "inner=64 is not divisible by block=7: make inner a multiple of block"),
        ("slstm", {"heads": 3}, "width=32 is not divisible by heads=3"),
        ("slstm", {"heads": 32}, "leaves heads=32 one channel each"),
        ("slstm", {"readout": "tanh"}, "take input_gate sigmoid, or readout normalised"),
    ],
    ids=str,
)
def test_a_block_that_cannot_be_built_is_refused_with_its_remedy(part, changes, sentence):
    fields = spec(CASES[5], depth=2).model_dump()
    fields[part] |= changes
    with pytest.raises(ValidationError, match=sentence):
        NativeNetworkSpec(block="native", width=WIDTH, depth=2, tied=False, mixer=fields)
