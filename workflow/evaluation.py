"""How well a network predicts: bits and hits, counted at labelled positions only."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from models.network import Network
from tasks import AnyTask
from tasks.task import IGNORE, Batch, Split
from workflow.results import Measurement
from workflow.runs import Precision, TrainingRun


class Scores(NamedTuple):
    """Sums over the examples, by position: bits of surprise, targets predicted right, targets in all (float64, on the CPU)."""

    bits_T: Tensor
    right_T: Tensor
    labels_T: Tensor

    @property
    def bits(self) -> float:
        """Mean bits per labelled position."""
        return (self.bits_T.sum() / self.labels_T.sum()).item()

    @property
    def accuracy(self) -> float:
        """Fraction of labelled positions predicted right."""
        return (self.right_T.sum() / self.labels_T.sum()).item()


def labelled_logits(network: Network, batch: Batch) -> tuple[Tensor, Tensor]:
    """Returns logits_MN and targets_M of the M labelled positions: the head, most of the cost, runs at no other."""
    labelled_BT = batch.targets_BT != IGNORE
    return network.head(network.features(batch.tokens_BT)[labelled_BT]), batch.targets_BT[labelled_BT]


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Returns the context in which a network of this precision computes; weights stay in float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Returns the batch on the device."""
    return Batch(*(tensor.to(device, non_blocking=True) for tensor in batch))


@torch.inference_mode()
def scores(network: Network, task: AnyTask, *, split: Split, run: TrainingRun) -> Scores:
    """Returns the scores on the first batches of a split of the task, as many and as large as the run says."""
    device = network.head.weight.device
    sums_3T = torch.zeros(3, 0, dtype=torch.float64)
    for index in range(run.evaluation.batches):
        batch = task.batch(split, index, run.optimizer.batch_size)
        with autocast(device, run.precision):
            logits_MN, targets_M = labelled_logits(network, to_device(batch, device))
        bits_M = F.cross_entropy(logits_MN.float(), targets_M, reduction="none") / torch.log(torch.tensor(2.0))
        right_M = logits_MN.argmax(dim=-1) == targets_M
        positions_M = (batch.targets_BT != IGNORE).nonzero()[:, 1]
        counts_3M = torch.stack([bits_M.double(), right_M.double(), torch.ones_like(bits_M).double()]).cpu()
        longer = batch.tokens_BT.shape[1] - sums_3T.shape[1]
        sums_3T = F.pad(sums_3T, (0, max(longer, 0))).index_add(1, positions_M, counts_3M)
    return Scores(*sums_3T)


def measurements(found: Scores, task: AnyTask, *, at: dict[str, int | float | str]) -> list[Measurement]:
    """Returns loss, headline score and number of labels, at an address."""
    loss = Measurement(name="loss", value=found.bits, unit="bit", at=at)
    labels = Measurement(name="labels", value=found.labels_T.sum().item(), unit="count", at=at)
    if task.score == "accuracy":
        return [loss, Measurement(name="accuracy", value=found.accuracy, unit="fraction", at=at), labels]
    return [loss, Measurement(name="bits_per_byte", value=found.bits, unit="bit/byte", at=at), labels]


def by_position(found: Scores) -> list[Measurement]:
    """Returns the test loss in buckets of position 0, 1, 2-3, 4-7, ...; a bucket is named by its first position."""
    rows, first = [], 0
    while first < len(found.labels_T):
        last = max(2 * first, 1)
        bucket = Scores(*(sums_T[first:last] for sums_T in found))
        if bucket.labels_T.sum() > 0:
            rows.append(
                Measurement(name="loss", value=bucket.bits, unit="bit", at={"split": "test", "position": first})
            )
        first = last
    return rows
