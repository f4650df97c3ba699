"""A network begun with what another has learnt: its trunk, between the first bytes read and the head."""

import torch

from models.network import Network

BYTES = 256  # tokens 0 to 255 of tasks that read bytes; what comes after them is a task's own


@torch.no_grad()
def take_trunk(network: Network, *, of: Network) -> None:
    """Copies the blocks, the last norm and the embedding of the bytes; both networks are of one specification.

    The head stays as drawn, and so do the tokens that are none of the bytes, except where the head is the embedding.
    """
    network.blocks.load_state_dict(of.blocks.state_dict())
    network.norm.load_state_dict(of.norm.state_dict())
    network.embedding.weight[:BYTES].copy_(of.embedding.weight[:BYTES])
