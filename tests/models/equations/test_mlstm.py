"""mLSTM against the paper's equations, token by token, in float64, from the weights alone."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from models.mixer import SequenceMixer
from models.mlstm import MLSTMSpec
from models.mlstm_cell import MLSTMState, chunkwise, parallel, recurrent
from models.mlstm_gates import MLSTMGates
from tests.models.equations.following import (
    GATES,
    TIME,
    WIDTH,
    assert_follows,
    assert_stable,
    layer_norm,
    tokens,
    trained,
)
from tests.models.rows import MLSTM_GATES

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


def test_mlstm_forgets_a_large_early_input_without_losing_later_ones():
    mixer = MLSTMSpec(name="mlstm", heads=1, key_dim=4, gates=MLSTM_GATES, chunk=16, kernel="torch").build(WIDTH)
    with torch.no_grad():
        mixer.gates.input.weight[0, 0], mixer.gates.forget.weight[0, 1], mixer.gates.forget.bias[0] = 1.0, 1.0, 0.0
    x_BTW = torch.randn(1, 64, WIDTH)
    x_BTW[0, :, 0] = torch.linspace(160, 40, 64)  # the input gate's pre-activation falls by more than exp can hold
    found_BTW, expected_BTW = mixer(x_BTW), mixer.double()(x_BTW.double())
    torch.testing.assert_close(found_BTW.double(), expected_BTW, rtol=0, atol=1e-3)
