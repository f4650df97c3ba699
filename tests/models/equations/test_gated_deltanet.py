"""Gated DeltaNet against the paper's equations, token by token, in float64, from the weights alone."""

import math

import pytest
import torch
from torch import nn

from models.gated_deltanet import GatedDeltaNet, GatedDeltaNetSpec
from models.gated_deltanet import chunkwise as gated_delta_rule
from models.gated_deltanet import recurrent as gated_delta_step
from models.mixer import UnsupportedKernel
from tests.models.equations.following import (
    GATES,
    TIME,
    WIDTH,
    assert_follows,
    assert_stable,
    tokens,
    trained,
)


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
