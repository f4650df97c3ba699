"""The blocks of Mamba and Mamba-2 against their implementations in Hugging Face transformers 5.23, in float64.

Transformers computes decays, norms and Mamba-2's whole scan in float32 whatever the weights' type. Here its modules read
float64 for float32, so that nothing but the order of sums is left to tell the two apart. Its drawn weights are not the
released ones and are not compared: it starts the convolution's bias at 0, the embedding at a deviation of 0.1 and
Mamba-2's A at -1, -2, ... -heads.
"""

import math
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from transformers import Mamba2Config, Mamba2ForCausalLM, MambaConfig, MambaForCausalLM, PreTrainedModel
from transformers.models.mamba import modeling_mamba
from transformers.models.mamba2 import modeling_mamba2

from models.block import Block
from models.native.mamba import DEVIATION, EPSILON, MambaArchitectureSpec
from models.native.mamba2 import Mamba2ArchitectureSpec
from models.network import NativeNetworkSpec, Network
from tests.models.parity.precision import Doubled
from tests.models.weights import perturbed

WIDTH, DEPTH, VOCABULARY, BATCH, TIME = 12, 2, 13, 2, 11
HEADS, STATE_DIM, EXPAND, RANK = 4, 3, 2, 2


class Case(NamedTuple):
    groups: int | None  # of Mamba-2; Mamba where there are none
    chunk: int | None
    convolution: int
    tied: bool


CASES = [
    Case(groups=None, chunk=None, convolution=4, tied=False),
    Case(groups=None, chunk=None, convolution=3, tied=True),
    Case(groups=1, chunk=4, convolution=4, tied=False),
    Case(groups=2, chunk=4, convolution=2, tied=True),
    Case(groups=4, chunk=TIME, convolution=4, tied=False),
]

every_case = pytest.mark.parametrize("case", CASES, ids=str)


@pytest.fixture(autouse=True)
def _doubled(monkeypatch):
    for module in (modeling_mamba, modeling_mamba2):
        monkeypatch.setattr(module, "torch", Doubled())
    monkeypatch.setattr(Tensor, "float", Tensor.double)


def spec(case: Case) -> MambaArchitectureSpec | Mamba2ArchitectureSpec:
    if case.groups is None:
        return MambaArchitectureSpec(
            name="mamba",
            state_dim=STATE_DIM,
            expand=EXPAND,
            rank=RANK,
            convolution=case.convolution,
            kernel="torch",
        )
    return Mamba2ArchitectureSpec(
        name="mamba2",
        heads=HEADS,
        state_dim=STATE_DIM,
        expand=EXPAND,
        groups=case.groups,
        convolution=case.convolution,
        chunk=case.chunk,
        kernel="torch",
    )


def ours(case: Case) -> Network:
    """With weights as random as after training."""
    torch.manual_seed(1)
    network_spec = NativeNetworkSpec(block="native", width=WIDTH, depth=DEPTH, tied=case.tied, mixer=spec(case))
    network = network_spec.build(VOCABULARY).double()
    return perturbed(network, deviation=0.2)


def theirs(case: Case) -> PreTrainedModel:
    fields = {
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "num_hidden_layers": DEPTH,
        "state_size": STATE_DIM,
        "expand": EXPAND,
        "conv_kernel": case.convolution,
        "layer_norm_epsilon": EPSILON,
        "tie_word_embeddings": case.tied,
        "use_cache": False,
    }
    if case.groups is None:
        return MambaForCausalLM(MambaConfig(**fields, time_step_rank=RANK, use_mambapy=False)).double()
    head_dim = EXPAND * WIDTH // HEADS
    scan = {"num_heads": HEADS, "head_dim": head_dim, "n_groups": case.groups, "chunk_size": case.chunk}
    return Mamba2ForCausalLM(Mamba2Config(**fields, **scan)).double()


def paired_blocks(block: Block, layer: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Every parameter of a block of ours beside the official one."""
    one, other = block.mixer, layer.mixer
    pairs = [
        (block.mixer_norm.weight, layer.norm.weight),
        (one.convolution.weight, other.conv1d.weight),
        (one.convolution.bias, other.conv1d.bias),
        (one.out.weight, other.out_proj.weight),
    ]
    if isinstance(other, modeling_mamba.MambaMixer):
        pairs += [
            (one.xz.weight, other.in_proj.weight),
            (one.select.weight, other.x_proj.weight),
            (one.dt.weight, other.dt_proj.weight),
            (one.dt_bias_V, other.dt_proj.bias),
            (one.log_minus_A_KV, other.A_log),
            (one.D_V, other.D),
        ]
    else:
        pairs += [
            (one.zxkqdt.weight, other.in_proj.weight),
            (one.dt_bias_H, other.dt_bias),
            (one.log_minus_A_H, other.A_log),
            (one.D_H, other.D),
            (one.norm_weight_W, other.norm.weight),
        ]
    for column, module in enumerate((block, layer)):
        assert {id(pair[column]) for pair in pairs} == {id(parameter) for parameter in module.parameters()}
    return pairs


def aligned(other: Tensor, own: Tensor) -> Tensor:
    """Returns a view of an official parameter, or of its gradient, in the order of axes of ours."""
    if other.shape == own.shape:
        return other
    return other[:, 0] if other.ndim == 3 else other.mT  # a convolution; A


def paired(network: Network, official: PreTrainedModel) -> list[tuple[Tensor, Tensor]]:
    pairs = [
        (network.embedding.weight, official.backbone.embeddings.weight),
        (network.norm.weight, official.backbone.norm_f.weight),
    ]
    if network.head.weight is not network.embedding.weight:
        pairs.append((network.head.weight, official.lm_head.weight))
    for block, layer in zip(network.blocks, official.backbone.layers, strict=True):
        pairs += paired_blocks(block, layer)
    return pairs


def both(case: Case) -> tuple[Network, PreTrainedModel]:
    """Ours and the official model with the same weights."""
    network, official = ours(case), theirs(case)
    with torch.no_grad():
        for own, other in paired(network, official):
            aligned(other, own).copy_(own)
    return network, official


def tokens() -> Tensor:
    return torch.randint(0, VOCABULARY, (BATCH, TIME), generator=torch.Generator().manual_seed(2))


def assert_same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


def assert_same_gradients(found: Tensor, expected: Tensor, pairs: list[tuple[Tensor, Tensor]]) -> None:
    weights = torch.randn_like(expected)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    for own, other in pairs:
        assert own.grad.any()
        assert_same(own.grad, aligned(other.grad, own))


@every_case
def test_logits_and_every_gradient_are_the_official_ones(case):
    network, official = both(case)
    found_BTN, expected_BTN = network(tokens()), official(tokens()).logits
    assert_same(found_BTN, expected_BTN)
    assert_same_gradients(found_BTN, expected_BTN, paired(network, official))


@every_case
def test_one_block_and_its_gradients_are_those_of_the_official_layer(case):
    network, official = both(case)
    block, layer = network.blocks[1], official.backbone.layers[1]
    x_BTW = torch.randn(BATCH, TIME, WIDTH, dtype=torch.float64)
    own_BTW, other_BTW = x_BTW.clone().requires_grad_(), x_BTW.clone().requires_grad_()
    found_BTW, expected_BTW = block(own_BTW), layer(other_BTW)
    assert_same(found_BTW, expected_BTW)
    assert_same_gradients(found_BTW, expected_BTW, [*paired_blocks(block, layer), (own_BTW, other_BTW)])


@every_case
@pytest.mark.parametrize("prompt", [1, 3, 7])
@torch.no_grad()
def test_prefill_and_steps_give_the_official_logits(case, prompt):
    network, official = both(case)
    expected_BTN = official(tokens()).logits
    logits_BN, state = network.prefill(tokens()[:, :prompt], network.initial_state(BATCH, TIME))
    assert_same(logits_BN, expected_BTN[:, prompt - 1])
    for time in range(prompt, TIME):
        logits_BN, state = network.step(tokens()[:, time], state)
        assert_same(logits_BN, expected_BTN[:, time])


@every_case
@torch.no_grad()
def test_the_state_holds_what_the_official_cache_holds(case):
    network, official = both(case)
    cache = official(tokens(), use_cache=True).cache_params
    _, state = network.prefill(tokens(), network.initial_state(BATCH, TIME))
    for (window_BFW, S_BK), layer in zip(state, cache.layers, strict=True):
        assert_same(window_BFW.mT, layer.conv_states[0][..., -window_BFW.shape[1] :])
        assert_same(S_BK.movedim(1, -1), layer.recurrent_states[0])


def started(spec: MambaArchitectureSpec | Mamba2ArchitectureSpec) -> Network:
    torch.manual_seed(1)
    return NativeNetworkSpec(block="native", width=96, depth=4, tied=True, mixer=spec).build(512)


def assert_uniform(weight: Tensor, bound: float) -> None:
    assert weight.abs().max() <= bound * (1 + 1e-6)
    assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.06)
    assert weight.mean().item() == pytest.approx(0, abs=0.1 * bound)


def assert_log_uniform_dt(bias: Tensor) -> None:
    log_dt = torch.nn.functional.softplus(bias.double()).log()
    assert math.log(0.000999) < log_dt.min() < math.log(0.003)
    assert math.log(0.03) < log_dt.max() < math.log(0.1001)
    assert log_dt.mean().item() == pytest.approx(math.log(0.01), abs=0.3)


def test_mamba_starts_as_released():
    network = started(
        MambaArchitectureSpec(name="mamba", state_dim=16, expand=2, rank=6, convolution=4, kernel="torch")
    )
    for block in network.blocks:
        mixer = block.mixer
        assert_uniform(mixer.xz.weight, 96**-0.5)
        assert_uniform(mixer.select.weight, 192**-0.5)
        assert_uniform(mixer.dt.weight, 6**-0.5)
        assert_uniform(mixer.convolution.weight, 4**-0.5)
        assert_uniform(mixer.convolution.bias, 4**-0.5)
        assert_uniform(mixer.out.weight, (4 * 192) ** -0.5)  # divided by sqrt(depth)
        torch.testing.assert_close(mixer.log_minus_A_KV.exp(), torch.arange(1.0, 17.0)[:, None].expand(16, 192))
        assert (mixer.D_V == 1).all()
    assert_log_uniform_dt(torch.cat([block.mixer.dt_bias_V for block in network.blocks]))
    assert_ends(network)


def test_mamba2_starts_as_released():
    fields = {"heads": 64, "state_dim": 32, "expand": 2, "groups": 1, "convolution": 4, "chunk": 64}
    network = started(Mamba2ArchitectureSpec(name="mamba2", **fields, kernel="torch"))
    for block in network.blocks:
        mixer, A_H = block.mixer, block.mixer.log_minus_A_H.exp()
        assert_uniform(mixer.zxkqdt.weight, 96**-0.5)
        assert_uniform(mixer.convolution.weight, 4**-0.5)
        assert_uniform(mixer.convolution.bias, 4**-0.5)
        assert_uniform(mixer.out.weight, (4 * 192) ** -0.5)  # divided by sqrt(depth)
        assert 1 <= A_H.min() < 3
        assert 14 < A_H.max() <= 16
        assert A_H.mean().item() == pytest.approx(8.5, abs=1.7)
        assert (mixer.D_H == 1).all()
        assert (mixer.norm_weight_W == 1).all()
    assert_log_uniform_dt(torch.cat([block.mixer.dt_bias_H for block in network.blocks]))
    assert_ends(network)


def assert_ends(network: Network) -> None:
    assert network.embedding.weight.std().item() == pytest.approx(DEVIATION, rel=0.03)
    assert network.head.weight is network.embedding.weight
    for norm in (network.norm, *(block.mixer_norm for block in network.blocks)):
        assert (norm.weight == 1).all()
        assert norm.eps == EPSILON
