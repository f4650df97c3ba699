"""Our native blocks against the official implementations, as two-block language models of equal size, in turn in one process.

    python -m tests.benchmarks.native_blocks --phase train --length 256 --batch 8
    python -m tests.benchmarks.native_blocks --phase decode --length 256 --batch 64 --only mamba

Prints for each pair the tokens per second of both, from the fastest of the interleaved rounds, and their ratio: above 1, ours is
faster. `train` is forward and backward of the mean cross-entropy; `decode` is one token after a prompt of `--length`.
Needs the packages of tests/requirements.lock.
"""

import argparse
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.utils import import_utils

from models.network import NativeNetworkSpec
from tests.models.rows import MLSTM_7B_GATES, MLSTM_GATES

import_utils.is_xlstm_available = lambda: False  # else transformers' xLSTM would be the other package's
warnings.filterwarnings("ignore")
logging.getLogger("transformers").setLevel(logging.ERROR)

VOCABULARY, DEPTH = 256, 2


class Contender(NamedTuple):
    """A language model. `read` takes tokens_BT and returns logits_BTN; `start` a prompt, and returns what `step` continues."""

    model: nn.Module
    read: Callable[[Tensor], Tensor]
    start: Callable[[Tensor], Any]
    step: Callable[[Tensor, Any], Any]


class Pair(NamedTuple):
    """An architecture of ours, the implementation it is measured against, and how to build both for a width."""

    ours: str
    theirs: str
    build: Callable[[int], tuple[Contender, Contender]]


def of_spec(mixer: dict[str, Any], *, width: int) -> Contender:
    spec = NativeNetworkSpec(block="native", width=width, depth=DEPTH, tied=False, mixer=mixer)
    network = spec.build(VOCABULARY)

    def start(prompt_BT: Tensor) -> Any:
        state = network.initial_state(len(prompt_BT), prompt_BT.shape[1] + 4096)
        return network.prefill(prompt_BT, state)[1]

    return Contender(network, network, start, lambda token_B, state: network.step(token_B, state)[1])


def of_transformers(model: nn.Module, *, cache: str) -> Contender:
    def start(prompt_BT: Tensor) -> Any:
        return model(prompt_BT, use_cache=True)[cache]

    def step(token_B: Tensor, state: Any) -> Any:
        return model(token_B[:, None], use_cache=True, **{cache: state})[cache]

    return Contender(model, lambda tokens_BT: model(tokens_BT, use_cache=False).logits, start, step)


class MambaPyLM(nn.Module):
    """mambapy's stack between an embedding and a head: its own language model does not import without a GPU package."""

    def __init__(self, width: int):
        super().__init__()
        from mambapy.mamba import Mamba, MambaConfig

        self.config = MambaConfig(d_model=width, n_layers=DEPTH)
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.mamba = Mamba(self.config)
        self.norm = nn.RMSNorm(width)
        self.head = nn.Linear(width, VOCABULARY, bias=False)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        return self.head(self.norm(self.mamba(self.embedding(tokens_BT))))

    def start(self, prompt_BT: Tensor) -> list[Any]:
        window = torch.zeros(len(prompt_BT), self.config.d_inner, self.config.d_conv - 1)
        return self.step(prompt_BT[:, 0], [(None, window)] * DEPTH)

    def step(self, token_B: Tensor, state: list[Any]) -> list[Any]:
        x_BW, state = self.mamba.step(self.embedding(token_B), state)
        self.head(self.norm(x_BW))
        return state


def mambapy(width: int) -> Contender:
    model = MambaPyLM(width)
    return Contender(model, model, model.start, model.step)  # the cost of a step does not depend on the prompt


def transformers_mamba(width: int) -> Contender:
    from transformers import MambaConfig, MambaForCausalLM

    config = MambaConfig(
        vocab_size=VOCABULARY, hidden_size=width, num_hidden_layers=DEPTH, use_mambapy=True, tie_word_embeddings=False
    )
    return of_transformers(MambaForCausalLM(config), cache="cache_params")


def transformers_mamba2(width: int) -> Contender:
    from transformers import Mamba2Config, Mamba2ForCausalLM

    config = Mamba2Config(
        vocab_size=VOCABULARY,
        hidden_size=width,
        num_hidden_layers=DEPTH,
        num_heads=8,
        head_dim=width // 4,
        state_size=64,
        n_groups=1,
        chunk_size=64,
        tie_word_embeddings=False,
    )
    return of_transformers(Mamba2ForCausalLM(config), cache="cache_params")


def transformers_llama(width: int) -> Contender:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        num_hidden_layers=DEPTH,
        num_attention_heads=4,
        intermediate_size=8 * width // 3,
        max_position_embeddings=8192,
        attn_implementation="sdpa",
    )
    return of_transformers(LlamaForCausalLM(config), cache="past_key_values")


def transformers_xlstm(width: int) -> Contender:
    from transformers import xLSTMConfig, xLSTMForCausalLM

    config = xLSTMConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        num_hidden_layers=DEPTH,
        num_heads=4,
        chunk_size=64,
        autocast_kernel_dtype="float32",
    )
    return of_transformers(xLSTMForCausalLM(config), cache="cache_params")


def xlstm_large(width: int) -> Contender:
    from xlstm.xlstm_large.model import xLSTMLarge, xLSTMLargeConfig

    def built(mode: str) -> nn.Module:
        config = xLSTMLargeConfig(
            embedding_dim=width,
            num_heads=4,
            num_blocks=DEPTH,
            vocab_size=VOCABULARY,
            return_last_states=True,  # without it, training mode fails
            mode=mode,
            chunkwise_kernel="chunkwise--native_autograd",
            sequence_kernel="native_sequence__native",
            step_kernel="native",
            chunk_size=64,
            autocast_kernel_dtype="float32",
        )
        return xLSTMLarge(config)

    model, decoder = built("train"), built("inference")
    return Contender(
        model,
        lambda tokens_BT: model(tokens_BT)[0],
        lambda prompt_BT: decoder(prompt_BT)[1],
        lambda token_B, state: decoder(token_B[:, None], state)[1],
    )


def xlstm_v1(width: int, *, slstm_at: list[int]) -> Contender:
    from xlstm import (
        FeedForwardConfig,
        mLSTMBlockConfig,
        mLSTMLayerConfig,
        sLSTMBlockConfig,
        sLSTMLayerConfig,
        xLSTMLMModel,
        xLSTMLMModelConfig,
    )

    slstm = sLSTMLayerConfig(
        backend="vanilla", num_heads=4, conv1d_kernel_size=4, bias_init="powerlaw_blockdependent", dtype="float32"
    )
    config = xLSTMLMModelConfig(
        vocab_size=VOCABULARY,
        mlstm_block=mLSTMBlockConfig(mlstm=mLSTMLayerConfig(conv1d_kernel_size=4, qkv_proj_blocksize=4, num_heads=4)),
        slstm_block=sLSTMBlockConfig(slstm=slstm, feedforward=FeedForwardConfig(proj_factor=1.3, act_fn="gelu")),
        context_length=8192,
        num_blocks=DEPTH,
        embedding_dim=width,
        slstm_at=slstm_at,
    )
    model = xLSTMLMModel(config)
    model.reset_parameters()

    def step(token_B: Tensor, state: Any) -> Any:
        return model.step(token_B[:, None], state)[1]

    return Contender(model, model, lambda prompt_BT: step(prompt_BT[:, 0], None), step)


def our_llama(width: int) -> Contender:
    mixer = {
        "name": "llama",
        "heads": 4,
        "key_value_heads": 4,
        "window": None,
        "rotary_base": 10000.0,
        "kernel": "flash",
        "feedforward": 8 * width // 3,
    }
    return of_spec(mixer, width=width)


def our_mamba(width: int) -> Contender:
    mixer = {
        "name": "mamba",
        "state_dim": 16,
        "expand": 2,
        "rank": -(-width // 16),
        "convolution": 4,
        "kernel": "torch",
    }
    return of_spec(mixer, width=width)


def our_mamba2(width: int) -> Contender:
    mixer = {
        "name": "mamba2",
        "heads": 8,
        "state_dim": 64,
        "expand": 2,
        "groups": 1,
        "convolution": 4,
        "chunk": 64,
        "kernel": "torch",
    }
    return of_spec(mixer, width=width)


def our_xlstm_7b(width: int) -> Contender:
    mixer = {
        "name": "xlstm-7b",
        "heads": 4,
        "key_dim": width // 8,
        "gates": MLSTM_7B_GATES,
        "feedforward": -(-8 * width // 3 // 64) * 64,
        "chunk": 64,
        "kernel": "torch",
    }
    return of_spec(mixer, width=width)


def our_xlstm(width: int, *, slstm: bool) -> Contender:
    mlstm_block = {
        "heads": 4,
        "inner": 2 * width,
        "convolution": 4,
        "block": 4,
        "gates": MLSTM_GATES,
        "chunk": 64,
        "kernel": "torch",
    }
    slstm_block = {
        "heads": 4,
        "convolution": 4,
        "recurrent_init": "zeros",
        "input_gate": "exp",
        "readout": "normalised",
        "feedforward": -(-13 * width // 10 // 64) * 64,
        "kernel": "torch",
    }
    mixer = {
        "name": "xlstm",
        "stack": "xlstm[0:1]" if slstm else "xlstm[1:0]",
        "slstm_at": tuple(range(DEPTH)) if slstm else (),
        "mlstm": None if slstm else mlstm_block,
        "slstm": slstm_block if slstm else None,
    }
    return of_spec(mixer, width=width)


PAIRS = [
    Pair("xlstm[1:0]", "xlstm mLSTM", lambda width: (our_xlstm(width, slstm=False), xlstm_v1(width, slstm_at=[]))),
    Pair("xlstm[0:1]", "xlstm sLSTM", lambda width: (our_xlstm(width, slstm=True), xlstm_v1(width, slstm_at=[0, 1]))),
    Pair("llama", "transformers Llama", lambda width: (our_llama(width), transformers_llama(width))),
    Pair("mamba", "transformers Mamba", lambda width: (our_mamba(width), transformers_mamba(width))),
    Pair("mamba", "mambapy", lambda width: (our_mamba(width), mambapy(width))),
    Pair("mamba2", "transformers Mamba-2", lambda width: (our_mamba2(width), transformers_mamba2(width))),
    Pair("xlstm-7b", "transformers xLSTM", lambda width: (our_xlstm_7b(width), transformers_xlstm(width))),
    Pair("xlstm-7b", "xlstm xLSTMLarge", lambda width: (our_xlstm_7b(width), xlstm_large(width))),
]


def trained(contender: Contender, tokens_BT: Tensor) -> None:
    """Forward and backward of the mean cross-entropy of the next token."""
    contender.model.zero_grad()
    logits_BTN = contender.read(tokens_BT[:, :-1])
    F.cross_entropy(logits_BTN.flatten(0, 1), tokens_BT[:, 1:].flatten()).backward()


def training(contender: Contender, *, length: int, batch: int) -> Iterator[tuple[float, int]]:
    """Yields the seconds of a training step and its tokens, again and again, after one that is not timed."""
    tokens_BT = torch.randint(VOCABULARY, (batch, length + 1), generator=torch.Generator().manual_seed(0))
    trained(contender, tokens_BT)
    while True:
        started = time.perf_counter()
        trained(contender, tokens_BT)
        yield time.perf_counter() - started, batch * length


def decoding(contender: Contender, *, length: int, batch: int) -> Iterator[tuple[float, int]]:
    """Yields the seconds of twenty steps behind the prompt and their tokens, again and again, after some that are not timed."""
    tokens_BT = torch.randint(VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(0))
    steps = 20
    with torch.inference_mode():
        contender.model.eval()
        state = contender.start(tokens_BT)
        for _ in range(3):
            state = contender.step(tokens_BT[:, -1], state)
    while True:
        with torch.inference_mode():
            started = time.perf_counter()
            for _ in range(steps):
                state = contender.step(tokens_BT[:, -1], state)
            seconds = time.perf_counter() - started
        yield seconds, batch * steps


PHASES = {"train": training, "decode": decoding}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--phase", choices=PHASES, default="train")
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="", help="pairs whose name holds this")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(
        f"{arguments.phase}, length {arguments.length}, batch {arguments.batch}, width {arguments.width}, {DEPTH} blocks"
    )
    for pair in (pair for pair in PAIRS if arguments.only in f"{pair.ours} {pair.theirs}"):
        contenders = pair.build(arguments.width)
        rounds = [PHASES[arguments.phase](each, length=arguments.length, batch=arguments.batch) for each in contenders]
        samples = [[next(timed) for timed in rounds] for _ in range(arguments.rounds)]
        ours, theirs = (max(tokens / seconds for seconds, tokens in each) for each in zip(*samples, strict=True))
        sizes = " against ".join(f"{sum(p.numel() for p in each.model.parameters()):,}" for each in contenders)
        print(
            f"{pair.ours:16} {ours:9,.0f} tokens/s   {pair.theirs:24} {theirs:9,.0f} tokens/s   "
            f"ratio {ours / theirs:.2f}   ({sizes} parameters)",
            flush=True,
        )


if __name__ == "__main__":
    main()
