"""The network of a run, trained as every run is: what the engine keeps of a run is its scores."""

from pathlib import Path

from models.network import Network
from workflow.checkpoints import Checkpoint
from workflow.identity import run_id
from workflow.provenance import device
from workflow.results import Measurement
from workflow.runs import TrainingRun
from workflow.training.alone import Alone, drawn
from workflow.training.loop import Trainee, Training


def trained(run: TrainingRun, *, checkpoints: Path) -> tuple[Network, list[Measurement]]:
    """Returns the network after its training, and its measurements; ValueError if it diverged.

    What was cut goes on from its `checkpoints`, which are deleted after that.
    """
    name, rate = run_id(run), run.optimizer.learning_rate
    program = Alone(run, drawn(run, device=device()), learning_rate=rate)
    checkpoint = Checkpoint(checkpoints / name)
    trainee = Trainee(name, run, rate, checkpoint, lambda step, loss, rows: None)
    training = Training(program, {0: trainee}, company=[name], device=device())
    if steps := checkpoint.steps():
        training.resume(steps[0])
    ((_, outcome),) = training.outcomes()
    if outcome.status != "finished":
        raise ValueError(
            f"{run.network.mixer.name} on {run.task.name}: {outcome.detail}; lower optimizer.learning_rate"
        )
    checkpoint.remove()
    return program.networks[0], list(outcome.measurements)
