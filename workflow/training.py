"""TrainingRun -> Result. By hand: `python -m workflow.training results/runs/<id> ...` serves a cohort of runs in one process."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from models.mixer import UnsupportedKernel, state_bytes
from models.network import Network
from tasks import AnyTask
from workflow.checkpoints import Checkpoint
from workflow.evaluation import (
    autocast,
    by_position,
    loss,
    loss_unit,
    measurements,
    network_of,
    predictions,
    scores,
    to_device,
)
from workflow.isolation import attempt
from workflow.results import Measurement, Outcome
from workflow.runs import OptimizerSpec, TrainingRun
from workflow.serving import Desk, main

Watch = Callable[[int, float], None]  # step, training loss: called now and then


def train(
    run: TrainingRun, *, learning_rate: float, device: torch.device, checkpoint: Checkpoint, watch: Watch
) -> Outcome:
    """Returns what training, validation and one test give; it continues from the checkpoint if there is one.

    Batches are addressed by seed and step, so a continued run sees what an undisturbed one sees, and every architecture the
    same. A loss that is not finite ends the run as `diverged`.
    """
    torch.manual_seed(run.seed)
    network = network_of(run.network, run.task).to(device)
    unit, per_nat = loss_unit(run.task)
    optimizer = adamw(network, run.optimizer)
    curve: list[Measurement] = []
    loss_sum = torch.zeros((), dtype=torch.float64, device=device)
    step = since = 0
    stopped = False
    if saved := checkpoint.load(device):
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        curve = [Measurement.model_validate(row) for row in saved["curve"]]
        step = since = saved["step"]
    while step < run.optimizer.steps and not stopped:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * schedule(step, run.optimizer)
        loss_sum += training_step(network, optimizer, run, step=step, device=device)
        step += 1
        if step % run.evaluation.every_steps and step < run.optimizer.steps:
            continue
        train_loss = loss_sum.item() / (step - since) * per_nat
        if not math.isfinite(train_loss):
            return Outcome(
                "diverged", f"loss was not finite by step {step}", _cost(run, network, step, learning_rate, curve)
            )
        found = scores(network, run.task, split="validation", run=run)
        curve.append(Measurement(name="loss", value=train_loss, unit=unit, at={"split": "train", "step": step}))
        curve += measurements(found, run.task, at={"split": "validation", "step": step})
        stopped = run.evaluation.stop_accuracy is not None and found.mean("right") >= run.evaluation.stop_accuracy
        watch(step, train_loss)
        loss_sum.zero_()
        since = step
        if not stopped and checkpoint.due():  # continued from here, a run that has stopped would train on
            rows = [row.model_dump() for row in curve]
            checkpoint.save(
                {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "curve": rows, "step": step}
            )
    return Outcome("finished", "", _cost(run, network, step, learning_rate, curve + tested(run, network)))


def training_step(
    network: Network, optimizer: torch.optim.Optimizer, run: TrainingRun, *, step: int, device: torch.device
) -> Tensor:
    """Takes one step on batch (seed, step) and returns its mean loss (`evaluation.loss`), without waiting for the device."""
    batch = to_device(run.task.batch("train", run.seed << 32 | step, run.optimizer.batch_size), device)
    with autocast(device, run.precision):
        predicted, targets = predictions(network, batch, piece=None)
    return descend(network, optimizer, loss(predicted, targets), gradient_clip=run.optimizer.gradient_clip)


def descend(network: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, *, gradient_clip: float) -> Tensor:
    """Takes one optimizer step down the clipped gradient of a loss, and returns the loss, detached."""
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), gradient_clip)
    optimizer.step()
    return loss.detach()


def adamw(network: nn.Module, spec: OptimizerSpec) -> torch.optim.AdamW:
    """Returns the optimizer; weight decay acts on matrices and convolutions, not on embeddings, biases, norms and scalars."""
    embeddings = {id(module.weight) for module in network.modules() if isinstance(module, nn.Embedding)}
    decayed, plain = [], []
    for parameter in network.parameters():
        (decayed if parameter.ndim >= 2 and id(parameter) not in embeddings else plain).append(parameter)
    groups = [{"params": decayed, "weight_decay": spec.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, betas=(0.9, spec.beta2), fused=True)


def schedule(step: int, spec: OptimizerSpec) -> float:
    """Returns the learning rate of a step as a share of its peak: linear warm-up, then a cosine to `final_rate`."""
    if step < spec.warmup_steps:
        return (step + 1) / (spec.warmup_steps + 1)
    progress = (step - spec.warmup_steps) / (spec.steps - spec.warmup_steps)
    return spec.final_rate + (1 - spec.final_rate) * (1 + math.cos(math.pi * progress)) / 2


def tested(run: TrainingRun, network: Network) -> list[Measurement]:
    """Returns the test scores on the task and at every point of the grid, by position too where they are in bits."""
    rows = []
    for point in ({}, *run.evaluation.points):
        task, at = run.task.at(point), {"split": "test", **point}
        found = scores(network, task, split="test", run=run)
        rows += measurements(found, task, at=at)
        if task.score == "bits_per_byte":
            rows += by_position(found, at=at)
    return rows


def _cost(
    run: TrainingRun, network: Network, steps: int, learning_rate: float, rows: list[Measurement]
) -> tuple[Measurement, ...]:
    """Returns the rows with what the run and its network cost put before them."""
    length, *others = (_length(run.task.at(point)) for point in ({}, *run.evaluation.points))
    costs = [
        Measurement(name="steps", value=steps, unit="step"),
        Measurement(name="learning_rate", value=learning_rate, unit="1"),
        Measurement(name="parameters", value=sum(parameter.numel() for parameter in network.parameters()), unit="1"),
        Measurement(name="flops", value=network.flops(length) / length, unit="FLOP/token"),
    ]
    for tokens in dict.fromkeys([length, *others]):
        held = state_bytes(network.initial_state(1, tokens))
        costs.append(Measurement(name="state_bytes", value=held, unit="B", at={"length": tokens}))
    return tuple(costs + rows)


def _length(task: AnyTask) -> int:
    return task.batch("test", 0, 1).inputs.shape[1]


def execute(desk: Desk, run: TrainingRun) -> Outcome:
    """Returns the outcome of a run at its desk; running out of memory is one of them.

    UnsupportedKernel if this machine lacks the kernel: that says nothing about the architecture, so it is no outcome.
    """
    rate = desk.learning_rate(run)
    training = partial(train, learning_rate=rate, device=desk.device, checkpoint=desk.checkpoint, watch=desk.watch)
    answer = attempt(training, run)
    if answer.status == "unsupported":
        raise UnsupportedKernel(answer.detail)
    return answer.value if answer.status == "finished" else Outcome(answer.status, answer.detail, ())


if __name__ == "__main__":
    main(TrainingRun, execute)
