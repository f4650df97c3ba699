"""Every mixer against its paper's equations, token by token, in float64, from the weights alone."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from models import mamba
from models.attention import AttentionSpec, frequencies
from models.convolution import CanonConvolution
from models.gated_deltanet import GatedDeltaNet, GatedDeltaNetSpec
from models.gated_deltanet import chunkwise as gated_delta_rule
from models.gated_deltanet import recurrent as gated_delta_step
from models.layers import RMSNorm
from models.lstm import LSTMSpec
from models.mamba import MambaSpec
from models.mamba2 import Mamba2, Mamba2Spec
from models.mixer import SequenceMixer, UnsupportedKernel, state_bytes
from models.mlstm import MLSTMSpec
from models.mlstm_cell import MLSTMState, chunkwise, parallel, recurrent
from models.mlstm_gates import MLSTMGates
from models.slstm import SLSTMSpec
from tests.models.rows import MLSTM_GATES

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


def attention(**changes: object) -> AttentionSpec:
    fields = {"heads": 2, "key_value_heads": 2, "window": None, "rotary_base": 100.0, "kernel": "sdpa"}
    return AttentionSpec(name="attention", **fields | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"heads": 4, "key_value_heads": 2},
        {"heads": 4, "key_value_heads": 1, "window": 3},
        {"window": 1},
        {"window": TIME + 1},
        {"rotary_base": None},
        {"kernel": "math", "key_value_heads": 1},
        {"kernel": "flash"},
    ],
    ids=str,
)
def test_attention_is_softmax_over_turned_keys(changes):
    spec = attention(**changes)
    mixer, channels = trained(spec.build(WIDTH)), WIDTH // spec.heads

    def turned(x: Tensor, position: int) -> Tensor:  # channels j and j + channels / 2 as one complex number
        if spec.rotary_base is None:
            return x
        half = channels // 2
        angles = position * spec.rotary_base ** (-2 * torch.arange(half, dtype=torch.float64) / channels)
        z = torch.complex(x[:half], x[half:]) * torch.polar(torch.ones(half, dtype=torch.float64), angles)
        return torch.cat([z.real, z.imag])

    outputs = []
    q_THK, k_THK, v_THK = (
        (mixer.qkv.weight @ tokens().T)
        .T.unflatten(1, (-1, channels))
        .split([spec.heads, spec.key_value_heads, spec.key_value_heads], dim=1)
    )
    for t in range(TIME):
        h = []
        for head in range(spec.heads):
            shared = head * spec.key_value_heads // spec.heads
            seen = range(0 if spec.window is None else max(0, t + 1 - spec.window), t + 1)
            q = turned(q_THK[t, head], t)
            scores = torch.stack([q @ turned(k_THK[j, shared], j) for j in seen])
            h.append(torch.softmax(scores / math.sqrt(channels), dim=0) @ v_THK[list(seen), shared])
        outputs.append(mixer.out.weight @ torch.cat(h))
    assert_follows(mixer, torch.stack(outputs), tolerance=1e-10)


MLSTM_VARIANTS = {
    "both papers": {},
    "7B": {"cap": 15.0, "input_bias": (-10.0, 0.0)},
    "no gates": {"input_from": "constant", "forget_from": "constant"},
    "forget gate": {"input_from": "constant"},
    "input gate": {"forget_from": "constant"},
    "biases": {"input_from": "bias", "forget_from": "bias"},
    "sigmoid": {"input": "sigmoid"},
    "sigmoid, not normalised": {"input": "sigmoid", "normaliser": False},
}


@pytest.mark.parametrize("chunk", [4, TIME])
@pytest.mark.parametrize("size", GATES)
@pytest.mark.parametrize("variant", MLSTM_VARIANTS)
def test_mlstm_is_its_unstabilised_recurrence(variant, size, chunk):
    heads, K, V = 2, 3, WIDTH // 2
    gates = MLSTM_GATES.model_copy(update=MLSTM_VARIANTS[variant])
    mixer = trained(
        MLSTMSpec(name="mlstm", heads=heads, key_dim=K, gates=gates, chunk=chunk, kernel="torch").build(WIDTH)
    )
    learned = {name for name, _ in mixer.gates.named_parameters()}
    with torch.no_grad():
        for name in {"input.weight", "forget.weight"} & learned:
            mixer.gates.get_parameter(name).normal_(0, size / math.sqrt(WIDTH))
    input_weight, forget_weight = mixer.gates.input.weight, mixer.gates.forget.weight
    assert input_weight.any() == (gates.input_from == "token") == ("input.weight" in learned)
    assert forget_weight.any() == (gates.forget_from == "token") == ("forget.weight" in learned)
    assert ("input.bias" in learned) == (gates.input_from != "constant")
    assert ("forget.bias" in learned) == (gates.forget_from != "constant")

    outputs = []
    C, n, m = torch.zeros(heads, V, K).double(), torch.zeros(heads, K).double(), torch.zeros(heads).double()
    for x_W in tokens():
        q, k, v, o = (mixer.qkvo.weight @ x_W).split([heads * K, heads * K, WIDTH, WIDTH])
        i, f = input_weight @ x_W + mixer.gates.input.bias, forget_weight @ x_W + mixer.gates.forget.bias
        if gates.cap is not None:
            i, f = gates.cap * (i / gates.cap).tanh(), gates.cap * (f / gates.cap).tanh()
        i, f = i.exp() if gates.input == "exp" else i.sigmoid(), f.sigmoid()
        q, k, v = q.view(heads, K), k.view(heads, K) / math.sqrt(K), v.view(heads, V)
        m = torch.maximum(f.log() + m, i.log()).detach()  # only to know the size of the official epsilon
        h = []
        C = torch.stack([f[a] * C[a] + i[a] * torch.outer(v[a], k[a]) for a in range(heads)])
        n = torch.stack([f[a] * n[a] + i[a] * k[a] for a in range(heads)])
        for a in range(heads):
            weight = torch.clamp((n[a] @ q[a]).abs(), min=1) if gates.normaliser else 1
            h.append(layer_norm(C[a] @ q[a] / (weight + 1e-6 * m[a].exp())))
        outputs.append(mixer.out.weight @ (o.sigmoid() * torch.cat(h) * mixer.norm.weight))
    # Where 7B's small inputs leave the normaliser at its floor, the parallel form takes the epsilon's size for a constant of b.
    assert_follows(mixer, torch.stack(outputs), tolerance=1e-9 if size == 1 and variant != "7B" else 1e-6)
    assert_stable(mixer)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"normaliser": False}, "outputs grow as exp.*: take gates.input sigmoid, or gates.normaliser true"),
        ({"forget_bias": (3.0, math.inf)}, "forget_bias"),
        ({"input_bias": (0.0, -0.1)}, "input_bias"),
        ({"cap": 0.0}, "cap"),
    ],
    ids=str,
)
def test_infeasible_mlstm_gates_are_refused_with_their_remedy(fields, sentence):
    with pytest.raises(ValidationError, match=sentence):
        MLSTMGates.model_validate(MLSTM_GATES.model_dump() | fields)


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


@pytest.mark.parametrize("level", [-3.0, 3.0], ids=["below the normaliser's floor", "above it"])
def test_the_written_out_gradient_of_mlstm_is_the_numeric_one(level, monkeypatch):
    monkeypatch.setattr("models.mlstm_cell.EPSILON", 0.0)  # whose size depends on m
    batch, heads, K, V, time = 1, 2, 2, 3, 5
    torch.manual_seed(6)

    def leaf(*shape: int) -> Tensor:
        return torch.randn(batch, heads, *shape, dtype=torch.float64, requires_grad=True)

    m_BH = torch.randn(batch, heads, dtype=torch.float64)

    def unscaled(q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor, C: Tensor, n: Tensor) -> tuple[Tensor, ...]:
        h_BHTV, state = chunkwise(q, k, v, i + level, f, MLSTMState(C, n, m_BH), chunk=2)
        scale_BH1 = state.m_BH.exp()[..., None]  # which the gradient takes as a constant
        return h_BHTV, state.C_BHKV * scale_BH1[..., None], state.n_BHK * scale_BH1

    leaves = leaf(time, K), leaf(time, K), leaf(time, V), leaf(time), leaf(time), leaf(K, V), leaf(K)
    assert torch.autograd.gradcheck(unscaled, leaves)


@pytest.mark.parametrize("kernel", ["fla", "nxai"])
def test_a_fused_mlstm_kernel_stands_in_for_the_chunkwise_form(kernel, monkeypatch):
    def built(kernel: str) -> SequenceMixer:
        torch.manual_seed(0)
        spec = MLSTMSpec(name="mlstm", heads=2, key_dim=16, gates=MLSTM_GATES, chunk=16, kernel=kernel)
        return trained(spec.build(32))

    calls = []
    monkeypatch.setattr(
        f"models.mlstm.{kernel}", lambda *inputs, chunk: calls.append(chunk) or chunkwise(*inputs, chunk=chunk)
    )
    x_BTW, fused, definition = tokens().repeat(1, 4)[None], built(kernel), built("torch")
    torch.testing.assert_close(fused(x_BTW), definition(x_BTW))
    found, expected = (mixer.prefill(x_BTW, mixer.initial_state(1, TIME)) for mixer in (fused, definition))
    torch.testing.assert_close(found, expected)
    assert calls == [16, 16]


@pytest.mark.parametrize("size", GATES)
@pytest.mark.parametrize(
    ("input_gate", "readout"),
    [("exp", "normalised"), ("sigmoid", "normalised"), ("sigmoid", "plain"), ("sigmoid", "tanh")],
)
def test_slstm_is_its_unstabilised_recurrence(size, input_gate, readout):
    heads, V = 2, WIDTH // 2
    variant = {"input_gate": input_gate, "readout": readout, "kernel": "torch"}
    mixer = trained(SLSTMSpec(name="slstm", heads=heads, recurrent_init="normal", **variant).build(WIDTH))
    with torch.no_grad():
        mixer.gates.weight.view(heads, 4, V, WIDTH)[:, :2] *= size
    outputs = []
    c, n, h = (torch.zeros(heads, V, dtype=torch.float64) for _ in range(3))
    for x_W in tokens():
        gates = (mixer.gates.weight @ x_W + mixer.gates.bias).view(heads, 4 * V)
        gates = gates + torch.stack([mixer.cell.recurrence_HGV[a] @ h[a] for a in range(heads)])
        i, f, z, o = gates.view(heads, 4, V).unbind(1)
        i = i.exp() if input_gate == "exp" else i.sigmoid()
        c = f.sigmoid() * c + i * z.tanh()
        n = f.sigmoid() * n + i
        h = o.sigmoid() * {"normalised": c / n, "plain": c, "tanh": c.tanh()}[readout]
        outputs.append(mixer.out.weight @ (torch.cat([layer_norm(h[a]) for a in range(heads)]) * mixer.norm.weight))
    assert_follows(mixer, torch.stack(outputs), tolerance=1e-9 if size == 1 else 1e-6)
    assert_stable(mixer)


@pytest.mark.parametrize("slab", [mamba.SLAB, 1], ids=["one slab", "slabs of 3 tokens"])
@pytest.mark.parametrize("size", GATES)
def test_mamba_is_its_recurrence(size, slab, monkeypatch):
    monkeypatch.setattr(mamba, "SLAB", slab)
    monkeypatch.setattr(mamba, "FEWEST", 3)
    K, rank, inner = 3, 2, 2 * WIDTH
    mixer = trained(MambaSpec(name="mamba", state_dim=K, expand=2, rank=rank, kernel="torch").build(WIDTH))
    with torch.no_grad():
        mixer.select.weight[:rank] *= size
    outputs, S = [], torch.zeros(K, inner, dtype=torch.float64)
    for x_W in tokens():
        x, z = (mixer.xz.weight @ x_W).split(inner)
        dt, B, C = (mixer.select.weight @ x).split([rank, K, K])
        dt, A = torch.log1p(torch.exp(mixer.dt.weight @ dt + mixer.dt_bias_V)), -mixer.log_minus_A_KV.exp()
        S = torch.stack([(dt * A[n]).exp() * S[n] + dt * B[n] * x for n in range(K)])
        outputs.append(mixer.out.weight @ ((C @ S + mixer.D_V * x) * z * z.sigmoid()))
    assert_follows(mixer, torch.stack(outputs), tolerance=1e-7)  # torch's softplus is rounded to 2e-9 above 20
    assert_stable(mixer)


@pytest.mark.parametrize("slab", [3 * 20, 1], ids=["sequences together", "one at a time"])
def test_the_selective_scan_has_the_gradients_of_its_steps(slab, monkeypatch):
    monkeypatch.setattr(mamba, "SLAB", slab)
    monkeypatch.setattr(mamba, "FEWEST", 3)
    batch, K, V = 2, 2, 5
    shapes = (batch, TIME, V), (batch, TIME, V), (K, V), (batch, TIME, K), (batch, TIME, K), (V,), (batch, K, V)
    torch.manual_seed(3)
    x, dt, A, k, q, D, S = (torch.randn(shape, dtype=torch.float64) for shape in shapes)
    inputs = [part.requires_grad_() for part in (x, dt.exp(), -A.exp(), k, q, D, S)]
    x, dt, A, k, q, D, S = inputs
    outputs = []
    for t in range(TIME):
        y, S = mamba.recurrent(x[:, t], dt[:, t], A, k[:, t], q[:, t], D, S)
        outputs.append(y)
    expected, found = (torch.stack(outputs, dim=1), S), mamba.selective_scan(*inputs)
    weights = [torch.randn_like(part) for part in expected]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    for one, other in zip(
        *(torch.autograd.grad(parts, inputs, grad_outputs=weights) for parts in (found, expected)), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("chunk", [4, TIME])
@pytest.mark.parametrize("size", GATES)
def test_mamba2_is_its_recurrence(size, chunk, groups):
    heads, K, inner = 4, 3, 2 * WIDTH
    fields = {"heads": heads, "state_dim": K, "expand": 2, "chunk": chunk, "kernel": "torch"}
    mixer = trained(
        Mamba2Spec(name="mamba2", **fields).build(WIDTH)
        if groups == 1
        else Mamba2(WIDTH, **fields, groups=groups, convolution=0)
    )
    with torch.no_grad():
        mixer.zxkqdt.weight[-heads:] *= size
    outputs, S = [], torch.zeros(heads, K, inner // heads, dtype=torch.float64)
    for x_W in tokens():
        z, x, B, C, dt = (mixer.zxkqdt.weight @ x_W).split([inner, inner, groups * K, groups * K, heads])
        dt, A, x = torch.log1p(torch.exp(dt + mixer.dt_bias_H)), -mixer.log_minus_A_H.exp(), x.view(heads, -1)
        B, C = (part.view(groups, K).repeat_interleave(heads // groups, dim=0) for part in (B, C))
        S = torch.stack([(dt[a] * A[a]).exp() * S[a] + dt[a] * torch.outer(B[a], x[a]) for a in range(heads)])
        y = torch.cat([C[a] @ S[a] + mixer.D_H[a] * x[a] for a in range(heads)]) * z * z.sigmoid()
        y = y.view(groups, -1)
        y = (y / torch.sqrt(y.square().mean(-1, keepdim=True) + 1e-5)).flatten() * mixer.norm_weight_W
        outputs.append(mixer.out.weight @ y)
    assert_follows(mixer, torch.stack(outputs), tolerance=1e-7)  # torch's softplus is rounded to 2e-9 above 20
    assert_stable(mixer)


FUSED = [
    MambaSpec(name="mamba", state_dim=3, expand=2, rank=2, kernel="mamba-ssm"),
    Mamba2Spec(name="mamba2", heads=4, state_dim=3, expand=2, chunk=4, kernel="mamba-ssm"),
]


@pytest.mark.parametrize("spec", FUSED, ids=lambda spec: spec.name)
def test_a_fused_mamba_reads_whole_sequences_on_a_gpu_only_and_steps_anywhere(spec):
    torch.manual_seed(1)
    fused, defined = spec.build(WIDTH), spec.model_copy(update={"kernel": "torch"}).build(WIDTH)
    defined.load_state_dict(fused.state_dict())
    x_BTW = tokens().bfloat16()[None]
    y_BW, _ = fused.bfloat16().step(x_BTW[:, 0], fused.initial_state(1, 1))
    expected_BW, _ = defined.bfloat16().step(x_BTW[:, 0], defined.initial_state(1, 1))
    assert torch.equal(y_BW, expected_BW)
    with pytest.raises(UnsupportedKernel, match="mamba-ssm"):
        fused(x_BTW)


def test_groups_that_do_not_divide_the_heads_are_refused():
    with pytest.raises(ValueError, match="heads=4 is not divisible by groups=3: make heads a multiple of groups"):
        Mamba2(WIDTH, heads=4, state_dim=3, expand=2, groups=3, convolution=0, chunk=4, kernel="torch")


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


def gated_deltanet(width: int, **changes: object) -> GatedDeltaNet:
    fields = {"heads": 2, "key_dim": 3, "value_dim": 5, "negative_eigenvalues": False, "chunk": 4, "kernel": "torch"}
    return GatedDeltaNetSpec(name="gated-deltanet", **fields | changes).build(width)


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("chunk", [4, TIME])
@pytest.mark.parametrize("size", GATES)
def test_gated_deltanet_is_its_recurrence(size, chunk, negative):
    H, K, V = 2, 3, 5
    mixer = trained(gated_deltanet(WIDTH, chunk=chunk, negative_eigenvalues=negative))
    with torch.no_grad():
        mixer.qkv_z_a_b.weight[-2 * H :] *= size
    outputs, S, one = [], torch.zeros(H, K, V, dtype=torch.float64), torch.eye(K, dtype=torch.float64)
    for x_W in tokens():
        q, k, v, z, a, b = (mixer.qkv_z_a_b.weight @ x_W).split([H * K, H * K, H * V, H * V, H, H])
        q, k, v = (part * part.sigmoid() for part in (q, k, v))
        q, k, v, z = q.view(H, K), k.view(H, K), v.view(H, V), z.view(H, V)
        q, k = (part / torch.sqrt(part.square().sum(1, keepdim=True) + 1e-6) for part in (q, k))
        alpha = torch.exp(-mixer.log_A_H.exp() * torch.log1p(torch.exp(a + mixer.dt_bias_H)))
        beta = (2 if negative else 1) / (1 + torch.exp(-b - mixer.beta_bias_H))
        S = torch.stack(
            [
                alpha[h] * (one - beta[h] * torch.outer(k[h], k[h])) @ S[h] + beta[h] * torch.outer(k[h], v[h])
                for h in range(H)
            ]
        )
        o = torch.stack([S[h].T @ q[h] / math.sqrt(K) for h in range(H)])
        o = o / torch.sqrt(o.square().mean(1, keepdim=True) + 1e-5) * mixer.norm_weight_V * z * z.sigmoid()
        outputs.append(mixer.out.weight @ o.flatten())
    assert_follows(mixer, torch.stack(outputs), tolerance=1e-7)  # torch's softplus is rounded to 2e-9 above 20
    assert_stable(mixer)


@pytest.mark.parametrize("chunk", [1, 4, 64])
@pytest.mark.parametrize("log_decay", [0.0, -1e-3, -5.0, -1e3])
def test_both_forms_of_the_gated_delta_rule_agree_from_any_memory(log_decay, chunk):
    torch.manual_seed(7)
    B, H, K, V = 2, 3, 4, 5
    q, k = (nn.functional.normalize(torch.randn(B, TIME, H, K, dtype=torch.float64), dim=-1) for _ in range(2))
    v, beta = torch.randn(B, TIME, H, V, dtype=torch.float64), 2 * torch.rand(B, TIME, H, dtype=torch.float64)
    g, S = log_decay * torch.rand(B, TIME, H, dtype=torch.float64), torch.randn(B, H, K, V, dtype=torch.float64)
    operands = [x.requires_grad_() for x in (q, k, v, g, beta, S)]
    one_by_one, last = [], S
    for t in range(TIME):
        o, last = gated_delta_step(q[:, t], k[:, t], v[:, t], g[:, t], beta[:, t], last)
        one_by_one.append(o)
    o, S_found = gated_delta_rule(*operands, chunk=chunk)
    weights = torch.randn_like(o), torch.randn_like(S)
    pairs = [(o, torch.stack(one_by_one, dim=1)), (S_found, last)]
    found, expected = (
        torch.autograd.grad(sum((x * w).sum() for x, w in zip(form, weights, strict=True)), operands)
        for form in zip(*pairs, strict=True)
    )
    for one, other in [*pairs, *zip(found, expected, strict=True)]:
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("negative", [False, True])
def test_a_gated_deltanet_counts_parity_only_with_negative_eigenvalues(negative):
    bits_BT = torch.randint(2, (8, 300), generator=torch.Generator().manual_seed(3))
    x_BTW = nn.functional.one_hot(nn.functional.pad(bits_BT, (1, 0), value=2), 3).double()
    mixer = gated_deltanet(3, heads=1, key_dim=1, value_dim=1, negative_eigenvalues=negative, chunk=64).double()
    with torch.no_grad():
        mixer.dt_bias_H.fill_(-1e3)  # alpha = 1: nothing is forgotten
        q, k, v, z, _, b = mixer.qkv_z_a_b.weight  # a column each for the bits 0 and 1 and for the first token
        q.fill_(1e4), k.fill_(1e4), z.fill_(1.0)
        v.copy_(torch.tensor([0.0, 0.0, 1.0]))  # the first token writes 1
        b.copy_(torch.tensor([-1e3, 1e3, 0.0]))  # beta is 0 at a bit of 0, and its largest at a bit of 1
        mixer.out.weight.copy_(torch.tensor([[1.0], [0.0], [0.0]]))
        y_BT = mixer(x_BTW)[:, 1:, 0]
    parity_BT = 1 - 2 * (bits_BT.cumsum(1) % 2).double()
    assert torch.allclose(y_BT, y_BT.abs().max() * parity_BT) == negative
    assert torch.equal(y_BT.sign(), parity_BT) == negative


@pytest.mark.parametrize("negative", [False, True])
def test_only_negative_eigenvalues_let_a_gated_deltanet_alternate_on_a_constant_input(negative):
    torch.manual_seed(5)
    mixer = trained(gated_deltanet(WIDTH, negative_eigenvalues=negative))
    with torch.no_grad():
        mixer.beta_bias_H.fill_(2.0)
        x_W, state, memories = tokens()[0], mixer.initial_state(1, TIME), []
        for _ in range(TIME):
            _, state = mixer.step(x_W[None], state)
            memories.append(state.S_BHKV)
        steps = torch.stack(memories).diff(dim=0)
        turns = (steps[1:] * steps[:-1]).sum(-1) < -1e-15
    assert turns.any() == negative


def test_a_gated_deltanet_is_built_anywhere_and_its_fused_kernel_says_what_it_lacks():
    with torch.device("meta"):
        gated_deltanet(WIDTH, kernel="fla", chunk=16)
    with pytest.raises(UnsupportedKernel, match="kernel"):
        gated_deltanet(WIDTH, kernel="fla", chunk=16).double()(tokens()[None])


def test_a_gated_deltanet_steps_in_half_precision_whatever_its_kernel():
    plain, fused = (gated_deltanet(WIDTH, kernel=kernel, chunk=16).bfloat16() for kernel in ("torch", "fla"))
    fused.load_state_dict(plain.state_dict())
    x_BW = tokens()[:2].bfloat16()
    (expected_BW, expected), (found_BW, found) = (
        mixer.step(x_BW, mixer.initial_state(2, 1)) for mixer in (plain, fused)
    )
    assert torch.equal(found_BW, expected_BW)
    assert torch.equal(found.S_BHKV, expected.S_BHKV)


def test_the_convolution_reaches_back_over_its_kernel():
    kernel = 4
    convolution, x_TW = trained(CanonConvolution(WIDTH, kernel=kernel)), tokens()
    for t, found_W in enumerate(convolution(x_TW[None])[0]):
        taps = [convolution.weight[:, kernel - 1 - back] * x_TW[t - back] for back in range(kernel) if back <= t]
        y_W = x_TW[t] + sum(taps)
        torch.testing.assert_close(found_W, y_W)


def test_mlstm_forgets_a_large_early_input_without_losing_later_ones():
    mixer = MLSTMSpec(name="mlstm", heads=1, key_dim=4, gates=MLSTM_GATES, chunk=16, kernel="torch").build(WIDTH)
    with torch.no_grad():
        mixer.gates.input.weight[0, 0], mixer.gates.forget.weight[0, 1], mixer.gates.forget.bias[0] = 1.0, 1.0, 0.0
    x_BTW = torch.randn(1, 64, WIDTH)
    x_BTW[0, :, 0] = torch.linspace(160, 40, 64)  # the input gate's pre-activation falls by more than exp can hold
    found_BTW, expected_BTW = mixer(x_BTW), mixer.double()(x_BTW.double())
    torch.testing.assert_close(found_BTW.double(), expected_BTW, rtol=0, atol=1e-3)


def test_attention_refuses_a_token_more_than_its_state_can_take():
    mixer = attention().build(WIDTH)
    x_BTW = tokens().float()[None]
    with pytest.raises(ValueError, match=r"token 11 does not fit a state of max_time=10: ask initial_state"):
        mixer.prefill(x_BTW, mixer.initial_state(1, TIME - 1))
    _, state = mixer.prefill(x_BTW, mixer.initial_state(1, TIME))
    with pytest.raises(ValueError, match="token 12 does not fit"):
        mixer.step(x_BTW[:, 0], state)


def test_attention_reads_nothing_of_its_state_beyond_the_position():
    mixer = attention().build(WIDTH)
    x_BTW, roomy = tokens().float()[None], mixer.initial_state(1, 50)
    roomy.k_BHTK.fill_(torch.nan), roomy.v_BHTK.fill_(torch.nan)
    with torch.no_grad():
        first_BTW, roomy = mixer.prefill(x_BTW[:, :4], roomy)
        second_BTW, roomy = mixer.prefill(x_BTW[:, 4:10], roomy)
        last_BW, _ = mixer.step(x_BTW[:, 10], roomy)
        torch.testing.assert_close(torch.cat([first_BTW, second_BTW, last_BW[:, None]], dim=1), mixer(x_BTW))


@pytest.mark.parametrize("window", [None, 3])
def test_attention_learns_through_a_prefill_in_many_pieces(window):
    mixer, x_BTW = trained(attention(window=window).build(WIDTH)), tokens()[None]
    weights_BTW, state, outputs = torch.randn_like(x_BTW), mixer.initial_state(1, TIME), []
    for piece_BTW in x_BTW.split([1, 4, 1, 2, 3], dim=1):
        y_BTW, state = mixer.prefill(piece_BTW, state)
        outputs.append(y_BTW)
    in_pieces, at_once = (
        torch.autograd.grad((y_BTW * weights_BTW).sum(), list(mixer.parameters()))
        for y_BTW in (torch.cat(outputs, dim=1), mixer(x_BTW))
    )
    for found, expected in zip(in_pieces, at_once, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_a_window_makes_a_state_of_constant_size():
    mixer = attention(window=3).build(WIDTH)
    assert state_bytes(mixer.initial_state(1, 3)) == state_bytes(mixer.initial_state(1, 10**6)) == 2 * 3 * WIDTH * 4 + 8


def test_attention_trains_after_it_has_been_evaluated():
    frequencies.cache_clear()
    mixer, x_BTW = attention().build(WIDTH), tokens().float()[None]
    with torch.inference_mode():
        mixer(x_BTW)
    mixer(x_BTW).sum().backward()
    assert mixer.qkv.weight.grad.isfinite().all()


@pytest.mark.parametrize(
    ("changes", "width", "sentence"),
    [
        (
            {"heads": 4, "key_value_heads": 3},
            8,
            "key_value_heads=3 does not divide heads=4.* a multiple of key_value_heads",
        ),
        ({"heads": 2, "key_value_heads": 4}, 8, "key_value_heads=4 does not divide heads=2"),
        ({"window": 4, "kernel": "flash"}, 8, "kernel=flash has no window, so window=4 cannot be: take flash-attn"),
        ({"kernel": "flash-attn"}, 1024, "heads of 512 channels, and kernel=flash-attn takes 256: raise heads"),
        ({"window": 0}, 8, "window"),
        ({"rotary_base": 1.0}, 8, "rotary_base"),
        ({"kernel": "torch"}, 8, "kernel"),
    ],
    ids=str,
)
def test_infeasible_attention_is_refused_with_its_remedy(changes, width, sentence):
    with pytest.raises(ValueError, match=sentence):
        attention(**changes).build(width)


@pytest.mark.parametrize("shape", [(3, 5, WIDTH), (3, WIDTH), (2, 0, WIDTH)], ids=str)
def test_the_root_mean_square_norm_and_its_gradient_are_its_equation(shape):
    norm = trained(RMSNorm(WIDTH, eps=0.1))
    x_BTW = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    expected_BTW = norm.weight * x_BTW / torch.sqrt(x_BTW.square().mean(-1, keepdim=True) + 0.1)
    weights_BTW = torch.randn_like(expected_BTW)
    with torch.no_grad():
        torch.testing.assert_close(norm(x_BTW), expected_BTW)
    torch.testing.assert_close(norm(x_BTW), expected_BTW)
    found, expected = (
        torch.autograd.grad((y_BTW * weights_BTW).sum(), [x_BTW, norm.weight]) for y_BTW in (norm(x_BTW), expected_BTW)
    )
    torch.testing.assert_close(found, expected)


def test_the_gradient_of_the_root_mean_square_norm_stays_in_float32_under_autocast():
    norm, x_BTW = RMSNorm(WIDTH, eps=1e-5), tokens().float()[None].requires_grad_()
    weights_BTW = torch.randn_like(x_BTW)
    expected = torch.autograd.grad((norm(x_BTW) * weights_BTW).sum(), [x_BTW, norm.weight])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = torch.autograd.grad((norm(x_BTW) * weights_BTW).sum(), [x_BTW, norm.weight])
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
