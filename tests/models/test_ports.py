"""How networks read and predict: numbers instead of tokens, in pieces, or through a bottleneck."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from models.layers import sinusoids
from models.network import NativeNetworkSpec
from tests.models.rows import ARCHITECTURES
from tests.models.test_network import NATIVE, SPECS, TIME, VOCABULARY, built, tokens

CHANNELS, OUTPUTS = 3, 5
UNTIED = {name: spec for name, spec in SPECS.items() if not spec.ties}
every_network = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
every_untied_network = pytest.mark.parametrize("spec", UNTIED.values(), ids=UNTIED)


def values() -> torch.Tensor:
    return torch.randn(2, TIME, CHANNELS, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def forecaster(spec):
    torch.manual_seed(3)
    return spec.build_for_series(CHANNELS, OUTPUTS).double()


@every_untied_network
def test_a_series_streamed_with_carried_state_gives_what_its_window_does(spec):
    model = forecaster(spec)
    with torch.no_grad():
        expected_BTH = model(values())
        assert expected_BTH.shape == (2, TIME, OUTPUTS)
        state = model.initial_state(2, TIME)
        for time in range(TIME):
            found_BH, state = model.step(values()[:, time], state)
            torch.testing.assert_close(found_BH, expected_BTH[:, time])


@every_untied_network
def test_the_stated_flops_of_a_forecaster_are_those_counted(spec):
    model = forecaster(spec)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(values()[:1])
    assert model.flops(TIME) == counter.get_total_flops()


@every_network
@pytest.mark.parametrize("piece", [1, 4, TIME])
def test_what_is_read_in_pieces_is_what_is_read_at_once(spec, piece):
    model = built(spec).double()
    with torch.no_grad():
        state, read = model.initial_state(2, TIME), []
        for part in tokens().split(piece, dim=1):
            x_BTW, state = model.read(part, state)
            read.append(x_BTW)
        torch.testing.assert_close(torch.cat(read, dim=1), model.features(tokens()))


def test_a_tied_head_has_no_series_to_read():
    tied = NativeNetworkSpec(**NATIVE | {"tied": True}, mixer=ARCHITECTURES["llama"])
    with pytest.raises(ValueError, match=r"set network\.tied to false"):
        tied.build_for_series(CHANNELS, OUTPUTS)


def bottleneck(name: str = "mlstm-shared"):
    torch.manual_seed(3)
    return SPECS[name].build_bottleneck(VOCABULARY).double()


def test_a_bottleneck_tells_every_position_from_the_last_one_alone():
    model = bottleneck()
    given = []
    model.norm.register_forward_hook(lambda module, args, output: given.append(output) or output.retain_grad())
    model(tokens()).square().sum().backward()
    assert given[0].grad[:, :-1].eq(0).all()
    assert given[0].grad[:, -1].ne(0).all()


def test_a_bottleneck_tells_positions_apart():
    logits_BTN = bottleneck()(tokens())
    assert logits_BTN.shape == (2, TIME, VOCABULARY)
    apart = torch.pdist(logits_BTN[0].detach())
    assert apart.min() > 1e-6


def test_the_stated_flops_of_a_bottleneck_are_those_counted():
    model = bottleneck()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(tokens()[:1])
    assert model.flops(TIME) == counter.get_total_flops()


def test_sinusoids_are_those_of_the_paper():
    p_TW = sinusoids(50, width=6).double()
    for t in (0, 1, 17, 49):
        for i in range(3):
            angle = torch.tensor(t / 10000 ** (2 * i / 6), dtype=torch.float64)
            expected = torch.stack([angle.sin(), angle.cos()])
            torch.testing.assert_close(p_TW[t, 2 * i : 2 * i + 2], expected, atol=1e-5, rtol=0)
    assert sinusoids(4, width=5).shape == (4, 5)
