"""The network around the mixers, and what its specification refuses."""

import pytest
import torch
from pydantic import ValidationError
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from models.mixer import state_tensors
from models.mlstm import MLSTMSpec
from models.network import Network, NetworkSpec
from models.slstm import Scan, SLSTMSpec

VOCABULARY, TIME = 11, 9
ATTENTION = {"name": "attention", "heads": 2, "rotary_base": 100.0}
MIXERS = [
    ATTENTION,
    {"name": "mlstm", "heads": 2, "key_dim": 3, "chunk": 4},
    {"name": "slstm", "heads": 2, "recurrent_init": "zeros"},
    {"name": "mamba2", "heads": 2, "state_dim": 3, "expand": 2, "chunk": 4},
    {"name": "lstm", "hidden": 5},
]
FIELDS = {"block": "shared", "width": 8, "depth": 2, "convolution": 3, "feedforward": 12, "mixer": ATTENTION}

every_mixer = pytest.mark.parametrize("mixer", MIXERS, ids=lambda mixer: mixer["name"])


def network(**changes: object) -> Network:
    torch.manual_seed(3)
    return NetworkSpec(**FIELDS | changes).build(VOCABULARY)


def tokens() -> torch.Tensor:
    return torch.randint(0, VOCABULARY, (2, TIME), generator=torch.Generator().manual_seed(4))


@every_mixer
def test_logits_are_the_head_of_the_features(mixer):
    model = network(mixer=mixer)
    assert torch.equal(model(tokens()), model.head(model.features(tokens())))


@every_mixer
@pytest.mark.parametrize("parts", [{}, {"convolution": 0, "feedforward": 0}, {"convolution": 1}], ids=str)
def test_prefill_and_steps_give_the_logits_of_forward(mixer, parts):
    model = network(mixer=mixer, **parts).double()
    with torch.no_grad():
        expected_BTN = model(tokens())
        logits_BN, state = model.prefill(tokens()[:, :4], model.initial_state(2, TIME))
        torch.testing.assert_close(logits_BN, expected_BTN[:, 3])
        for time in range(4, TIME):
            logits_BN, state = model.step(tokens()[:, time], state)
            torch.testing.assert_close(logits_BN, expected_BTN[:, time])
    assert len(state) == FIELDS["depth"]


@every_mixer
def test_stated_flops_are_those_counted(mixer):
    model = network(mixer=mixer).double()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(tokens()[:1])
    assert model.flops(TIME) == counter.get_total_flops()


@every_mixer
def test_bfloat16_autocast_trains_and_decodes(mixer):
    model = network(mixer=mixer)
    expected_BTN = model(tokens()).detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits_BTN = model(tokens())
        torch.nn.functional.cross_entropy(logits_BTN.flatten(0, 1).float(), tokens().flatten()).backward()
        _, state = model.prefill(tokens(), model.initial_state(2, TIME + 1))
        logits_BN, state = model.step(tokens()[:, 0], state)
    torch.testing.assert_close(logits_BTN.float(), expected_BTN, rtol=0, atol=0.1 * expected_BTN.abs().max().item())
    assert logits_BN.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    assert len(state_tensors(state)) >= FIELDS["depth"]


def test_parameters_are_as_many_as_counted_by_hand():
    block = 8 + 8 * 3 + (8 * 24 + 8 * 8) + 8 + (8 * 24 + 12 * 8)  # norm, convolution, attention, norm, SwiGLU
    assert network().parameter_count() == 11 * 8 + 2 * block + 8 + 8 * 11


def test_weights_follow_the_seed_and_nothing_else():
    first, second = network().state_dict(), network().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    torch.manual_seed(5)
    assert not torch.equal(first["head.weight"], NetworkSpec(**FIELDS).build(VOCABULARY).state_dict()["head.weight"])


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
    model = network(width=64, mixer={"name": "mlstm", "heads": 4, "key_dim": 3, "chunk": 4})
    gates = model.blocks[1].mixer.inner.gates
    assert not gates.weight.any()
    assert gates.bias[4:].tolist() == [3, 4, 5, 6]
    assert 0 < gates.bias[:4].abs().max() < 0.5

    model = network(width=64, mixer={"name": "slstm", "heads": 4, "recurrent_init": "normal"})
    slstm = model.blocks[1].mixer.inner
    bias_HGV = slstm.gates.bias.view(4, 4, 16)
    assert not bias_HGV[:, [0, 2, 3]].any()
    assert bias_HGV[:, 1, 0].tolist() == [5] * 4
    assert bias_HGV[:, 1, -1].tolist() == [-7] * 4
    assert slstm.recurrence_HGV.std().item() == pytest.approx(16**-0.5, rel=0.1)

    model = network(width=64, mixer={"name": "mamba2", "heads": 8, "state_dim": 3, "expand": 2, "chunk": 4})
    mamba2 = model.blocks[1].mixer.inner
    dt = torch.nn.functional.softplus(mamba2.dt_bias_H)
    assert 0.00099 < dt.min() < dt.max() < 0.1001
    assert 1 <= mamba2.log_minus_A_H.exp().min() < mamba2.log_minus_A_H.exp().max() <= 16.001

    model = network(width=64, mixer={"name": "lstm", "hidden": 5})
    cell = model.blocks[1].mixer.inner.cell
    assert (cell.bias_ih_l0 + cell.bias_hh_l0)[5:10].tolist() == [1] * 5


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"mixer": ATTENTION | {"heads": 3}}, "width=8 is not divisible by heads=3: make width a multiple of heads"),
        ({"mixer": ATTENTION | {"heads": 8}}, r"width=8 over heads=8 .* make width a multiple of 2 \* heads"),
        ({"mixer": MIXERS[1] | {"heads": 3}}, "width=8 is not divisible by heads=3"),
        ({"mixer": MIXERS[1] | {"heads": 8}}, "width=8 leaves heads=8 one channel each, .* lower heads"),
        ({"mixer": MIXERS[2] | {"heads": 8}}, "width=8 leaves heads=8 one channel each, .* lower heads"),
        ({"mixer": MIXERS[3] | {"heads": 3}}, r"expand=2 times width=8 .* make expand \* width a multiple of heads"),
        ({"mixer": ATTENTION | {"rotary_base": float("inf")}}, "rotary_base"),
        ({"mixer": MIXERS[1] | {"key_dim": 0}}, "key_dim"),
        ({"mixer": MIXERS[1] | {"stat_dim": 1}}, "stat_dim"),
        ({"mixer": {"name": "rnn"}}, "'rnn' .* 'attention', 'mlstm', 'slstm', 'mamba2', 'lstm'"),
        ({"block": "native"}, "block"),
        ({"width": "8"}, "width"),
        ({"depth": 0}, "depth"),
        ({"convolution": -1}, "convolution"),
        ({"heads": 2}, "heads"),
    ],
    ids=str,
)
def test_an_infeasible_network_is_refused_with_its_remedy(changes, sentence):
    with pytest.raises(ValidationError, match=sentence):
        NetworkSpec(**FIELDS | changes)


def test_a_spec_survives_its_json():
    for mixer in MIXERS:
        spec = NetworkSpec(**FIELDS | {"mixer": mixer})
        assert NetworkSpec.model_validate_json(spec.model_dump_json()) == spec


def test_a_mixer_alone_refuses_too():
    with pytest.raises(ValueError, match="not divisible"):
        MLSTMSpec(name="mlstm", heads=3, key_dim=2, chunk=4).build(8)
    with pytest.raises(ValueError, match="not divisible"):
        SLSTMSpec(name="slstm", heads=3, recurrent_init="zeros").build(8)


@pytest.mark.parametrize("empty", [True, False], ids=["from the empty state", "from a state"])
def test_the_written_out_gradient_of_slstm_is_the_numeric_one(empty):
    heads, channels, batch, time = 2, 3, 2, 4
    torch.manual_seed(6)

    def leaf(*shape: int) -> torch.Tensor:
        return torch.randn(shape, dtype=torch.float64, requires_grad=True)

    x_THGB, R_HGV = leaf(time, heads, 4 * channels, batch), leaf(heads, 4 * channels, channels)
    h, c, n, m = (torch.randn(heads, channels, batch, dtype=torch.float64) for _ in range(4))
    n = n.square() + 1
    if empty:
        h, c, n, m = torch.zeros_like(h), torch.zeros_like(c), torch.zeros_like(n), torch.full_like(m, -torch.inf)

    def unscaled(x_THGB: torch.Tensor, R_HGV: torch.Tensor, *hcn: torch.Tensor) -> tuple[torch.Tensor, ...]:
        h_THVB, c_HVB, n_HVB, m_HVB = Scan.apply(x_THGB, R_HGV, *hcn, m)
        return h_THVB, c_HVB * m_HVB.exp(), n_HVB * m_HVB.exp()  # the scale that the gradient takes as a constant

    hcn = (h, c, n) if empty else tuple(tensor.requires_grad_() for tensor in (h, c, n))
    assert torch.autograd.gradcheck(unscaled, (x_THGB, R_HGV, *hcn))
