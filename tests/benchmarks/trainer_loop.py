"""Our training loop against the Trainer of transformers, on the bytes of the language modelling experiment, in turn.

    python -m tests.benchmarks.trainer_loop --mixer attention

Theirs is `Trainer.train` on our network, batch size, length, clipping, warm-up and cosine, and on windows of the
experiment's training text through its own sampler and collator. It reports to nobody, saves nothing, evaluates nothing and
draws no bar. It runs twice: with its own choice of AdamW, and with our optimizer. Each batch of ours is made when it is due.
"""

import contextlib
import copy
import io
import logging
import tempfile
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from tests.benchmarks.loops import Race, cross_entropy_everywhere, flat_text, our_optimizer, text_parser, text_race
from workflow.runs import TrainingRun


class Windows(Dataset):
    """Every window of a text, as the Trainer's collator wants it."""

    def __init__(self, text_N: np.ndarray, *, length: int) -> None:
        self._text_N = torch.from_numpy(text_N)
        self._length = length

    def __len__(self) -> int:
        return len(self._text_N) - self._length

    def __getitem__(self, first: int) -> dict[str, Tensor]:
        window_S = self._text_N[first : first + self._length + 1]
        return {"input_ids": window_S[:-1], "labels": window_S[1:]}


class Lossy(nn.Module):
    """Our network as the Trainer reads one: it returns its loss."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"loss": cross_entropy_everywhere(self.network(input_ids), labels)}


def main() -> None:
    race = text_race(text_parser(__doc__).parse_args())
    for name, shared in (("transformers Trainer", False), ("transformers Trainer, our optimizer", True)):
        against, model = race.against(name), Lossy(copy.deepcopy(race.network))
        train(model, race.run, against, optimizer=our_optimizer(model.network, race.run) if shared else None)
        print(against.table())


def train(model: nn.Module, run: TrainingRun, race: Race, *, optimizer: torch.optim.Optimizer | None) -> None:
    """Runs the Trainer, with its own optimizer if none is given; its steps wait for ours where they begin."""
    from transformers import Trainer, TrainerCallback, TrainingArguments
    from transformers.utils import logging as their_logging

    their_logging.set_verbosity(logging.ERROR)

    class Waiting(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **told: Any) -> None:
            race.wait()

    spec = run.optimizer
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            output_dir=folder,
            use_cpu=True,
            per_device_train_batch_size=spec.batch_size,
            max_steps=race.peer_steps,
            learning_rate=spec.learning_rate,
            lr_scheduler_type="cosine",
            warmup_steps=spec.warmup_steps,
            weight_decay=spec.weight_decay,
            adam_beta2=spec.beta2,
            max_grad_norm=spec.gradient_clip,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        )
        data = Windows(flat_text(run.task, "train").astype(np.int64), length=run.task.length)
        trainer = Trainer(
            model=model, args=settings, train_dataset=data, optimizers=(optimizer, None), callbacks=[Waiting()]
        )
        with contextlib.redirect_stdout(io.StringIO()):  # its summary
            trainer.train()


if __name__ == "__main__":
    main()
