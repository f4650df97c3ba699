"""Networks stacked by `torch.func.vmap` compute what each computes alone, forwards and backwards."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

import models.mamba
import models.slstm_cell
from models.mixer import state_tensors
from models.network import SharedNetworkSpec
from models.stacking import along_batch
from tests.models.rows import MIXERS
from tests.models.test_network import SHARED, SPECS, VOCABULARY
from tests.models.weights import perturbed

MEMBERS, BATCH, TIME = 3, 2, 9  # the time takes three chunks
CHANNELS, OUTPUTS = 3, 5
UNTIED = {name: spec for name, spec in SPECS.items() if not spec.ties}
RECURRENT = {name: spec for name, spec in MIXERS.items() if spec.name != "attention"}

every_network = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
every_untied_network = pytest.mark.parametrize("spec", UNTIED.values(), ids=UNTIED)
every_mixer = pytest.mark.parametrize("mixer", MIXERS.values(), ids=MIXERS)
every_recurrent_mixer = pytest.mark.parametrize("mixer", RECURRENT.values(), ids=RECURRENT)


def members(build: Callable[[], nn.Module]) -> list[nn.Module]:
    """In float64, each with its own weights, as random as after training."""
    torch.manual_seed(5)
    return [perturbed(build(), deviation=0.3).double() for _ in range(MEMBERS)]


def tokens(time: int) -> Tensor:
    """A batch for each member, and none like another."""
    return torch.randint(0, VOCABULARY, (MEMBERS, BATCH, time), generator=torch.Generator().manual_seed(6))


def stacked(networks: list[nn.Module], *inputs: Any) -> tuple[Any, dict[str, Tensor]]:
    """What the networks return of their inputs as one program, and the stacked weights it read."""
    weights, buffers = stack_module_state(networks)

    def alone(weights: dict[str, Tensor], buffers: dict[str, Tensor], *inputs: Any) -> Any:
        return functional_call(networks[0], (weights, buffers), inputs)

    return vmap(alone)(weights, buffers, *inputs), weights


def in_turn(networks: list[nn.Module], inputs: Tensor) -> Tensor:
    return torch.stack([network(one) for network, one in zip(networks, inputs, strict=True)])


def gradients(outputs: Tensor, weights: list[Tensor]) -> tuple[Tensor, ...]:
    """Those of a loss that is summed over the members."""
    factors = torch.randn(outputs.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
    return torch.autograd.grad((outputs * factors).sum(), weights)


def assert_same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def assert_stacked_as_in_turn(build: Callable[[], nn.Module], inputs: Tensor) -> None:
    networks = members(build)
    expected, (found, weights) = in_turn(networks, inputs), stacked(networks, inputs)
    assert_same(found, expected)
    alone = [dict(network.named_parameters()) for network in networks]
    expected_gradients = gradients(expected, [weight for named in alone for weight in named.values()])
    for index, gradient in enumerate(gradients(found, list(weights.values()))):
        assert_same(gradient, torch.stack(expected_gradients[index :: len(weights)]))


@every_network
@pytest.mark.parametrize("time", [1, 4, TIME])
def test_a_stack_of_networks_computes_what_they_do_in_turn(spec, time):
    assert_stacked_as_in_turn(lambda: spec.build(VOCABULARY), tokens(time))


@every_mixer
def test_a_mixer_alone_in_its_block_can_be_stacked(mixer):
    bare = SharedNetworkSpec(**SHARED | {"convolution": 0, "feedforward": 0, "mixer": mixer})
    assert_stacked_as_in_turn(lambda: bare.build(VOCABULARY), tokens(TIME))


@every_network
def test_networks_with_a_bottleneck_can_be_stacked(spec):
    assert_stacked_as_in_turn(lambda: spec.build_bottleneck(VOCABULARY), tokens(TIME))


@every_untied_network
def test_forecasters_can_be_stacked(spec):
    generator = torch.Generator().manual_seed(8)
    values = torch.randn(MEMBERS, BATCH, TIME, CHANNELS, dtype=torch.float64, generator=generator)
    assert_stacked_as_in_turn(lambda: spec.build_for_series(CHANNELS, OUTPUTS), values)


def test_a_stack_is_scanned_in_any_pieces(monkeypatch):
    monkeypatch.setattr(models.slstm_cell, "PIECE", 4)
    monkeypatch.setattr(models.mamba, "FEWEST", 2)
    sizes = 2 * MIXERS["mamba"].state_dim * MIXERS["mamba"].expand * SHARED["width"]
    monkeypatch.setattr(
        models.mamba, "SLAB", 4 * sizes
    )  # two tokens of four sequences, which are not those of one member
    for name in ("slstm", "lstm", "mamba"):
        spec = SPECS[f"{name}-shared"]
        assert_stacked_as_in_turn(lambda spec=spec: spec.build(VOCABULARY), tokens(TIME))


def test_members_may_lie_on_any_axis_and_share_an_operand():
    x_BEW, y_BW = torch.randn(BATCH, MEMBERS, 4), torch.randn(BATCH, 4)
    found_EBW = vmap(lambda x_BW: along_batch(torch.mul, x_BW, y_BW), in_dims=1)(x_BEW)
    assert torch.equal(found_EBW, (x_BEW * y_BW[:, None]).transpose(0, 1))


@every_recurrent_mixer
def test_a_stacked_prefill_takes_and_leaves_the_state_it_does_alone(mixer):
    class Prefill(nn.Module):
        def __init__(self):
            super().__init__()
            self.mixer = mixer.build(SHARED["width"])

        def forward(self, x_BTW: Tensor, state: Any) -> Any:
            return self.mixer.prefill(x_BTW, state)

    networks = members(Prefill)
    x_EBTW = torch.randn(MEMBERS, BATCH, 2 * TIME, SHARED["width"], dtype=torch.float64)
    expected = []
    for network, x_BTW in zip(networks, x_EBTW, strict=True):
        _, state = network(x_BTW[:, :TIME], network.mixer.initial_state(BATCH, 2 * TIME))
        expected.append((state, *network(x_BTW[:, TIME:], state)))
    before, outputs, after = zip(*expected, strict=True)
    stack = type(before[0])(*map(torch.stack, zip(*before, strict=True)))
    (found_EBTW, state), _ = stacked(networks, x_EBTW[:, :, TIME:], stack)
    assert_same(found_EBTW, torch.stack(outputs))
    for found, *alone in zip(*map(state_tensors, (state, *after)), strict=True):
        assert_same(found, torch.stack(alone))


@every_network
def test_a_stack_without_gradients_computes_what_the_networks_do_in_turn(spec):
    networks = members(lambda: spec.build(VOCABULARY))
    with torch.no_grad():
        assert_same(stacked(networks, tokens(TIME))[0], in_turn(networks, tokens(TIME)))


@every_network
def test_a_member_that_diverged_leaves_the_others_as_they_were(spec):
    def computed(*, diverged: bool) -> list[Tensor]:
        networks = members(lambda: spec.build(VOCABULARY))
        if diverged:
            for weight in networks[1].parameters():
                weight.data.fill_(torch.nan)
        outputs, weights = stacked(networks, tokens(TIME))
        assert outputs[1].isfinite().any() != diverged
        return [outputs, *gradients(outputs, list(weights.values()))]

    others = [0, 2]
    for found, expected in zip(computed(diverged=True), computed(diverged=False), strict=True):
        assert torch.equal(found[others], expected[others])


@every_network
def test_a_stack_under_bfloat16_autocast_is_as_near_to_float32_as_its_members_in_turn(spec):
    torch.manual_seed(5)
    networks = [spec.build(VOCABULARY) for _ in range(MEMBERS)]
    exact = in_turn(networks, tokens(TIME))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected, (found, weights) = in_turn(networks, tokens(TIME)), stacked(networks, tokens(TIME))
    assert found.dtype == expected.dtype
    assert (found - exact).norm() < 2 * (expected - exact).norm() < 0.2 * exact.norm()
    assert all(gradient.isfinite().all() for gradient in gradients(found, list(weights.values())))
