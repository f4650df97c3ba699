"""A small spec of everything in the registries, for a width of 8, for all tests that go over them."""

from typing import Any

from models.attention import AttentionSpec
from models.gated_deltanet import GatedDeltaNetSpec
from models.lstm import LSTMSpec
from models.mamba import MambaSpec
from models.mamba2 import Mamba2Spec
from models.mixer import MixerSpec
from models.mlstm import MLSTMSpec
from models.mlstm_gates import MLSTMGates
from models.native.architecture import ArchitectureSpec
from models.native.gated_deltanet import GatedDeltaNetArchitectureSpec
from models.native.llama import LlamaSpec
from models.native.mamba import MambaArchitectureSpec
from models.native.mamba2 import Mamba2ArchitectureSpec
from models.native.xlstm import XLSTMSpec
from models.native.xlstm_7b import XLSTM7BSpec
from models.native.xlstm_mlstm import MLSTMBlockSpec
from models.native.xlstm_slstm import SLSTMBlockSpec
from models.slstm import SLSTMSpec

MLSTM_GATES = MLSTMGates(
    input="exp",
    normaliser=True,
    input_from="token",
    forget_from="token",
    input_bias=(0.0, 0.1),
    forget_bias=(3.0, 6.0),
    cap=None,
)
MLSTM_7B_GATES = MLSTM_GATES.model_copy(update={"input_bias": (-10.0, 0.0), "cap": 15.0})
MLSTM_SIGMOID_GATES = MLSTMGates(
    input="sigmoid",
    normaliser=False,
    input_from="bias",
    forget_from="constant",
    input_bias=(-1.0, 0.0),
    forget_bias=(3.0, 6.0),
    cap=15.0,
)

XLSTM_MLSTM = MLSTMBlockSpec(heads=2, inner=16, convolution=4, block=4, gates=MLSTM_GATES, chunk=4, kernel="torch")
XLSTM_SLSTM = SLSTMBlockSpec(
    heads=2,
    convolution=4,
    recurrent_init="normal",
    input_gate="exp",
    readout="normalised",
    feedforward=12,
    kernel="torch",
)

# A name for every small spec: a registry's member has one at least, named as it is or with more words behind.
MIXERS: dict[str, MixerSpec] = {
    "attention": AttentionSpec(
        name="attention", heads=2, key_value_heads=2, window=None, rotary_base=100.0, kernel="sdpa"
    ),
    "attention-grouped": AttentionSpec(
        name="attention", heads=4, key_value_heads=2, window=None, rotary_base=None, kernel="math"
    ),
    "attention-windowed": AttentionSpec(
        name="attention", heads=2, key_value_heads=1, window=4, rotary_base=100.0, kernel="sdpa"
    ),
    "mlstm": MLSTMSpec(name="mlstm", heads=2, key_dim=3, gates=MLSTM_GATES, chunk=4, kernel="torch"),
    "mlstm-sigmoid": MLSTMSpec(name="mlstm", heads=2, key_dim=3, gates=MLSTM_SIGMOID_GATES, chunk=4, kernel="torch"),
    "slstm": SLSTMSpec(
        name="slstm", heads=2, recurrent_init="normal", input_gate="exp", readout="normalised", kernel="torch"
    ),
    "slstm-lstm": SLSTMSpec(
        name="slstm", heads=2, recurrent_init="normal", input_gate="sigmoid", readout="tanh", kernel="torch"
    ),
    "mamba": MambaSpec(name="mamba", state_dim=3, expand=2, rank=2, kernel="torch"),
    "mamba2": Mamba2Spec(name="mamba2", heads=4, state_dim=3, expand=2, chunk=4, kernel="torch"),
    "gated-deltanet": GatedDeltaNetSpec(
        name="gated-deltanet", heads=2, key_dim=3, value_dim=5, negative_eigenvalues=False, chunk=4, kernel="torch"
    ),
    "gated-deltanet-negative": GatedDeltaNetSpec(
        name="gated-deltanet", heads=2, key_dim=3, value_dim=5, negative_eigenvalues=True, chunk=4, kernel="torch"
    ),
    "lstm": LSTMSpec(name="lstm", hidden=5),
}
ARCHITECTURES: dict[str, ArchitectureSpec] = {
    "llama": LlamaSpec(
        name="llama", heads=2, key_value_heads=1, window=None, rotary_base=100.0, kernel="sdpa", feedforward=12
    ),
    "llama-windowed": LlamaSpec(
        name="llama", heads=2, key_value_heads=2, window=4, rotary_base=100.0, kernel="sdpa", feedforward=12
    ),
    "xlstm": XLSTMSpec(name="xlstm", stack="xlstm[1:0]", slstm_at=(), mlstm=XLSTM_MLSTM, slstm=None),
    "xlstm-without-convolution": XLSTMSpec(
        name="xlstm",
        stack="xlstm[1:0]",
        slstm_at=(),
        mlstm=XLSTM_MLSTM.model_copy(update={"convolution": 0, "block": 8, "gates": MLSTM_SIGMOID_GATES}),
        slstm=None,
    ),
    "xlstm-mixed": XLSTMSpec(name="xlstm", stack="xlstm[1:1]", slstm_at=(1,), mlstm=XLSTM_MLSTM, slstm=XLSTM_SLSTM),
    "xlstm-slstm-without-convolution": XLSTMSpec(
        name="xlstm",
        stack="xlstm[0:1]",
        slstm_at=(0, 1),
        mlstm=None,
        slstm=XLSTM_SLSTM.model_copy(update={"convolution": 0, "input_gate": "sigmoid", "readout": "tanh"}),
    ),
    "xlstm-7b": XLSTM7BSpec(
        name="xlstm-7b", heads=2, key_dim=3, gates=MLSTM_7B_GATES, feedforward=12, chunk=4, kernel="torch"
    ),
    "mamba": MambaArchitectureSpec(name="mamba", state_dim=3, expand=2, rank=2, convolution=4, kernel="torch"),
    "mamba2": Mamba2ArchitectureSpec(
        name="mamba2", heads=4, state_dim=3, expand=2, groups=2, convolution=4, chunk=4, kernel="torch"
    ),
    "gated-deltanet": GatedDeltaNetArchitectureSpec(
        name="gated-deltanet",
        heads=2,
        key_dim=3,
        value_dim=5,
        convolution=4,
        negative_eigenvalues=True,
        feedforward=12,
        chunk=4,
        kernel="torch",
    ),
}
GROWING = {"attention", "attention-grouped", "llama"}  # whose state grows with the time it can take


def settings(name: str, changes: dict[str, Any]) -> dict[str, Any]:
    """The row of a mixer as an experiment file would write it, with some fields changed."""
    return MIXERS[name].model_dump(mode="json") | changes
