"""A trained network and an input -> numbers: gates, horizons, weights, and what they come to over many inputs."""

import copy
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from models.gate_dynamics import READ, Dynamics, dynamics
from models.network import Network
from tasks.task import Batch

PRECISION = 1e-10  # largest difference, relative to the largest number, of a mixer's output told twice in float64


class Layer(NamedTuple):
    """What one mixer did, and by how much its output as told by the weights differs from its output, relative to that."""

    dynamics: Dynamics
    deviation: float


class Reading(NamedTuple):
    """What a network did with a batch: its mixers in order, and whether it was right at labelled positions."""

    layers: list[Layer]
    right_BT: Tensor


def reading(network: Network, batch: Batch) -> Reading:
    """Returns what the network does with the batch, in float64 on the CPU; ValueError if a mixer of it has no reading."""
    network = copy.deepcopy(network).cpu().double()
    layers: list[Layer] = []

    def lay_open(mixer: torch.nn.Module, inputs: tuple[Tensor], output_BTW: Tensor) -> None:
        found = dynamics(mixer, *inputs)
        difference = (found.output_BTW - output_BTW).abs().max() / output_BTW.abs().max()
        assert difference <= PRECISION, f"{type(mixer).__name__}: its weights give another output, by {difference:.1e}"
        layers.append(Layer(found, difference.item()))

    hooks = [module.register_forward_hook(lay_open) for module in network.modules() if type(module) in READ]
    if len(hooks) < sum(hasattr(block, "mixer") for block in network.blocks) or not hooks:
        raise ValueError(f"only networks of {', '.join(kind.__name__ for kind in READ)} can be laid open")
    with torch.inference_mode():
        right_BT = network(batch.tokens_BT).argmax(-1) == batch.targets_BT
    return Reading(layers, right_BT)


def shares(weights_BHVTT: Tensor) -> Tensor:
    """Returns share_BHTT: |w_tj| over the sum of |w_tj| of all j, the mean over a head's cells; 0 where nothing is read."""
    sizes_BHVTT = weights_BHVTT.abs()
    return (sizes_BHVTT / sizes_BHVTT.sum(-1, keepdim=True).clamp(min=torch.finfo(sizes_BHVTT.dtype).tiny)).mean(2)


def horizons(log_kept_BHVT: Tensor) -> Tensor:
    """Returns horizon_BHVT: of how many tokens, itself and those before it, more than 1/e is left by forgetting alone."""
    b_BHVT = log_kept_BHVT.cumsum(-1)
    left_BHVTT = b_BHVT[..., :, None] - b_BHVT[..., None, :]
    return (left_BHVTT > -1).tril().sum(-1).to(log_kept_BHVT.dtype)


def by_position(layer: Dynamics) -> dict[tuple[str, str], Tensor]:
    """Returns x_BHVT by name and unit: the gates, the horizon of forgetting, how far back and how many are read.

    `written` is the input gate relative to its largest in the sequence, `kept_distance` the mean distance of what the gates
    alone leave, `distance` that of what is read. `tokens_read` is the exponential of the entropy of the shares: as many
    tokens, read alike, have that entropy.
    """
    share_BHTT = shares(layer.weights_BHVTT)
    found = {(name, "1"): gate_BHVT for name, gate_BHVT in layer.gates.items()}
    if layer.log_kept_BHVT is not None and layer.decay_BHVTT is not None:
        written_BHVT = layer.gates["input"] / layer.gates["input"].amax(-1, keepdim=True)
        found |= {("written", "fraction"): written_BHVT, ("horizon", "token"): horizons(layer.log_kept_BHVT)}
        found["kept_distance", "token"] = distances(shares(layer.decay_BHVTT))
    read_BHT = torch.special.entr(share_BHTT).sum(-1).exp()
    return found | {("distance", "token"): distances(share_BHTT), ("tokens_read", "token"): read_BHT[:, :, None]}


def distances(share_BHTT: Tensor) -> Tensor:
    """Returns distance_BHVT, with one V: how many tokens back the shares lie on average."""
    places_T = torch.arange(share_BHTT.shape[-1], dtype=share_BHTT.dtype)
    return (share_BHTT * (places_T[:, None] - places_T).clamp(min=0)).sum(-1)[:, :, None]


def due_BTT(batch: Batch) -> Tensor:
    """Returns for labelled positions t and all j <= t whether token j is the one to predict at t."""
    return (batch.targets_BT[:, :, None] == batch.tokens_BT[:, None, :]).tril()


def answer_shares(share_BHTT: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Returns by head the share read of the token that is due, and what reading all alike would give, where it was seen.

    Both are means over the labelled positions before which the token occurs.
    """
    found_BTT = due_BTT(batch)
    seen_BT = found_BTT.any(-1)
    share_BHT = (share_BHTT * found_BTT[:, None]).sum(-1)
    alike_BT = found_BTT.sum(-1) / torch.arange(1, found_BTT.shape[-1] + 1)
    return share_BHT.transpose(0, 1)[:, seen_BT].mean(-1), alike_BT[seen_BT].mean()


def dynamics_rows(found: Reading) -> Iterator[pd.DataFrame]:
    """Yields, of the first sequence, tables of layer, head, position, source, name, value, low, high and unit.

    `low` and `high` are the least and the most among the cells of a head, of which `value` is the mean.
    """
    for place, (layer, _) in enumerate(found.layers, start=1):
        for (name, unit), x_BHVT in by_position(layer).items():
            x_HVT = x_BHVT[0]
            spread = (x_HVT.amin(1), x_HVT.amax(1)) if x_HVT.shape[1] > 1 else (None, None)
            yield _table(x_HVT.mean(1), *spread).assign(layer=place, name=name, unit=unit)
        maps = {"weight": layer.weights_BHVTT.mean(2)[0], "share": shares(layer.weights_BHVTT)[0]}
        if layer.decay_BHVTT is not None:
            maps["decay"] = layer.decay_BHVTT.mean(2)[0]
        for name, map_HTT in maps.items():
            yield _map_table(map_HTT).assign(layer=place, name=name, unit="fraction" if name == "share" else "1")
    right_T = found.right_BT[0].double()[None]
    yield _table(right_T, None, None).drop(columns="head").assign(name="right", unit="1")


def _table(x_HT: Tensor, low_HT: Tensor | None, high_HT: Tensor | None) -> pd.DataFrame:
    head, position = np.indices(x_HT.shape)
    columns = {"head": head.ravel(), "position": position.ravel(), "value": x_HT.flatten().numpy()}
    if low_HT is not None and high_HT is not None:
        columns |= {"low": low_HT.flatten().numpy(), "high": high_HT.flatten().numpy()}
    return pd.DataFrame(columns)


def _map_table(map_HTT: Tensor) -> pd.DataFrame:
    position, source = np.tril_indices(map_HTT.shape[-1])
    heads = len(map_HTT)
    return pd.DataFrame(
        {
            "head": np.repeat(np.arange(heads), len(position)),
            "position": np.tile(position, heads),
            "source": np.tile(source, heads),
            "value": map_HTT.numpy()[:, position, source].ravel(),
        }
    )


def summary_rows(found: Reading, batch: Batch, *, kinds: list[str]) -> Iterator[dict[str, object]]:
    """Yields means over the labelled positions of all sequences by layer and head, of so many as `n` says.

    `forget` and `written` are told by kind of token too, over all positions; `kinds` has the kind of every token.
    """
    for place, (layer, deviation) in enumerate(found.layers, start=1):
        share_H, alike = answer_shares(shares(layer.weights_BHVTT), batch)
        seen = {"layer": place, "unit": "fraction", "n": int(due_BTT(batch).any(-1).sum())}
        yield from _by_head(share_H, seen | {"name": "answer_share"})
        yield seen | {"name": "uniform_share", "value": alike.item()}
        yield {"layer": place, "name": "deviation", "value": deviation, "unit": "fraction", "n": len(batch.tokens_BT)}
        for (name, unit), x_BHVT in by_position(layer).items():
            x_HBT, address = x_BHVT.mean(2).transpose(0, 1), {"layer": place, "name": name, "unit": unit}
            counted = {"n": int(batch.labelled_BT.sum())}
            yield from _by_head(x_HBT[:, batch.labelled_BT].mean(-1), address | counted)
            for kind in sorted(set(kinds)) if name in ("forget", "written") else ():
                of_kind_BT = torch.tensor([each == kind for each in kinds])[batch.tokens_BT]
                if count := int(of_kind_BT.sum()):
                    yield from _by_head(x_HBT[:, of_kind_BT].mean(-1), address | {"kind": kind, "n": count})


def _by_head(value_H: Tensor, address: dict[str, object]) -> Iterator[dict[str, object]]:
    for head, value in enumerate(value_H.tolist()):
        yield address | {"head": head, "value": value}
