"""Every mixer against its paper's equations, token by token, in float64, from the weights alone."""

import math

import pytest
import torch
from torch import Tensor, nn

from models.attention import AttentionSpec
from models.layers import CausalConvolution
from models.lstm import LSTMSpec
from models.mamba2 import Mamba2Spec
from models.mixer import SequenceMixer
from models.mlstm import MLSTMSpec, MLSTMState, chunkwise, parallel, recurrent
from models.slstm import SLSTMSpec

WIDTH, TIME = 8, 11
GATES = [1.0, 40.0]  # typical size of a gate's pre-activation


def trained(module: nn.Module) -> nn.Module:
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in module.double().parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.5)
    return module


def tokens() -> Tensor:
    return torch.randn(TIME, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def assert_follows(mixer: SequenceMixer, expected_TW: Tensor, *, tolerance: float) -> None:
    """The outputs, and the gradients of every parameter, are those of the equations."""
    found_TW = mixer(tokens()[None])[0]
    torch.testing.assert_close(found_TW, expected_TW, rtol=tolerance, atol=tolerance)
    weights_TW = torch.randn_like(expected_TW)
    expected, found = (
        torch.autograd.grad((y_TW * weights_TW).sum(), list(mixer.parameters())) for y_TW in (expected_TW, found_TW)
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=10 * tolerance, atol=10 * tolerance)


def assert_stable(mixer: SequenceMixer) -> None:
    mixer, x_BTW = mixer.float(), tokens().float()[None]
    mixer.zero_grad()
    y_BTW = mixer(x_BTW)
    y_BTW.square().sum().backward()
    _, state = mixer.prefill(x_BTW, mixer.initial_state(1, TIME + 1))
    y_BW, _ = mixer.step(x_BTW[:, 0], state)
    assert y_BTW.isfinite().all()
    assert y_BW.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in mixer.parameters())


def layer_norm(x: Tensor) -> Tensor:
    return (x - x.mean()) / torch.sqrt(x.var(correction=0) + 1e-6)


def test_attention_is_softmax_over_turned_keys():
    heads, base = 2, 100.0
    mixer = trained(AttentionSpec(name="attention", heads=heads, rotary_base=base).build(WIDTH))
    channels = WIDTH // heads

    def turned(x: Tensor, position: int) -> Tensor:  # channels j and j + channels / 2 as one complex number
        half = channels // 2
        angles = position * base ** (-2 * torch.arange(half, dtype=torch.float64) / channels)
        z = torch.complex(x[:half], x[half:]) * torch.polar(torch.ones(half, dtype=torch.float64), angles)
        return torch.cat([z.real, z.imag])

    outputs = []
    q_TW, k_TW, v_TW = (mixer.qkv.weight @ tokens().T).T.split(WIDTH, dim=1)
    for t in range(TIME):
        h = []
        for s in torch.arange(WIDTH).split(channels):
            scores = torch.stack([turned(q_TW[t, s], t) @ turned(k_TW[j, s], j) for j in range(t + 1)])
            h.append(torch.softmax(scores / math.sqrt(channels), dim=0) @ v_TW[: t + 1, s])
        outputs.append(mixer.out.weight @ torch.cat(h))
    assert_follows(mixer, torch.stack(outputs), tolerance=1e-10)


@pytest.mark.parametrize("chunk", [4, TIME])
@pytest.mark.parametrize("size", GATES)
def test_mlstm_is_its_unstabilised_recurrence(size, chunk):
    heads, K, V = 2, 3, WIDTH // 2
    mixer = trained(MLSTMSpec(name="mlstm", heads=heads, key_dim=K, chunk=chunk).build(WIDTH))
    with torch.no_grad():
        mixer.gates.weight.copy_(torch.randn_like(mixer.gates.weight) * size / math.sqrt(WIDTH))
    outputs = []
    C, n, m = torch.zeros(heads, V, K).double(), torch.zeros(heads, K).double(), torch.zeros(heads).double()
    for x_W in tokens():
        q, k, v, o = (mixer.qkvo.weight @ x_W).split([heads * K, heads * K, WIDTH, WIDTH])
        i, f = (mixer.gates.weight @ x_W + mixer.gates.bias).split(heads)
        q, k, v = q.view(heads, K), k.view(heads, K) / math.sqrt(K), v.view(heads, V)
        m = torch.maximum(nn.functional.logsigmoid(f) + m, i)  # only to know the size of the official epsilon
        h = []
        C = torch.stack([f[a].sigmoid() * C[a] + i[a].exp() * torch.outer(v[a], k[a]) for a in range(heads)])
        n = torch.stack([f[a].sigmoid() * n[a] + i[a].exp() * k[a] for a in range(heads)])
        for a in range(heads):
            weight = torch.clamp((n[a] @ q[a]).abs(), min=1) + 1e-6 * m[a].exp().detach()
            h.append(layer_norm(C[a] @ q[a] / weight))
        outputs.append(mixer.out.weight @ (o.sigmoid() * torch.cat(h) * mixer.norm.weight))
    assert_follows(mixer, torch.stack(outputs), tolerance=1e-9 if size == 1 else 1e-6)
    assert_stable(mixer)


@pytest.mark.parametrize("level", [-10.0, 0.0, 10.0])
def test_all_forms_of_the_mlstm_cell_agree_before_any_norm_hides_their_scale(level):
    batch, heads, K, V = 2, 3, 4, 5
    torch.manual_seed(7)
    q, k, v = (torch.randn(batch, heads, TIME, size, dtype=torch.float64) for size in (K, K, V))
    i, f = level + 3 * torch.randn(2, batch, heads, TIME, dtype=torch.float64)
    empty = MLSTMState(*(torch.zeros(batch, heads, *shape, dtype=torch.float64) for shape in ((K, V), (K,), ())))

    C, n, m = empty
    expected, one_by_one, state = [], [], empty
    for t in range(TIME):
        m = torch.maximum(torch.log(f[..., t].sigmoid()) + m, i[..., t])
        C = f[..., t, None, None].sigmoid() * C + i[..., t, None, None].exp() * k[..., t, :, None] * v[..., t, None, :]
        n = f[..., t, None].sigmoid() * n + i[..., t, None].exp() * k[..., t, :]
        weight = torch.clamp((n * q[..., t, :]).sum(-1).abs(), min=1) + 1e-6 * m.exp()
        expected.append((q[..., t, :, None] * C).sum(-2) / weight[..., None])
        h, state = recurrent(q[..., t, :], k[..., t, :], v[..., t, :], i[..., t], f[..., t], state)
        one_by_one.append(h)

    in_chunks, last = chunkwise(q, k, v, i, f, empty, chunk=4)
    for found in (torch.stack(one_by_one, dim=2), in_chunks, parallel(q, k, v, i, f)):
        torch.testing.assert_close(found, torch.stack(expected, dim=2), rtol=1e-9, atol=1e-12)
    for C_scaled, n_scaled, m_found in (state, last):  # the keys are kept as they came, not divided by sqrt(K)
        torch.testing.assert_close(m_found, m)
        torch.testing.assert_close(C_scaled * m[..., None, None].exp(), C)
        torch.testing.assert_close(n_scaled * m[..., None].exp(), n)


@pytest.mark.parametrize("size", GATES)
def test_slstm_is_its_unstabilised_recurrence(size):
    heads, V = 2, WIDTH // 2
    mixer = trained(SLSTMSpec(name="slstm", heads=heads, recurrent_init="normal").build(WIDTH))
    with torch.no_grad():
        mixer.gates.weight.view(heads, 4, V, WIDTH)[:, :2] *= size
    outputs = []
    c, n, h = (torch.zeros(heads, V, dtype=torch.float64) for _ in range(3))
    for x_W in tokens():
        gates = (mixer.gates.weight @ x_W + mixer.gates.bias).view(heads, 4 * V)
        gates = gates + torch.stack([mixer.recurrence_HGV[a] @ h[a] for a in range(heads)])
        i, f, z, o = gates.view(heads, 4, V).unbind(1)
        c = f.sigmoid() * c + i.exp() * z.tanh()
        n = f.sigmoid() * n + i.exp()
        h = o.sigmoid() * c / n
        outputs.append(mixer.out.weight @ (torch.cat([layer_norm(h[a]) for a in range(heads)]) * mixer.norm.weight))
    assert_follows(mixer, torch.stack(outputs), tolerance=1e-9 if size == 1 else 1e-6)
    assert_stable(mixer)


@pytest.mark.parametrize("chunk", [4, TIME])
@pytest.mark.parametrize("size", GATES)
def test_mamba2_is_its_recurrence(size, chunk):
    heads, K, expand = 4, 3, 2
    inner = expand * WIDTH
    mixer = trained(Mamba2Spec(name="mamba2", heads=heads, state_dim=K, expand=expand, chunk=chunk).build(WIDTH))
    with torch.no_grad():
        mixer.zxbcdt.weight[-heads:] *= size
    outputs, S = [], torch.zeros(heads, K, inner // heads, dtype=torch.float64)
    for x_W in tokens():
        z, x, B, C, dt = (mixer.zxbcdt.weight @ x_W).split([inner, inner, K, K, heads])
        dt, A, x = torch.log1p(torch.exp(dt + mixer.dt_bias_H)), -mixer.log_minus_A_H.exp(), x.view(heads, -1)
        S = torch.stack([(dt[a] * A[a]).exp() * S[a] + dt[a] * torch.outer(B, x[a]) for a in range(heads)])
        y = torch.cat([C @ S[a] + mixer.D_H[a] * x[a] for a in range(heads)]) * z * z.sigmoid()
        y = y / torch.sqrt(y.square().mean() + 1e-5) * mixer.norm_weight_W
        outputs.append(mixer.out.weight @ y)
    assert_follows(mixer, torch.stack(outputs), tolerance=1e-7)  # torch's softplus is rounded to 2e-9 above 20
    assert_stable(mixer)


def test_lstm_is_its_recurrence():
    hidden = 5
    mixer = trained(LSTMSpec(name="lstm", hidden=hidden).build(WIDTH))
    W, R, b, b_too = mixer.cell.parameters()
    outputs, h, c = [], torch.zeros(hidden).double(), torch.zeros(hidden).double()
    for x_W in tokens():
        i, f, z, o = (W @ x_W + R @ h + b + b_too).split(hidden)
        c = f.sigmoid() * c + i.sigmoid() * z.tanh()
        h = o.sigmoid() * c.tanh()
        outputs.append(mixer.out.weight @ h)
    assert_follows(mixer, torch.stack(outputs), tolerance=1e-10)


def test_the_convolution_reaches_back_over_its_kernel():
    kernel = 4
    convolution, x_TW = trained(CausalConvolution(WIDTH, kernel=kernel)), tokens()
    for t, found_W in enumerate(convolution(x_TW[None])[0]):
        taps = [convolution.weight[:, kernel - 1 - back] * x_TW[t - back] for back in range(kernel) if back <= t]
        y_W = x_TW[t] + sum(taps)
        torch.testing.assert_close(found_W, y_W)


def test_mlstm_forgets_a_large_early_input_without_losing_later_ones():
    mixer = MLSTMSpec(name="mlstm", heads=1, key_dim=4, chunk=16).build(WIDTH)
    with torch.no_grad():
        mixer.gates.weight[0, 0], mixer.gates.weight[1, 1], mixer.gates.bias[1] = 1.0, 1.0, 0.0
    x_BTW = torch.randn(1, 64, WIDTH)
    x_BTW[0, :, 0] = torch.linspace(160, 40, 64)  # the input gate's pre-activation falls by more than exp can hold
    found_BTW, expected_BTW = mixer(x_BTW), mixer.double()(x_BTW.double())
    torch.testing.assert_close(found_BTW.double(), expected_BTW, rtol=0, atol=1e-3)


def test_attention_refuses_a_token_more_than_its_state_can_take():
    mixer = AttentionSpec(name="attention", heads=2, rotary_base=100.0).build(WIDTH)
    x_BTW = tokens().float()[None]
    with pytest.raises(ValueError, match=r"token 11 does not fit a state of max_time=10: ask initial_state"):
        mixer.prefill(x_BTW, mixer.initial_state(1, TIME - 1))
    _, state = mixer.prefill(x_BTW, mixer.initial_state(1, TIME))
    with pytest.raises(ValueError, match="token 12 does not fit"):
        mixer.step(x_BTW[:, 0], state)


def test_attention_reads_nothing_of_its_state_beyond_the_position():
    mixer = AttentionSpec(name="attention", heads=2, rotary_base=100.0).build(WIDTH)
    x_BTW, roomy = tokens().float()[None], mixer.initial_state(1, 50)
    roomy.k_BHTK.fill_(torch.nan), roomy.v_BHTK.fill_(torch.nan)
    with torch.no_grad():
        first_BTW, roomy = mixer.prefill(x_BTW[:, :4], roomy)
        second_BTW, roomy = mixer.prefill(x_BTW[:, 4:10], roomy)
        last_BW, _ = mixer.step(x_BTW[:, 10], roomy)
        torch.testing.assert_close(torch.cat([first_BTW, second_BTW, last_BW[:, None]], dim=1), mixer(x_BTW))
