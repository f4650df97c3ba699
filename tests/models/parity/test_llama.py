"""The Llama block against the implementations of Llama and Mistral in Hugging Face transformers 5.23, in float64.

Transformers computes norms, rotary angles and the softmax in float32 whatever the weights' type. Here its modules read float64
for float32, so that nothing but the order of sums is left to tell the two apart.
"""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, PreTrainedModel
from transformers.models.llama import modeling_llama
from transformers.models.mistral import modeling_mistral

from models.native.llama import EPSILON, LlamaSpec
from models.network import NativeNetworkSpec, Network
from tests.models.parity.precision import Doubled
from tests.models.weights import perturbed

WIDTH, DEPTH, HIDDEN, VOCABULARY, BATCH, TIME = 16, 2, 24, 13, 2, 11


class Case(NamedTuple):
    key_value_heads: int
    window: int | None
    tied: bool
    implementation: str  # of the peer's attention


CASES = [
    Case(4, None, tied=False, implementation="eager"),
    Case(4, None, tied=True, implementation="sdpa"),
    Case(2, None, tied=False, implementation="eager"),
    Case(1, None, tied=False, implementation="sdpa"),
    Case(4, 3, tied=False, implementation="eager"),
    Case(2, 4, tied=False, implementation="sdpa"),
    Case(2, TIME + 1, tied=False, implementation="sdpa"),
]

every_case = pytest.mark.parametrize("case", CASES, ids=str)


@pytest.fixture(autouse=True)
def _doubled(monkeypatch):
    for module in (modeling_llama, modeling_mistral):
        monkeypatch.setattr(module, "torch", Doubled())


def spec(case: Case) -> LlamaSpec:
    return LlamaSpec(
        name="llama",
        heads=4,
        key_value_heads=case.key_value_heads,
        window=case.window,
        rotary_base=100.0,
        kernel="sdpa",
        feedforward=HIDDEN,
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
        "intermediate_size": HIDDEN,
        "num_hidden_layers": DEPTH,
        "num_attention_heads": 4,
        "num_key_value_heads": case.key_value_heads,
        "max_position_embeddings": TIME,
        "rms_norm_eps": EPSILON,
        "rope_parameters": {"rope_type": "default", "rope_theta": 100.0},
        "tie_word_embeddings": case.tied,
        "attn_implementation": case.implementation,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    if case.window is None:
        return LlamaForCausalLM(LlamaConfig(**fields)).double()
    return MistralForCausalLM(MistralConfig(**fields, sliding_window=case.window)).double()


def paired(network: Network, official: PreTrainedModel) -> list[tuple[Tensor, list[Tensor]]]:
    """Every parameter of ours beside those of the official model that are its rows, one below the other."""
    pairs = [
        (network.embedding.weight, [official.model.embed_tokens.weight]),
        (network.norm.weight, [official.model.norm.weight]),
    ]
    if network.head.weight is not network.embedding.weight:
        pairs.append((network.head.weight, [official.lm_head.weight]))
    for block, layer in zip(network.blocks, official.model.layers, strict=True):
        attention, feedforward = layer.self_attn, layer.mlp
        pairs += [
            (block.mixer_norm.weight, [layer.input_layernorm.weight]),
            (block.mixer.qkv.weight, [part.weight for part in (attention.q_proj, attention.k_proj, attention.v_proj)]),
            (block.mixer.out.weight, [attention.o_proj.weight]),
            (block.feedforward_norm.weight, [layer.post_attention_layernorm.weight]),
            (block.feedforward.gate_and_in.weight, [feedforward.gate_proj.weight, feedforward.up_proj.weight]),
            (block.feedforward.out.weight, [feedforward.down_proj.weight]),
        ]
    assert {id(one) for one, _ in pairs} == {id(parameter) for parameter in network.parameters()}
    assert {id(part) for _, parts in pairs for part in parts} == {id(parameter) for parameter in official.parameters()}
    return pairs


def both(case: Case) -> tuple[Network, PreTrainedModel]:
    """Ours and the official model with the same weights."""
    network, official = ours(case), theirs(case)
    with torch.no_grad():
        for one, parts in paired(network, official):
            for part, rows in zip(parts, one.split([len(part) for part in parts]), strict=True):
                part.copy_(rows)
    return network, official


def tokens() -> Tensor:
    return torch.randint(0, VOCABULARY, (BATCH, TIME), generator=torch.Generator().manual_seed(2))


def assert_same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


@every_case
def test_logits_and_every_gradient_are_the_official_ones(case):
    network, official = both(case)
    found_BTN, expected_BTN = network(tokens()), official(tokens(), use_cache=False).logits
    assert_same(found_BTN, expected_BTN)
    weights_BTN = torch.randn_like(expected_BTN)
    (found_BTN * weights_BTN).sum().backward()
    (expected_BTN * weights_BTN).sum().backward()
    for one, parts in paired(network, official):
        assert one.grad.any()
        assert_same(one.grad, torch.cat([part.grad for part in parts]))


@every_case
def test_one_block_is_the_official_layer(case):
    network, official = both(case)
    x_BTW = torch.randn(BATCH, TIME, WIDTH, dtype=torch.float64)
    captured = {}
    for name, layer in enumerate(official.model.layers):
        layer.register_forward_hook(lambda _, __, y_BTW, name=name: captured.update({name: y_BTW}))
    official(inputs_embeds=x_BTW, use_cache=False)
    assert_same(network.blocks[0](x_BTW), captured[0])
    assert_same(network.blocks[1](captured[0]), captured[1])


@every_case
@pytest.mark.parametrize("prompt", [1, 3, 7])
@torch.no_grad()
def test_prefill_and_steps_give_the_official_logits(case, prompt):
    network, official = both(case)
    expected_BTN = official(tokens(), use_cache=False).logits
    logits_BN, state = network.prefill(tokens()[:, :prompt], network.initial_state(BATCH, TIME))
    assert_same(logits_BN, expected_BTN[:, prompt - 1])
    for time in range(prompt, TIME):
        logits_BN, state = network.step(tokens()[:, time], state)
        assert_same(logits_BN, expected_BTN[:, time])


@every_case
@torch.no_grad()
def test_the_state_holds_what_the_official_cache_holds(case):
    network, official = both(case)
    cache = official(tokens(), use_cache=True).past_key_values
    _, state = network.prefill(tokens(), network.initial_state(BATCH, TIME))
    for block_state, layer in zip(state, cache.layers, strict=True):
        kept = layer.keys.shape[2]  # with a window, one token fewer than a query sees
        slots = torch.arange(TIME - kept, TIME) % block_state.k_BHTK.shape[2]
        assert kept == (TIME if case.window is None else min(TIME, case.window - 1))
        assert_same(block_state.k_BHTK[:, :, slots], layer.keys)
        assert_same(block_state.v_BHTK[:, :, slots], layer.values)


def test_weights_start_as_the_official_ones():
    width, depth = 96, 2
    torch.manual_seed(1)
    fields = {
        "heads": 4,
        "key_value_heads": 2,
        "window": None,
        "rotary_base": 1e4,
        "kernel": "sdpa",
        "feedforward": 256,
    }
    spec = NativeNetworkSpec(block="native", width=width, depth=depth, tied=False, mixer={"name": "llama"} | fields)
    for name, parameter in spec.build(512).named_parameters():
        if parameter.ndim == 1:
            assert (parameter == 1).all(), name
        else:
            assert parameter.std().item() == pytest.approx(LlamaConfig().initializer_range, rel=0.03), name
            assert parameter.mean().item() == pytest.approx(0, abs=0.001), name
