"""Our training loop against Zoology's own, on multi-query associative recall as in its figure 2, in turn in one process.

    git clone https://github.com/HazyResearch/zoology
    python -m tests.benchmarks.zoology_loop --zoology zoology --width 64 --batch 512

Theirs is `Trainer.fit` of zoology/train.py on its own model and on batches made beforehand; ours makes each batch when it is
due, clips the gradient, and trains a copy of the very same module, with the same AdamW settings, but fused and
without decay of the embedding; and a network of our own of the same shape, whose head has weights of its own. Nobody
validates. At batch 512 it takes 6 GB of memory.

Written for commit d88d6f5, which is patched in memory: stubs for wandb and torchvision where they are missing (no logger is
set, and no path is dropped), embeddings on the CPU instead of "cuda", and logits instead of embeddings out of the model,
without which the cross-entropy fails. Without a checkout a textbook loop on our network stands in for theirs.
"""

import argparse
import contextlib
import copy
import importlib.util
import io
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from models.network import SharedNetworkSpec
from tasks.memory.recall import Recall
from tests.benchmarks.loops import (
    Race,
    budgeted,
    cross_entropy_everywhere,
    everywhere,
    ours,
    quartiles,
    stand_in,
    training_run,
)
from workflow.runs import TrainingRun

CLONE = "git clone https://github.com/HazyResearch/zoology, and give its folder as --zoology"
DEPTH = 2


class Theirs(nn.Module):
    """Their language model as our loop reads one."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.head = model.lm_head

    def features(self, tokens_BT: Tensor) -> Tensor:
        return self.model.backbone(tokens_BT)


class Parts:
    """Where the time of the peer's steps goes: each stretch is named when it ends."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def restart(self) -> None:
        self._last = time.perf_counter()

    def end(self, name: str, *, counts: bool) -> None:
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + counts * (now - self._last)
        self._last = now

    def told(self) -> str:
        total = sum(self.seconds.values())
        return ", ".join(f"{name} {seconds / total:.0%}" for name, seconds in self.seconds.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--zoology", type=Path, help="a checkout of HazyResearch/zoology")
    parser.add_argument("--vocabulary", type=int, default=8192)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--steps", type=int, default=1, help="of each loop in a round")
    parser.add_argument("--rounds", type=int, default=8)
    arguments = parser.parse_args()
    if arguments.zoology and not (arguments.zoology / "zoology" / "train.py").exists():
        parser.error(f"{arguments.zoology} is no checkout of Zoology: {CLONE}")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    run = figure_2_run(arguments)
    our_network = run.network.build(run.task.vocabulary_size)
    if arguments.zoology:
        against_zoology(our_network, run, arguments)
    else:
        contenders = {"ours": ours(copy.deepcopy(our_network), run)}
        race = Race(contenders, peer="textbook loop", steps=arguments.steps, rounds=arguments.rounds)
        stand_in(everywhere(our_network, run), race)
        print(f"{race.table()}\nto race Zoology: {CLONE}")


def figure_2_run(arguments: argparse.Namespace) -> TrainingRun:
    """Returns a run of one-head attention at the published settings."""
    run = training_run("recall", scale="quick", mixer="attention")
    task = Recall(
        name="recall",
        length=arguments.length,
        vocabulary=arguments.vocabulary,
        pairs=arguments.pairs,
        fillers=1,
        power=0.01,
    )
    network = SharedNetworkSpec(
        block="shared",
        width=arguments.width,
        depth=DEPTH,
        positions=arguments.length,
        convolution=0,
        feedforward=0,
        mixer=run.network.mixer.model_copy(update={"rotary_base": None}),
    )
    settings = {"learning_rate": 1e-3, "beta2": 0.999, "weight_decay": 0.1, "batch_size": arguments.batch}
    optimizer = run.optimizer.model_copy(update=settings)
    changed = run.model_copy(update={"task": task, "network": network, "optimizer": optimizer, "precision": "float32"})
    return budgeted(changed, steps=arguments.steps, rounds=arguments.rounds)


def against_zoology(our_network: nn.Module, run: TrainingRun, arguments: argparse.Namespace) -> None:
    """Prints the race, where their time goes, and what the head at labelled positions only has to do with it."""
    install(arguments.zoology)
    config = zoology_config(run, arguments)
    from zoology.model import LanguageModel

    model = LanguageModel(config.model)
    refuse_another_loss(model, run)
    labelled, unlabelled = "ours, their network", "the same, head and loss everywhere"
    contenders = {
        labelled: ours(Theirs(copy.deepcopy(model)), run),
        unlabelled: everywhere(Theirs(copy.deepcopy(model)), run),
        "ours, our network": ours(our_network, run),
    }
    race, parts = Race(contenders, peer="Zoology", steps=arguments.steps, rounds=arguments.rounds), Parts()
    fit(model, config, race, parts)
    sizes = " and ".join(f"{sum(p.numel() for p in each.parameters()):,}" for each in (model, our_network))
    print(f"width {arguments.width}, batch {arguments.batch}, {sizes} parameters\n{race.table()}")
    shares = quartiles(
        (all_of_it - some) / (theirs - some)
        for theirs, some, all_of_it in zip(
            *(race.seconds[name] for name in ("Zoology", labelled, unlabelled)), strict=True
        )
    )
    print(f"of the time saved, head and loss at labelled positions only save {shares.median:.0%}")
    print(f"of theirs: {parts.told()}")


def install(checkout: Path) -> None:
    """Makes Zoology importable, and patches what this module's docstring names."""
    sys.path.insert(0, str(checkout))
    if importlib.util.find_spec("wandb") is None:
        sys.modules["wandb"] = ModuleType("wandb")
    if importlib.util.find_spec("torchvision") is None:
        operations = ModuleType("torchvision.ops")
        operations.StochasticDepth = lambda p, mode: nn.Identity()
        sys.modules |= {"torchvision": ModuleType("torchvision"), "torchvision.ops": operations}
    from zoology import model

    built, read = model.TokenEmbeddings.__init__, model.LanguageModel.forward
    model.TokenEmbeddings.__init__ = lambda *told, **named: built(*told, **named | {"device": "cpu"})
    model.LanguageModel.forward = lambda self, tokens_BT: read(self, tokens_BT, return_embeddings=False)


def zoology_config(run: TrainingRun, arguments: argparse.Namespace) -> Any:
    """Returns their settings of figure 2 for as many epochs of `--steps` batches as there are rounds, one warming up."""
    from zoology.config import DataConfig, ModelConfig, TrainConfig
    from zoology.data.multiquery_ar import MQARConfig

    segment = {
        "vocab_size": arguments.vocabulary,
        "input_seq_len": arguments.length,
        "num_kv_pairs": arguments.pairs,
        "random_non_queries": False,
    }
    data = DataConfig(
        train_configs=[MQARConfig(num_examples=arguments.batch * arguments.steps, **segment)],
        test_configs=[MQARConfig(num_examples=1, **segment)],
        batch_size=arguments.batch,
    )
    model = ModelConfig(
        d_model=arguments.width,
        n_layers=DEPTH,
        max_position_embeddings=arguments.length,
        vocab_size=arguments.vocabulary,
        sequence_mixer={"name": "zoology.mixers.attention.MHA", "kwargs": {"dropout": 0.1, "num_heads": 1}},
        state_mixer={"name": "torch.nn.Identity", "kwargs": {}},
    )
    return TrainConfig(
        data=data,
        model=model,
        max_epochs=arguments.rounds + 1,
        learning_rate=run.optimizer.learning_rate,
        weight_decay=run.optimizer.weight_decay,
    )


def refuse_another_loss(model: nn.Module, run: TrainingRun) -> None:
    """AssertionError unless our loop's loss on a batch is the cross-entropy of their logits there."""
    model.eval()
    batch = run.task.batch("train", run.seed << 32, run.optimizer.batch_size)
    with torch.inference_mode():
        expected = cross_entropy_everywhere(model(batch.inputs), batch.targets)
    torch.testing.assert_close(ours(Theirs(copy.deepcopy(model)), run)(0), expected)
    model.train()


def fit(model: nn.Module, config: Any, race: Race, parts: Parts) -> None:
    """Runs their trainer as their `train` does, but that validation takes no time and each step waits for ours."""
    from zoology.data.utils import prepare_data
    from zoology.logger import WandbLogger
    from zoology.train import Trainer

    class Racing(Trainer):
        def train_epoch(self, epoch_idx: int) -> None:
            if epoch_idx == 0:
                self.model.backbone.register_forward_hook(lambda *_: end("layers"))
                self.model.lm_head.register_forward_hook(lambda *_: end("head"))
                self.loss_fn.register_forward_hook(lambda *_: end("loss"))
                self.optimizer.register_step_pre_hook(lambda *_: end("backward"))
                self.optimizer.register_step_post_hook(lambda *_: end("optimizer"))
            super().train_epoch(epoch_idx)

        def compute_loss(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
            end("fetching and logging")
            race.wait()
            parts.restart()
            loss, predictions = super().compute_loss(inputs, targets)
            end("argmax")
            return loss, predictions

        def test(self, epoch_idx: int) -> dict[str, float]:
            return {}

    def end(name: str) -> None:
        parts.end(name, counts=race.timed)

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        training, validation = prepare_data(config.data)
        trainer = Racing(
            model=model,
            train_dataloader=training,
            test_dataloader=validation,
            max_epochs=config.max_epochs,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            early_stopping_metric=None,
            device="cpu",
            logger=WandbLogger(config),
        )
        trainer.fit()
    race.wait()


if __name__ == "__main__":
    main()
