"""Every fused kernel that runs on this machine against the definition: forward and backward of one layer, in turn.

    python -m tests.benchmarks.fused_kernels --width 1024 --length 2048 --batch 8

In bfloat16 autocast on a GPU, in float32 on a CPU. The outputs are compared before anything is timed. Prints the median
time of both, their ratio (above 1, the kernel is faster), and what share of this machine's ceiling of matrix products the
kernel reaches with the layer's stated FLOPs, three times those of a forward pass. A kernel that cannot run here is named with
the reason.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.attention import AttentionSpec
from models.gated_deltanet import GatedDeltaNetSpec
from models.mamba import MambaSpec
from models.mamba2 import Mamba2Spec
from models.mixer import MixerSpec, SequenceMixer, UnsupportedKernel
from models.mlstm import MLSTMSpec
from models.slstm import SLSTMSpec
from tests.models.rows import MLSTM_GATES


def layers(width: int) -> list[tuple[MixerSpec, list[str]]]:
    """Each definition, and the kernels that stand in for it."""
    heads = max(1, width // 64)
    attention = AttentionSpec(
        name="attention", heads=heads, key_value_heads=heads, window=None, rotary_base=10000.0, kernel="math"
    )
    mlstm = MLSTMSpec(name="mlstm", heads=4, key_dim=width // 8, gates=MLSTM_GATES, chunk=64, kernel="torch")
    slstm = SLSTMSpec(
        name="slstm", heads=4, recurrent_init="normal", input_gate="exp", readout="normalised", kernel="torch"
    )
    deltanet = GatedDeltaNetSpec(
        name="gated-deltanet",
        heads=4,
        key_dim=width // 8,
        value_dim=width // 4,
        negative_eigenvalues=False,
        chunk=64,
        kernel="torch",
    )
    return [
        (attention, ["sdpa", "flash", "efficient", "cudnn", "flash-attn"]),
        (mlstm, ["fla", "nxai"]),
        (slstm, ["triton"]),
        (MambaSpec(name="mamba", state_dim=16, expand=2, rank=-(-width // 16), kernel="torch"), ["mamba-ssm"]),
        (Mamba2Spec(name="mamba2", heads=heads, state_dim=64, expand=2, chunk=64, kernel="torch"), ["mamba-ssm"]),
        (deltanet, ["fla"]),
    ]


def seconds(call: Callable[[], object], *, device: torch.device) -> float:
    started = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def ceiling(device: torch.device) -> float:
    """FLOP/s of the fastest of some square matrix products in the type that is measured."""
    size = 8192 if device.type == "cuda" else 1024
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    x, y = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / min(seconds(lambda: x @ y, device=device) for _ in range(10))


def stepping(mixer: SequenceMixer, x_BTW: Tensor) -> Callable[[], Tensor]:
    def step() -> Tensor:
        mixer.zero_grad()
        with torch.autocast(x_BTW.device.type, dtype=torch.bfloat16, enabled=x_BTW.is_cuda):
            y_BTW = mixer(x_BTW)
        y_BTW.float().square().mean().backward()
        return y_BTW.detach()

    return step


def compared(spec: MixerSpec, kernel: str, x_BTW: Tensor, *, rounds: int, most: float) -> str:
    """Returns what is to say about one kernel."""
    try:
        mixers = [each.build(x_BTW.shape[-1]) for each in (spec, spec.model_copy(update={"kernel": kernel}))]
        for mixer in mixers:
            for projection in (part for part in mixer.modules() if isinstance(part, nn.Linear)):
                nn.init.normal_(projection.weight, std=0.02)
        mixers[1].load_state_dict(mixers[0].state_dict())
        calls = [stepping(mixer.to(x_BTW.device), x_BTW) for mixer in mixers]
        expected_BTW, found_BTW = (call().float() for call in calls)
    except (UnsupportedKernel, ValueError) as error:
        return f"cannot run here: {error}"
    off = ((found_BTW - expected_BTW).norm() / expected_BTW.norm()).item()
    samples = [[seconds(call, device=x_BTW.device) for call in calls] for _ in range(rounds)]
    slow, fast = (statistics.median(each) for each in zip(*samples, strict=True))
    reached = 3 * len(x_BTW) * mixers[0].flops(x_BTW.shape[1]) / fast / most
    return (
        f"{slow * 1e3:9.2f} ms by the definition, {fast * 1e3:9.2f} ms fused, ratio {slow / fast:.2f}, "
        f"{reached:.0%} of the ceiling, outputs {off:.1e} apart"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    most = ceiling(device)
    print(f"{device}, ceiling {most / 1e12:.3g} TFLOP/s, {vars(arguments)}")
    x_BTW = torch.randn(arguments.batch, arguments.length, arguments.width, device=device)
    for spec, kernels in layers(arguments.width):
        for kernel in kernels:
            said = compared(spec, kernel, x_BTW, rounds=arguments.rounds, most=most)
            print(f"{spec.name:15} {kernel:11} {said}", flush=True)


if __name__ == "__main__":
    main()
