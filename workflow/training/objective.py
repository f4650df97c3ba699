"""What a step minimises, as a module: the same one is trained alone, stacked, compiled, and spread over devices."""

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models.network import Network
from tasks.task import IGNORE
from workflow.runs import ExecutionSpec


class Objective(nn.Module):
    """The sum of the losses of a network: the cross-entropy of logits, in nats, or the squared error of numbers.

    A step's loss is that sum over the count of all it predicts: so parts of a batch add up to the whole of it. The head,
    most of the cost where a vocabulary is large, runs at labelled positions only.
    """

    def __init__(self, network: Network):
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor, index_N: Tensor | None, targets: Tensor) -> Tensor:
        """Returns the sum over the N labels, of `batches.Prepared`; a target IGNORE adds nothing."""
        x_NW = self.network.features(inputs).flatten(0, 1)
        if index_N is not None:
            x_NW = x_NW.index_select(0, index_N)
        predicted = self.network.head(x_NW).float()
        if targets.is_floating_point():
            return F.mse_loss(predicted, targets, reduction="sum")
        return F.cross_entropy(predicted, targets, reduction="sum", ignore_index=IGNORE)


def objective_of(network: Network, execution: ExecutionSpec) -> Objective:
    """Returns the objective of a network, executed as the specification says."""
    objective = Objective(network)
    if execution.recompute:
        for block in network.blocks:
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    if execution.compile:
        objective.compile()
    return objective
