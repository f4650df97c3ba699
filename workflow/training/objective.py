"""What a step minimises, as a module: the same one is trained alone, stacked, compiled, and spread over devices."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from models.network import Network
from tasks.task import IGNORE
from workflow.processes import processes
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


def objective_of(network: Network, execution: ExecutionSpec, *, device: torch.device) -> nn.Module:
    """Returns the objective of a network, executed as the specification says, and spread over the processes there are.

    Several processes average their gradients. Sharded, each keeps its part of every weight, and the network's parameters
    are others than before.
    """
    objective = Objective(network)
    if execution.recompute:
        for block in network.blocks:
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    mine = processes()
    if execution.compile:
        for module in network.blocks if mine.sharded else [objective]:  # weights are gathered block by block
            module.compile()
    if mine.sharded:
        _shard(network, device)
    elif mine.count > 1:
        devices = [device] if device.type == "cuda" else None
        spread = DistributedDataParallel(objective, device_ids=devices, gradient_as_bucket_view=True)
        spread.broadcast_buffers = False  # they are constants; the argument of that name is going away
        return spread
    return objective


def _shard(network: Network, device: torch.device) -> None:
    """Splits the weights over the processes, those of each block and those around them being gathered when they are used."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    mesh = init_device_mesh(device.type, (processes().count,))
    for block in network.blocks:
        fully_shard(block, mesh=mesh)
        for name in ("initial_state", "prefill"):
            register_fsdp_forward_method(block, name)
    fully_shard(network, mesh=mesh, reshard_after_forward=False)  # the head is used after `features`
    for name in ("features", "initial_state", "read"):
        register_fsdp_forward_method(network, name)
