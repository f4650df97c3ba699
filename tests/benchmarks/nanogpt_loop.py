"""Our training loop against nanoGPT's, on the bytes of the language modelling experiment, in turn in one process.

    git clone https://github.com/karpathy/nanoGPT
    python -m tests.benchmarks.nanogpt_loop --nanogpt nanoGPT --mixer attention

Theirs is train.py itself, run as it is, on our network, batch size, length, clipping and schedule, and on the experiment's
training text as it wants it: one uint16 file, of which it draws windows. It does not compile, evaluates once before the
first step, and logs every step as it does by default. It runs twice: with the optimizer of its model.py, which is not fused
on a CPU, and with ours. Each batch of ours is made when it is due. Without a checkout a textbook loop stands in for theirs.
"""

import contextlib
import copy
import importlib.util
import io
import pickle
import runpy
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from tests.benchmarks.loops import (
    Race,
    cross_entropy_everywhere,
    everywhere,
    flat_text,
    our_optimizer,
    stand_in,
    text_parser,
    text_race,
)
from workflow.runs import TrainingRun

CLONE = "git clone https://github.com/karpathy/nanoGPT, and give its folder as --nanogpt"

Configure = Callable[..., torch.optim.Optimizer]


def main() -> None:
    parser = text_parser(__doc__)
    parser.add_argument("--nanogpt", type=Path, help="a checkout of karpathy/nanoGPT")
    arguments = parser.parse_args()
    if arguments.nanogpt and not (arguments.nanogpt / "train.py").exists():
        parser.error(f"{arguments.nanogpt} is no checkout of nanoGPT: {CLONE}")
    warnings.filterwarnings("ignore", category=FutureWarning)  # of their GradScaler
    race = text_race(arguments)
    if not arguments.nanogpt:
        alone = race.against("textbook loop")
        stand_in(everywhere(copy.deepcopy(race.network), race.run), alone)
        print(f"{alone.table()}\nto race nanoGPT: {CLONE}")
        return
    optimizers: dict[str, Configure] = {
        "nanoGPT": their_optimizer(arguments.nanogpt),
        "nanoGPT, our optimizer": lambda model, *_: our_optimizer(model.network, race.run),
    }
    for name, configure in optimizers.items():
        against = race.against(name)
        train(copy.deepcopy(race.network), race.run, against, configure=configure, checkout=arguments.nanogpt)
        print(against.table())


def their_optimizer(checkout: Path) -> Configure:
    """Returns the method of their model that makes the optimizer."""
    spec = importlib.util.spec_from_file_location("nanogpt_model", checkout / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.GPT.configure_optimizers


def train(network: nn.Module, run: TrainingRun, race: Race, *, configure: Configure, checkout: Path) -> None:
    """Runs their train.py on the network; its steps wait for ours where they enter it."""

    class GPT(nn.Module):
        """What train.py asks of its model, around ours."""

        def __init__(self, config: SimpleNamespace) -> None:
            super().__init__()
            self.config, self.network = config, network

        def forward(self, tokens_BT: Tensor, targets_BT: Tensor) -> tuple[Tensor, Tensor]:
            if self.training:
                race.wait()
            logits_BTN = self.network(tokens_BT)
            return logits_BTN, cross_entropy_everywhere(logits_BTN, targets_BT)

        def configure_optimizers(self, *told: object) -> torch.optim.Optimizer:
            return configure(self, *told)

        def estimate_mfu(self, batches: int, seconds: float) -> float:
            return 0.0

    stub = ModuleType("model")
    stub.GPT, stub.GPTConfig = GPT, SimpleNamespace
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(checkout), contextlib.redirect_stdout(io.StringIO()):
        write_text(Path(folder), run)
        told = ["train.py", *settings(run, race, folder=folder)]
        with mock.patch.dict(sys.modules, {"model": stub}), mock.patch.object(sys, "argv", told):
            runpy.run_path("train.py")


def write_text(folder: Path, run: TrainingRun) -> None:
    """Leaves what train.py reads: the tokens of both splits and the size of the vocabulary."""
    for name, split in (("train", "train"), ("val", "validation")):
        flat_text(run.task, split).astype(np.uint16).tofile(folder / f"{name}.bin")
    (folder / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": run.task.vocabulary_size}))


def settings(run: TrainingRun, race: Race, *, folder: str) -> list[str]:
    """Returns the command line that gives train.py the settings of the run."""
    spec = run.optimizer
    told = {
        "dataset": folder,  # absolute, so not below its own data folder
        "out_dir": folder,
        "device": "cpu",
        "dtype": "float32",
        "compile": False,
        "eval_iters": 1,
        "eval_interval": 2 * race.peer_steps,
        "gradient_accumulation_steps": 1,
        "batch_size": spec.batch_size,
        "block_size": run.task.length,
        "learning_rate": spec.learning_rate,
        "min_lr": spec.final_rate * spec.learning_rate,
        "warmup_iters": spec.warmup_steps,
        "lr_decay_iters": spec.steps,
        "max_iters": race.peer_steps - 1,  # it takes one more
        "weight_decay": spec.weight_decay,
        "beta2": spec.beta2,
        "grad_clip": spec.gradient_clip,
    }
    return [f"--{name}={value}" for name, value in told.items()]


if __name__ == "__main__":
    main()
