"""The xLSTM 7B block against Hugging Face transformers 5.23 and against the authors' package xlstm 2.0.6, in float64.

Transformers computes norms, states and logits in float32 whatever the weights' type: here its module reads float64 for it. It
would also call the package for everything inside if it found it: hidden from it, its own copy of the cell is a second opinion.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from xlstm.xlstm_large.model import xLSTMLarge, xLSTMLargeConfig

from models.mlstm_gates import MLSTMGates
from models.native.xlstm_7b import XLSTM7BSpec
from models.network import NativeNetworkSpec, Network
from tests.models.parity.precision import Doubled

with pytest.MonkeyPatch.context() as patch:
    patch.setattr("transformers.utils.is_xlstm_available", lambda: False)
    from transformers.models.xlstm import modeling_xlstm
    from transformers.models.xlstm.configuration_xlstm import xLSTMConfig

# The package imports, when first called, compiled kernels for GPUs, which import parts of PyTorch that it calls outdated.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")

WIDTH, DEPTH, HEADS, VOCABULARY, BATCH, TIME, CHUNK = 128, 2, 4, 13, 2, 24, 8
HIDDEN = 384  # 8/3 of the width, rounded up to 64 as both peers do
GATES = MLSTMGates(
    input="exp",
    normaliser=True,
    input_from="token",
    forget_from="token",
    input_bias=(-10.0, 0.0),
    forget_bias=(3.0, 6.0),
    cap=15.0,
)


def transformers(epsilon: float) -> nn.Module:
    config = xLSTMConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        num_hidden_layers=DEPTH,
        num_heads=HEADS,
        chunk_size=CHUNK,
        autocast_kernel_dtype="float32",
        eps=epsilon,
        use_cache=False,
    )
    return modeling_xlstm.xLSTMForCausalLM(config)


def xlstm(epsilon: float) -> nn.Module:
    config = xLSTMLargeConfig(
        embedding_dim=WIDTH,
        num_heads=HEADS,
        num_blocks=DEPTH,
        vocab_size=VOCABULARY,
        norm_reduction_force_float32=False,
        chunkwise_kernel="chunkwise--native_autograd",
        sequence_kernel="native_sequence__native",
        step_kernel="native",
        mode="train",
        chunk_size=CHUNK,
        return_last_states=True,  # without it the package's training mode fails on what it returns
        autocast_kernel_dtype="float32",
        inference_state_dtype="float64",
        eps=epsilon,
    )
    return xLSTMLarge(config)


Peer = Callable[[float], nn.Module]
every_peer = pytest.mark.parametrize("peer", [transformers, xlstm])


@pytest.fixture(autouse=True)
def _doubled(monkeypatch):
    monkeypatch.setattr(modeling_xlstm, "torch", Doubled())
    monkeypatch.setattr(Tensor, "float", Tensor.double)


def ours(*, width: int = WIDTH) -> Network:
    spec = XLSTM7BSpec(
        name="xlstm-7b",
        heads=HEADS,
        key_dim=width // HEADS // 2,
        gates=GATES,
        feedforward=HIDDEN,
        chunk=CHUNK,
        kernel="torch",
    )
    return NativeNetworkSpec(block="native", width=width, depth=DEPTH, tied=False, mixer=spec).build(VOCABULARY)


def counterparts(peer: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Every parameter of ours, by name, as the parameters of the peer that lie in it one below the other."""
    embedding = peer.backbone.embeddings if hasattr(peer.backbone, "embeddings") else peer.embedding
    parts = {"embedding": [embedding], "norm": [peer.backbone.out_norm], "head": [peer.lm_head]}
    for index, block in enumerate(peer.backbone.blocks):
        mlstm, feedforward = block.mlstm_layer, block.ffn
        parts |= {
            f"blocks.{index}.mixer_norm": [block.norm_mlstm],
            f"blocks.{index}.mixer.qkvo": [mlstm.q, mlstm.k, mlstm.v, mlstm.ogate_preact],
            f"blocks.{index}.mixer.gates.input": [mlstm.igate_preact],
            f"blocks.{index}.mixer.gates.forget": [mlstm.fgate_preact],
            f"blocks.{index}.mixer.norm": [mlstm.multihead_norm],
            f"blocks.{index}.mixer.out": [mlstm.out_proj],
            f"blocks.{index}.feedforward_norm": [block.norm_ffn],
            f"blocks.{index}.feedforward.gate_and_in": [feedforward.proj_up_gate, feedforward.proj_up],
            f"blocks.{index}.feedforward.out": [feedforward.proj_down],
        }
    weights = {f"{name}.weight": [module.weight for module in modules] for name, modules in parts.items()}
    return weights | {f"{name}.bias": [modules[0].bias] for name, modules in parts.items() if "gates" in name}


def pair(peer: Peer, *, epsilon: float = 1e-6) -> tuple[Network, nn.Module]:
    """Ours and the peer's, with the same weights, as random as after training."""
    torch.manual_seed(1)
    model, other = ours().double(), peer(epsilon).double()
    parameters = dict(model.named_parameters())
    theirs = counterparts(other)
    assert parameters.keys() == theirs.keys()
    assert sum(parameter.numel() for parameter in other.parameters()) == model.parameter_count()
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
            for part, copied in zip(theirs[name], parameter.split([len(part) for part in theirs[name]]), strict=True):
                part.copy_(copied)
    return model, other


def tokens() -> Tensor:
    return torch.randint(0, VOCABULARY, (BATCH, TIME), generator=torch.Generator().manual_seed(2))


def logits(peer: nn.Module, tokens_BT: Tensor) -> Tensor:
    output = peer(tokens_BT)
    return output[0] if isinstance(output, tuple) else output.logits


@every_peer
def test_logits_are_those_of_the_peer(peer):
    model, other = pair(peer)
    torch.testing.assert_close(model(tokens()), logits(other, tokens()), rtol=1e-10, atol=1e-10)


@every_peer
def test_gradients_are_those_of_the_peer(peer, monkeypatch):
    """Without epsilon: the peers' gradient goes through m, of which nothing but the epsilon's size depends."""
    monkeypatch.setattr("models.mlstm_cell.EPSILON", 0.0)
    model, other = pair(peer, epsilon=0.0)
    weights_BTN = torch.randn(BATCH, TIME, VOCABULARY, dtype=torch.float64)
    for logits_BTN in (model(tokens()), logits(other, tokens())):
        (logits_BTN * weights_BTN).sum().backward()
    theirs = counterparts(other)
    for name, parameter in model.named_parameters():
        expected = torch.cat([part.grad for part in theirs[name]])
        torch.testing.assert_close(
            parameter.grad, expected, rtol=1e-8, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}"
        )


@every_peer
def test_a_prefill_and_steps_give_the_logits_of_the_peer(peer):
    model, other = pair(peer)
    with torch.no_grad():
        expected_BTN = logits(other, tokens())
        logits_BN, state = model.prefill(tokens()[:, :13], model.initial_state(BATCH, TIME))
        torch.testing.assert_close(logits_BN, expected_BTN[:, 12], rtol=1e-10, atol=1e-10)
        for t in range(13, TIME):
            logits_BN, state = model.step(tokens()[:, t], state)
            torch.testing.assert_close(logits_BN, expected_BTN[:, t], rtol=1e-10, atol=1e-10)


def test_states_are_those_of_the_package():
    model, other = pair(xlstm)
    with torch.no_grad():
        _, expected = other(tokens())
        _, found = model.prefill(tokens(), model.initial_state(BATCH, TIME))
    for index, state in enumerate(found):
        for one, its in zip(state, expected[index], strict=True):
            torch.testing.assert_close(one, its.view_as(one), rtol=1e-10, atol=1e-10)


def test_weights_start_as_in_the_authors_training_code():
    torch.manual_seed(0)
    model = ours()
    small, wang = (2 / (5 * WIDTH)) ** 0.5, 2 / (DEPTH * WIDTH**0.5)
    assert model.embedding.weight.std().item() == pytest.approx(small, rel=0.1)
    assert model.head.weight.std().item() == pytest.approx(small, rel=0.1)
    for block in model.blocks:
        qkv, o = block.mixer.qkvo.weight.split([2 * WIDTH, WIDTH])
        assert qkv.std().item() == pytest.approx(small, rel=0.05)
        assert not o.any()
        assert block.mixer.out.weight.std().item() == pytest.approx(wang, rel=0.05)
        assert block.feedforward.gate_and_in.weight.std().item() == pytest.approx(small, rel=0.05)
        assert block.feedforward.out.weight.std().item() == pytest.approx(wang, rel=0.05)
        gates = block.mixer.gates
        assert not gates.input.weight.any()
        assert not gates.forget.weight.any()
        assert gates.input.bias.tolist() == [-10] * HEADS
        assert gates.forget.bias.tolist() == [3, 4, 5, 6]
        assert all((norm.weight == 1).all() for norm in (block.mixer_norm, block.feedforward_norm, block.mixer.norm))


def test_the_7b_model_has_as_many_parameters_as_the_released_one():
    spec = XLSTM7BSpec(name="xlstm-7b", heads=8, key_dim=256, gates=GATES, feedforward=10944, chunk=64, kernel="torch")
    with torch.device("meta"):
        model = NativeNetworkSpec(block="native", width=4096, depth=32, tied=False, mixer=spec).build(50304)
    assert model.parameter_count() == 6_865_424_896


def test_logits_are_bent_to_their_cap():
    model = ours()
    with torch.no_grad():
        model.head.weight.mul_(1000)
    assert 29 < model(tokens()).abs().max() <= 30
