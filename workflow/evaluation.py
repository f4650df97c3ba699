"""How well a network predicts: bits and hits, or errors, counted at labelled positions only."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from models.network import Network, NetworkSpec
from tasks import AnyTask
from tasks.draws import Split
from tasks.series.series import SeriesTask
from tasks.task import TextTask
from workflow.batches import Prepared, batch_of, prepared, share_of
from workflow.processes import check, processes, summed
from workflow.results import Measurement
from workflow.runs import Precision, TrainingRun


class Scores(NamedTuple):
    """Sums over the examples, by position, float64 on the CPU: of labels, and by name of what each of them scored."""

    labels_T: Tensor
    sums: dict[str, Tensor]

    def mean(self, name: str) -> float:
        """Returns the mean over labelled positions: `bits` of surprise, the share `right`, `squared` or `absolute` error."""
        return (self.sums[name].sum() / self.labels_T.sum()).item()

    @property
    def bits_per_byte(self) -> float:
        return (self.sums["bits"].sum() / self.sums["bytes"].sum()).item()


def network_of(spec: NetworkSpec, task: AnyTask) -> Network:
    """Returns the network, weights drawn, that reads and predicts what the task asks."""
    if isinstance(task, SeriesTask):
        return spec.build_for_series(task.channels, task.outputs)
    return spec.build_bottleneck(task.vocabulary_size) if task.bottleneck else spec.build(task.vocabulary_size)


def predictions(network: Network, batch: Prepared, *, piece: int | None) -> Tensor:
    """Returns logits_MN, or numbers_MH, of the M labelled positions: the head, most of the cost, runs at no other.

    Where `piece` is given, the batch is read by so many positions at once, the state being carried on.
    """
    if piece is None:
        x_BTW = network.features(batch.inputs)
    else:
        state, read = network.initial_state(len(batch.inputs), batch.inputs.shape[1]), []
        for part in batch.inputs.split(piece, dim=1):
            features, state = network.read(part, state)
            read.append(features)
        x_BTW = torch.cat(read, dim=1)
    x_MW = x_BTW.flatten(0, 1)
    return network.head(x_MW if batch.index_N is None else x_MW[batch.index_N])


def loss_unit(task: AnyTask) -> tuple[str, float]:
    """Returns the unit in which the loss is told, and what a loss is multiplied by to be in it."""
    return ("1", 1.0) if isinstance(task, SeriesTask) else ("bit", 1 / math.log(2))


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Returns the context in which a network of this precision computes; weights stay in float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def scores(network: Network, task: AnyTask, *, split: Split, run: TrainingRun) -> Scores:
    """Returns the scores on the first batches of a split of the task, as many and as large as the run says.

    Each process scores its rows of every batch, and all return the scores of all. Interrupted, with nothing scored, if one
    was asked to stop.
    """
    # Weights gathered in inference mode would be of no use to the steps that follow.
    with torch.no_grad() if processes().sharded else torch.inference_mode():
        return _scores(network, task, split=split, run=run)


def _scores(network: Network, task: AnyTask, *, split: Split, run: TrainingRun) -> Scores:
    device = network.head.weight.device
    totals: dict[str, Tensor] = {}
    for index in range(run.evaluation.batches):
        check()
        batch = share_of(batch_of(task, split, index, run.optimizer.batch_size))
        labelled = prepared(batch).to(device)
        with autocast(device, run.precision):
            predicted = predictions(network, labelled, piece=run.evaluation.piece)
        positions_M = batch.labelled_BT.nonzero()[:, 1]
        for name, values_M in _scored(predicted.float(), labelled.targets, task).items():
            sums_T = totals.setdefault(name, torch.zeros(0, dtype=torch.float64))
            longer = batch.inputs.shape[1] - len(sums_T)
            totals[name] = F.pad(sums_T, (0, max(longer, 0))).index_add(0, positions_M, values_M.double().cpu())
    totals = {name: summed(sums_T) for name, sums_T in totals.items()}
    return Scores(totals.pop("labels"), totals)


def _scored(predicted: Tensor, targets: Tensor, task: AnyTask) -> dict[str, Tensor]:
    """Returns, by name, what each labelled position scored."""
    if isinstance(task, SeriesTask):
        errors_MH = predicted - targets
        found = {"squared": errors_MH.square().mean(dim=1), "absolute": errors_MH.abs().mean(dim=1)}
    else:
        bits_M = F.cross_entropy(predicted, targets, reduction="none") / math.log(2)
        found = {"bits": bits_M, "right": predicted.argmax(dim=-1) == targets}
        if isinstance(task, TextTask):
            found["bytes"] = task.token_bytes_N.to(targets.device)[targets]
    return {"labels": torch.ones_like(predicted[:, 0]), **found}


def measurements(found: Scores, task: AnyTask, *, at: dict[str, int | float | str]) -> list[Measurement]:
    """Returns loss, headline score and number of labels, at an address."""
    labels = Measurement(name="labels", value=found.labels_T.sum().item(), unit="count", at=at)
    if isinstance(task, SeriesTask):
        errors = {"loss": "squared", "mse": "squared", "mae": "absolute"}
        return [*(Measurement(name=n, value=found.mean(of), unit="1", at=at) for n, of in errors.items()), labels]
    bits = Measurement(name="loss", value=found.mean("bits"), unit="bit", at=at)
    if task.score == "accuracy":
        return [bits, Measurement(name="accuracy", value=found.mean("right"), unit="fraction", at=at), labels]
    return [bits, Measurement(name="bits_per_byte", value=found.bits_per_byte, unit="bit/byte", at=at), labels]


def by_position(found: Scores, *, at: dict[str, int | float | str]) -> list[Measurement]:
    """Returns the bits per byte in buckets of position 0, 1, 2-3, 4-7, ...; a bucket is named by its first position."""
    rows, first = [], 0
    while first < len(found.labels_T):
        last = max(2 * first, 1)
        bucket = Scores(found.labels_T[first:last], {name: sums_T[first:last] for name, sums_T in found.sums.items()})
        if bucket.sums["bytes"].sum() > 0:
            told = {"name": "bits_per_byte", "value": bucket.bits_per_byte, "unit": "bit/byte"}
            rows.append(Measurement(**told, at=at | {"position": first}))
        first = last
    return rows
