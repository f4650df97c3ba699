"""What a network learns before the task of its run: another task, as a run of its own would, from the same seed."""

from typing import NamedTuple

import torch

from models.network import Network
from models.trunk import take_trunk
from workflow.checkpoints import Checkpoint
from workflow.processes import processes
from workflow.results import Measurement
from workflow.runs import TrainingRun
from workflow.training.alone import Alone, drawn
from workflow.training.loop import Trainee, Training, Watch

SPLIT = "pretraining"  # where the validation scores of the pretraining are told


class Pretrained(NamedTuple):
    """The network as the run begins, what was measured on the way, and how it failed, empty where it did not."""

    network: Network
    rows: list[Measurement]
    failed: str


def pretrained(
    run: TrainingRun, *, learning_rate: float, device: torch.device, checkpoint: Checkpoint, watch: Watch
) -> Pretrained:
    """Returns the network of a run that has a pretraining, after it; Interrupted, with all saved, if asked to stop.

    `checkpoint` is of the pretraining alone: what was cut goes on from there. `watch` is told of it as of step 0.
    """
    before = run.before
    assert before is not None, "of a run without pretraining nothing comes before"
    if processes().sharded:
        raise ValueError("a pretrained network cannot begin with its weights split: call without --shard")
    program = Alone(before, drawn(before, device=device), learning_rate=learning_rate)
    trainee = Trainee(SPLIT, before, learning_rate, checkpoint, lambda _, loss, rows: watch(0, loss, _told(rows)))
    training = Training(program, {0: trainee}, company=[SPLIT], device=device)
    if steps := checkpoint.steps():
        training.resume(steps[0])
    ((_, outcome),) = training.outcomes()
    rate = Measurement(name="learning_rate", value=learning_rate, unit="1", at={"split": SPLIT})
    network = drawn(run, device=device)
    if outcome.status == "finished":
        take_trunk(network, of=program.networks[0])
    return Pretrained(network, [rate, *_told(trainee.curve)], outcome.detail)


def _told(rows: list[Measurement]) -> list[Measurement]:
    """Returns the validation scores, as those of the pretraining."""
    kept = [row for row in rows if row.at.get("split") == "validation"]
    return [row.model_copy(update={"at": row.at | {"split": SPLIT}}) for row in kept]
