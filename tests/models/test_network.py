"""The network around the mixers, and what its specification refuses."""

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import models.slstm_cell
from models.mixer import state_tensors
from models.network import NativeNetworkSpec, Network, NetworkSpec, SharedNetworkSpec
from models.slstm_cell import Scan
from tests.models.rows import ARCHITECTURES, MIXERS

VOCABULARY, TIME, DEPTH = 11, 9, 2
SHARED: dict[str, Any] = {
    "block": "shared",
    "width": 8,
    "depth": DEPTH,
    "positions": 0,
    "convolution": 3,
    "feedforward": 12,
    "mixer": MIXERS["attention"],
}
NATIVE: dict[str, Any] = {"block": "native", "width": 8, "depth": DEPTH, "tied": False}
SPECS: dict[str, SharedNetworkSpec | NativeNetworkSpec] = {
    **{f"{name}-shared": SharedNetworkSpec(**SHARED | {"mixer": mixer}) for name, mixer in MIXERS.items()},
    **{
        f"{name}-native": NativeNetworkSpec(**NATIVE, mixer=architecture)
        for name, architecture in ARCHITECTURES.items()
    },
    "bare-shared": SharedNetworkSpec(**SHARED | {"convolution": 0, "feedforward": 0}),
    "positions-shared": SharedNetworkSpec(**SHARED | {"positions": TIME + 1}),
    "hybrid-shared": SharedNetworkSpec(
        **SHARED | {"mixer": {"name": "hybrid", "pattern": (MIXERS["slstm"], MIXERS["attention"])}}
    ),
    "hybrid-native": NativeNetworkSpec(
        **NATIVE, mixer={"name": "hybrid", "pattern": (ARCHITECTURES["llama"], ARCHITECTURES["llama"])}
    ),
    "tied-native": NativeNetworkSpec(**NATIVE | {"tied": True}, mixer=ARCHITECTURES["llama"]),
}

every_network = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
every_mixer = pytest.mark.parametrize("mixer", MIXERS.values(), ids=MIXERS)


def built(spec: SharedNetworkSpec | NativeNetworkSpec) -> Network:
    torch.manual_seed(3)
    return spec.build(VOCABULARY)


def network(**changes: object) -> Network:
    return built(SharedNetworkSpec(**SHARED | changes))


def tokens() -> torch.Tensor:
    return torch.randint(0, VOCABULARY, (2, TIME), generator=torch.Generator().manual_seed(4))


@every_network
def test_logits_are_the_head_of_the_features(spec):
    model = built(spec)
    assert torch.equal(model(tokens()), model.head(model.features(tokens())))


@every_network
def test_prefill_and_steps_give_the_logits_of_forward(spec):
    model = built(spec).double()
    with torch.no_grad():
        expected_BTN = model(tokens())
        logits_BN, state = model.prefill(tokens()[:, :4], model.initial_state(2, TIME))
        torch.testing.assert_close(logits_BN, expected_BTN[:, 3])
        for time in range(4, TIME):
            logits_BN, state = model.step(tokens()[:, time], state)
            torch.testing.assert_close(logits_BN, expected_BTN[:, time])


@every_network
def test_stated_flops_are_those_counted(spec):
    model = built(spec).double()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(tokens()[:1])
    assert model.flops(TIME) == counter.get_total_flops()


@every_network
def test_bfloat16_autocast_trains_and_decodes(spec):
    model = built(spec)
    expected_BTN = model(tokens()).detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits_BTN = model(tokens())
        torch.nn.functional.cross_entropy(logits_BTN.flatten(0, 1).float(), tokens().flatten()).backward()
        _, state = model.prefill(tokens(), model.initial_state(2, TIME + 1))
        logits_BN, state = model.step(tokens()[:, 0], state)
    assert (logits_BTN.float() - expected_BTN).norm() < 0.1 * expected_BTN.norm()
    assert logits_BN.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    assert len(state_tensors(state)) >= DEPTH


@every_network
def test_a_spec_survives_its_json(spec):
    assert TypeAdapter(NetworkSpec).validate_json(spec.model_dump_json()) == spec


def test_parameters_are_as_many_as_counted_by_hand():
    block = 8 + 8 * 3 + (8 * 24 + 8 * 8) + 8 + (8 * 24 + 12 * 8)  # norm, convolution, attention, norm, SwiGLU
    assert network().parameter_count() == 11 * 8 + 2 * block + 8 + 8 * 11


@every_network
def test_weights_follow_the_seed_and_nothing_else(spec):
    first, second = built(spec).state_dict(), built(spec).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    torch.manual_seed(5)
    assert not torch.equal(first["head.weight"], spec.build(VOCABULARY).state_dict()["head.weight"])


def test_a_tied_head_has_the_embedding_s_weights():
    model, untied = built(SPECS["tied-native"]), built(SPECS["llama-native"])
    assert model.head.weight is model.embedding.weight
    assert model.parameter_count() == untied.parameter_count() - VOCABULARY * 8


def test_a_hybrid_repeats_its_pattern():
    spec = SharedNetworkSpec(
        **SHARED | {"depth": 5, "mixer": {"name": "hybrid", "pattern": (MIXERS["slstm"], MIXERS["attention"])}}
    )
    inner = [type(block.mixer.inner).__name__ for block in built(spec).blocks]
    assert inner == ["SLSTM", "Attention", "SLSTM", "Attention", "SLSTM"]


def test_a_token_beyond_the_last_position_is_refused():
    model = built(SPECS["positions-shared"])
    with pytest.raises(ValueError, match=r"token 11 has no position: raise network.positions from 10"):
        model(torch.zeros(1, TIME + 2, dtype=torch.int64))
    _, state = model.prefill(tokens(), model.initial_state(2, 50))
    _, state = model.step(tokens()[:, 0], state)
    with pytest.raises(ValueError, match="token 11 has no position"):
        model.step(tokens()[:, 0], state)


def test_positions_are_told_apart_by_their_vectors():
    model = built(SPECS["positions-shared"])
    same = torch.full((1, TIME), 3)
    difference = model.blocks[0](model.embedding(same)).diff(dim=1)
    torch.testing.assert_close(difference[0], model.blocks[0].embedding.weight[:TIME].diff(dim=0))


@every_mixer
def test_weights_start_at_the_published_scales(mixer):
    width, depth = 64, 4
    model = network(width=width, depth=depth, mixer=mixer, feedforward=128)
    into = (2 / (5 * width)) ** 0.5
    back = 2 / (depth * width**0.5)
    assert model.embedding.weight.std().item() == pytest.approx(into, rel=0.1)
    assert model.blocks[0].feedforward.gate_and_in.weight.std().item() == pytest.approx(into, rel=0.1)
    assert model.blocks[0].feedforward.out.weight.std().item() == pytest.approx(back, rel=0.1)
    assert model.blocks[0].mixer.inner.out.weight.std().item() == pytest.approx(back, rel=0.15)


def test_gates_start_where_their_papers_put_them():
    model = network(width=64, mixer=MIXERS["mlstm"].model_copy(update={"heads": 4}))
    gates = model.blocks[1].mixer.inner.gates
    assert not gates.input.weight.any()
    assert not gates.forget.weight.any()
    assert gates.forget.bias.tolist() == [3, 4, 5, 6]
    assert 0 < gates.input.bias.abs().max() < 0.5

    model = network(width=64, mixer=MIXERS["slstm"].model_copy(update={"heads": 4}))
    slstm = model.blocks[1].mixer.inner
    bias_HGV = slstm.gates.bias.view(4, 4, 16)
    assert not bias_HGV[:, [0, 2, 3]].any()
    assert bias_HGV[:, 1, 0].tolist() == [5] * 4
    assert bias_HGV[:, 1, -1].tolist() == [-7] * 4
    assert slstm.cell.recurrence_HGV.std().item() == pytest.approx(16**-0.5, rel=0.1)

    model = network(width=64, mixer=MIXERS["mamba2"].model_copy(update={"heads": 8}))
    mamba2 = model.blocks[1].mixer.inner
    dt = torch.nn.functional.softplus(mamba2.dt_bias_H)
    assert 0.00099 < dt.min() < dt.max() < 0.1001
    assert 1 <= mamba2.log_minus_A_H.exp().min() < mamba2.log_minus_A_H.exp().max() <= 16.001

    model = network(width=64, mixer=MIXERS["lstm"])
    cell = model.blocks[1].mixer.inner.cell
    assert (cell.bias_ih_l0 + cell.bias_hh_l0)[5:10].tolist() == [1] * 5


def changed(mixer: str, fields: dict[str, object]) -> dict[str, object]:
    return {"mixer": MIXERS[mixer].model_dump() | fields}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            changed("attention", {"heads": 3, "key_value_heads": 3}),
            "width=8 is not divisible by heads=3: make width a multiple of heads",
        ),
        (changed("attention", {"heads": 8}), r"width=8 over heads=8 .* make width a multiple of 2 \* heads"),
        (changed("mlstm", {"heads": 3}), "width=8 is not divisible by heads=3"),
        (changed("mlstm", {"heads": 8}), "width=8 leaves heads=8 one channel each, .* lower heads"),
        (changed("slstm", {"heads": 8}), "width=8 leaves heads=8 one channel each, .* lower heads"),
        (changed("slstm", {"readout": "plain"}), "readout plain with input_gate exp .* take input_gate sigmoid"),
        (changed("slstm-lstm", {"kernel": "triton"}), "triton has no input_gate sigmoid: take kernel torch, or"),
        (changed("mamba2", {"heads": 3}), r"expand=2 times width=8 .* make expand \* width a multiple of heads"),
        (changed("attention", {"rotary_base": float("inf")}), "rotary_base"),
        (changed("mlstm", {"kernel": "fla", "chunk": 128}), "chunk=128 is too long for kernel fla: take 16, 32 or 64"),
        (changed("mlstm", {"kernel": "nxai", "chunk": 64}), "keys and values of 3 channels: take a power of two"),
        (changed("gated-deltanet", {"kernel": "fla"}), "chunk=4: kernel fla takes 16, 32 or 64"),
        (changed("mlstm", {"key_dim": 0}), "key_dim"),
        (changed("mlstm", {"stat_dim": 1}), "stat_dim"),
        ({"mixer": {"name": "rnn"}}, "'rnn' .* 'attention', 'mlstm', 'slstm', .*'hybrid'"),
        ({"block": "none"}, "block"),
        ({"positions": -1}, "positions"),
        ({"mixer": {"name": "hybrid", "pattern": (MIXERS["lstm"],)}}, "at least 2 items"),
        (
            {"mixer": {"name": "hybrid", "pattern": (MIXERS["lstm"], changed("mlstm", {"heads": 3})["mixer"])}},
            "heads=3",
        ),
        ({"block": "native"}, "convolution"),
        ({"width": "8"}, "width"),
        ({"depth": 0}, "depth"),
        ({"convolution": -1}, "convolution"),
        ({"heads": 2}, "heads"),
    ],
    ids=str,
)
def test_an_infeasible_network_is_refused_with_its_remedy(changes, sentence):
    with pytest.raises(ValidationError, match=sentence):
        TypeAdapter(NetworkSpec).validate_python(SHARED | changes)


@pytest.mark.parametrize("mixer", ["mlstm", "slstm"])
def test_a_mixer_alone_refuses_too(mixer):
    with pytest.raises(ValueError, match="not divisible"):
        MIXERS[mixer].model_copy(update={"heads": 3}).build(8)


@pytest.mark.parametrize("empty", [True, False], ids=["from the empty state", "from a state"])
@pytest.mark.parametrize(
    ("input_gate", "readout"),
    [("exp", "normalised"), ("sigmoid", "normalised"), ("sigmoid", "plain"), ("sigmoid", "tanh")],
)
def test_the_written_out_gradient_of_slstm_is_the_numeric_one(monkeypatch, input_gate, readout, empty):
    heads, channels, batch, time = 2, 3, 2, 5
    monkeypatch.setattr(models.slstm_cell, "PIECE", 2)
    torch.manual_seed(6)

    def leaf(*shape: int) -> torch.Tensor:
        return torch.randn(shape, dtype=torch.float64, requires_grad=True)

    x_THGB, R_HGV = leaf(time, heads, 4 * channels, batch), leaf(heads, 4 * channels, channels)
    h, c, n, m = (torch.randn(heads, channels, batch, dtype=torch.float64) for _ in range(4))
    n = n.square() + 1
    if empty:
        h, c, n, m = torch.zeros_like(h), torch.zeros_like(c), torch.zeros_like(n), torch.full_like(m, -torch.inf)

    def unscaled(x_THGB: torch.Tensor, R_HGV: torch.Tensor, *hcn: torch.Tensor) -> tuple[torch.Tensor, ...]:
        h_THVB, c_HVB, n_HVB, m_HVB = Scan.apply(x_THGB, R_HGV, *hcn, m, input_gate, readout)
        return h_THVB, c_HVB * m_HVB.exp(), n_HVB * m_HVB.exp()  # the scale that the gradient takes as a constant

    hcn = (h, c, n) if empty else tuple(tensor.requires_grad_() for tensor in (h, c, n))
    assert torch.autograd.gradcheck(unscaled, (x_THGB, R_HGV, *hcn))
