"""Mamba and Mamba-2 against the paper's equations, token by token, in float64, from the weights alone."""

import pytest
import torch

from models import mamba
from models.mamba import MambaSpec
from models.mamba2 import Mamba2, Mamba2Spec
from models.mixer import UnsupportedKernel
from tests.models.equations.following import GATES, TIME, WIDTH, assert_follows, assert_stable, tokens, trained

FUSED = [
    MambaSpec(name="mamba", state_dim=3, expand=2, rank=2, kernel="mamba-ssm"),
    Mamba2Spec(name="mamba2", heads=4, state_dim=3, expand=2, chunk=4, kernel="mamba-ssm"),
]


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
