"""The block of Gated DeltaNet against that of Qwen3-Next in Hugging Face transformers 5.23, which is the same layer.

Transformers computes the recurrence, the gates and the norm behind them in float32 whatever the weights' type; that is
compared as it is, and with its modules reading float64 for float32, so that nothing but the order of sums is left to
tell the two apart. It has no bias in beta, which the authors' released code has and which is 0 here; nor does it know
negative eigenvalues. Its drawn weights are not the released ones and are not compared.
"""

import sys

import pytest
import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache, Qwen3NextConfig

from models.block import Block
from models.native.gated_deltanet import DEVIATION, EPSILON, GatedDeltaNetArchitectureSpec
from models.network import NativeNetworkSpec, Network
from tests.models.parity.precision import Doubled
from tests.models.weights import perturbed

with (
    pytest.MonkeyPatch.context() as hidden
):  # whose kernels transformers would take even on a CPU, where they cannot run
    hidden.setitem(sys.modules, "fla", None)
    hidden.setitem(sys.modules, "causal_conv1d", None)
    from transformers.models.qwen3_next import modeling_qwen3_next as official

WIDTH, DEPTH, VOCABULARY, BATCH, TIME, FEEDFORWARD = 12, 2, 13, 2, 70, 20  # the official chunk is of 64 tokens
HEADS, KEY_DIM, VALUE_DIM, CONVOLUTION = 2, 3, 5, 4


@pytest.fixture(params=["float32", "float64"])
def tolerance(request, monkeypatch) -> float:
    """How close the two are, with the official recurrence in float32 or in float64."""
    if request.param == "float32":
        return 1e-4
    monkeypatch.setattr(official, "torch", Doubled())
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    return 1e-10


def spec(**changes: object) -> GatedDeltaNetArchitectureSpec:
    fields = {
        "heads": HEADS,
        "key_dim": KEY_DIM,
        "value_dim": VALUE_DIM,
        "convolution": CONVOLUTION,
        "negative_eigenvalues": False,
        "feedforward": FEEDFORWARD,
        "chunk": 16,
        "kernel": "torch",
    }
    return GatedDeltaNetArchitectureSpec(name="gated-deltanet", **fields | changes)


def theirs() -> nn.Module:
    """With weights as random as after training, in float64."""
    torch.manual_seed(1)
    config = Qwen3NextConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=FEEDFORWARD,
        num_hidden_layers=DEPTH,
        layer_types=["linear_attention"] * DEPTH,
        mlp_only_layers=list(range(DEPTH)),
        rms_norm_eps=EPSILON,
        linear_conv_kernel_dim=CONVOLUTION,
        linear_key_head_dim=KEY_DIM,
        linear_value_head_dim=VALUE_DIM,
        linear_num_key_heads=HEADS,
        linear_num_value_heads=HEADS,
        tie_word_embeddings=False,
        use_cache=False,
    )
    model = official.Qwen3NextForCausalLM(config).double()
    perturbed(model, deviation=0.2)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.linear_attn.A_log.sub_(5)  # so that memories outlast chunks, as after the released initialisation
    return model


def ours(model: nn.Module) -> Network:
    """With the weights of the official model."""
    network = NativeNetworkSpec(block="native", width=WIDTH, depth=DEPTH, tied=False, mixer=spec()).build(VOCABULARY)
    named = dict(network.double().named_parameters())
    with torch.no_grad():
        for name, tensor in renamed(dict(model.named_parameters())).items():
            named[name].copy_(tensor + 1 if is_norm_around_zero(name) else tensor)
    return network


def is_norm_around_zero(name: str) -> bool:
    """Whether the official weight is that of a norm which multiplies by 1 + weight."""
    return name.endswith("norm.weight")


def renamed(official_tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights, or their gradients, of the official model under our names and in our order."""
    named = {
        "embedding.weight": official_tensors["model.embed_tokens.weight"],
        "norm.weight": official_tensors["model.norm.weight"],
        "head.weight": official_tensors["lm_head.weight"],
    }
    for index in range(DEPTH):
        start = f"model.layers.{index}."
        layer = {name.removeprefix(start): x for name, x in official_tensors.items() if name.startswith(start)}
        qkvz = layer["linear_attn.in_proj_qkvz.weight"].view(HEADS, -1, WIDTH)
        b, a = layer["linear_attn.in_proj_ba.weight"].view(HEADS, 2, WIDTH).unbind(1)
        parts = [part.flatten(0, 1) for part in qkvz.split([KEY_DIM, KEY_DIM, VALUE_DIM, VALUE_DIM], dim=1)]
        block = {
            "mixer_norm.weight": layer["input_layernorm.weight"],
            "feedforward_norm.weight": layer["post_attention_layernorm.weight"],
            "mixer.qkv_z_a_b.weight": torch.cat([*parts, a, b]),
            "mixer.convolution.weight": layer["linear_attn.conv1d.weight"].squeeze(1),
            "mixer.log_A_H": layer["linear_attn.A_log"],
            "mixer.dt_bias_H": layer["linear_attn.dt_bias"],
            "mixer.norm_weight_V": layer["linear_attn.norm.weight"],
            "mixer.out.weight": layer["linear_attn.out_proj.weight"],
            "feedforward.gate_and_in.weight": torch.cat([layer["mlp.gate_proj.weight"], layer["mlp.up_proj.weight"]]),
            "feedforward.out.weight": layer["mlp.down_proj.weight"],
        }
        named |= {f"blocks.{index}.{name}": x for name, x in block.items()}
    return named


def tokens() -> Tensor:
    return torch.randint(VOCABULARY, (BATCH, TIME), generator=torch.Generator().manual_seed(2))


def residual_stream() -> Tensor:
    return torch.randn(BATCH, TIME, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def official_block(layer: nn.Module, x_BTW: Tensor, *, cache: Cache | None) -> Tensor:
    return layer(x_BTW, position_embeddings=None, past_key_values=cache)


def assert_close(found: Tensor, expected: Tensor, *, tolerance: float) -> None:
    torch.testing.assert_close(found, expected.to(found.dtype), rtol=tolerance, atol=tolerance)


def assert_same_gradients(network: Network, model: nn.Module, *, tolerance: float) -> None:
    gradients = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    missing = {name: torch.zeros_like(p) for name, p in model.named_parameters() if name not in gradients}
    expected = renamed(gradients | missing)
    for name, parameter in network.named_parameters():
        if parameter.grad is not None and not name.endswith("beta_bias_H"):
            assert_close(parameter.grad, expected.pop(name), tolerance=tolerance)
    assert not any(gradient.any() for gradient in expected.values())


def test_logits_and_all_gradients_of_two_blocks_are_the_official_ones(tolerance):
    model = theirs()
    network, tokens_BT = ours(model), tokens()
    found_BTN, expected_BTN = network(tokens_BT), model(input_ids=tokens_BT).logits
    assert_close(found_BTN, expected_BTN, tolerance=tolerance)
    weights_BTN = torch.randn_like(found_BTN) / TIME
    (found_BTN * weights_BTN).sum().backward()
    (expected_BTN * weights_BTN).sum().backward()
    assert_same_gradients(network, model, tolerance=tolerance)


def test_a_block_alone_and_its_gradients_are_the_official_ones(tolerance):
    model = theirs()
    network, x_BTW = ours(model), residual_stream()
    block: Block = network.blocks[1]
    found_BTW, expected_BTW = block(x_BTW), official_block(model.model.layers[1], x_BTW, cache=None)
    assert_close(found_BTW, expected_BTW, tolerance=tolerance)
    weights_BTW = torch.randn_like(found_BTW) / TIME
    (found_BTW * weights_BTW).sum().backward()
    (expected_BTW * weights_BTW).sum().backward()
    assert_same_gradients(network, model, tolerance=tolerance)


@torch.no_grad()
def test_steps_behind_a_prefill_give_the_official_logits(tolerance):
    model = theirs()
    network, tokens_BT, prompt = ours(model), tokens(), 67
    expected_BTN = model(input_ids=tokens_BT).logits
    logits_BN, state = network.prefill(tokens_BT[:, :prompt], network.initial_state(BATCH, TIME))
    assert_close(logits_BN, expected_BTN[:, prompt - 1], tolerance=tolerance)
    for t in range(prompt, TIME):
        logits_BN, state = network.step(tokens_BT[:, t], state)
        assert_close(logits_BN, expected_BTN[:, t], tolerance=tolerance)


@torch.no_grad()
def test_states_of_a_prefill_and_of_steps_are_those_of_the_official_cache(tolerance):
    model = theirs()
    network, x_BTW, prompt = ours(model), residual_stream(), 67
    block, layer, cache = network.blocks[0], model.model.layers[0], DynamicCache(config=model.config)
    found_BTW, state = block.prefill(x_BTW[:, :prompt], block.initial_state(BATCH, TIME))
    assert_close(found_BTW, official_block(layer, x_BTW[:, :prompt], cache=cache), tolerance=tolerance)
    for t in range(prompt, TIME):
        assert_close(state.S_BHKV, cache.get_recurrent_state(0), tolerance=tolerance)
        window_BFW = cache.get_conv_state(0).mT[:, 1 - CONVOLUTION :]
        assert_close(state.window_BFW, window_BFW, tolerance=tolerance)
        found_BW, state = block.step(x_BTW[:, t], state)
        expected_BTW = official_block(layer, x_BTW[:, t : t + 1], cache=cache)
        assert_close(found_BW, expected_BTW[:, 0], tolerance=tolerance)


@torch.no_grad()
def test_a_block_starts_as_the_released_code_starts_it():
    torch.manual_seed(0)
    width, depth, heads = 128, 8, 64
    native = spec(heads=heads, key_dim=3, value_dim=6, feedforward=256)
    block: Block = native.block(width, index=3, depth=depth)
    mixer = block.mixer
    for weight, bound in [
        (mixer.qkv_z_a_b.weight, width**-0.5),
        (mixer.out.weight, (heads * 6) ** -0.5),
        (mixer.convolution.weight, CONVOLUTION**-0.5),
        (block.feedforward.gate_and_in.weight, width**-0.5),
        (block.feedforward.out.weight, (256 * 2 * depth) ** -0.5),
        (mixer.log_A_H.exp() - 8, 8.0),
        (2 * (nn.functional.softplus(mixer.dt_bias_H).log10() + 2), 2.0),
    ]:
        assert weight.abs().max() <= bound * (1 + 1e-5)
        assert weight.std() == pytest.approx(bound / 3**0.5, rel=0.15)  # that of a uniform distribution
        assert weight.mean().abs() < 0.25 * bound
    assert mixer.log_A_H.exp().min() < 1  # where that of Mamba-2 begins
    assert not mixer.beta_bias_H.any()
    for weight in (mixer.norm_weight_V, block.mixer_norm.weight, block.feedforward_norm.weight):
        assert (weight == 1).all()
    ends = native.ends(width)
    assert (ends.embedding_deviation, ends.norm.eps, ends.logit_cap) == (DEVIATION, EPSILON, None)
