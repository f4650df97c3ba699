"""Two figures more of what was profiled: achieved FLOP/s under the measured ceilings, and what the peak memory is made of."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from workflow.panels import add_legend, name_axes, panels_of
from workflow.points import Labels, columns_of
from workflow.scaling.lines import BATCH, LENGTH, PHASES, along_lines, over_length, panels
from workflow.styles import GREY, Look, number, quantity, sentence

ROOFLINE, BREAKDOWN = "roofline", "breakdown"

_ROOF = ("flops", "seconds", "static_bytes", "ceiling_flops", "ceiling_bytes")
_PARTS = {
    "parameter_bytes": ("parameters", "#4d4d4d"),
    "gradient_bytes": ("gradients", "#8f8f8f"),
    "optimizer_bytes": ("optimizer", "#c9c9c9"),
    "state_bytes": ("state", "#D55E00"),
    "activation_bytes": ("the rest of the peak", "#56B4E9"),
}
_BROKEN_DOWN = ("train_step", "decode")
_ALONG = {LENGTH: "Sequence length (tokens)", BATCH: "Batch (sequences)"}


class Drawing(NamedTuple):
    """What is plotted, its caption, and how to draw it; call `draw`, and save the figure, within `house_style`."""

    data: pd.DataFrame
    caption: str
    draw: Callable[[], Figure]


def drawings(estimates: pd.DataFrame) -> dict[str, Drawing]:
    """Returns the figures by name: a roofline where ceilings were measured, a breakdown per phase where parts were.

    There is none where nothing was tried at two lengths or batches.
    """
    rows = over_length(estimates)
    rows = along_lines(rows) if len(rows) else rows
    if rows.empty:
        return {}
    label = Labels(rows, series=columns_of(rows, "network"), panels=[])
    rows = label.put_on(rows).assign(panel=panels(rows))
    found = {}
    roof = _roof(rows)
    if len(roof):
        found[ROOFLINE] = Drawing(roof, _roof_caption(roof), lambda: _roofline(roof, label.looks))
    for panel, parts in _parts(rows).items():
        name = f"{BREAKDOWN}-{panel.replace(', ', '-').replace(' ', '-')}"
        found[name] = Drawing(parts, _parts_caption(parts), lambda parts=parts: _breakdown(parts, label.looks))
    return found


def _wide(rows: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Returns a row per panel, series and length or batch, with a column for each name, missing where it was not measured."""
    place = ["panel", "series", *(over for over in _ALONG if (rows["over"] == over).any())]
    phase = rows.groupby("panel")["phase"].first().map(PHASES.index)
    table = rows[rows["name"].isin(names)].pivot_table(index=place, columns="name", values="value", sort=True)
    table = table.reindex(columns=names).astype("float64").reset_index().rename_axis(columns=None)
    return table.sort_values("panel", key=lambda panel: panel.map(phase), kind="stable", ignore_index=True)


def _roof(rows: pd.DataFrame) -> pd.DataFrame:
    table = _wide(rows, list(_ROOF)).dropna()
    table = table[(table["flops"] > 0) & (table["static_bytes"] > 0)].reset_index(drop=True)
    return table.assign(
        flops_per_byte=table["flops"] / table["static_bytes"], flops_per_second=table["flops"] / table["seconds"]
    )


def _parts(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    rows = rows[rows["phase"].isin(_BROKEN_DOWN)]
    stays = (rows["phase"] == "decode") | (rows["name"] != "state_bytes")  # in training no state is kept
    table = _wide(rows[stays], list(_PARTS))
    table = table[table["activation_bytes"].notna()]
    table[list(_PARTS)] = table[list(_PARTS)].fillna(0.0)
    return {str(panel): part.reset_index(drop=True) for panel, part in table.groupby("panel", sort=False)}


def _roofline(roof: pd.DataFrame, looks: dict[str, Look]) -> Figure:
    names = list(dict.fromkeys(roof["panel"]))
    figure, axes = panels_of(names, shared=True)
    present = set(roof["series"])
    shown = [look for label, look in looks.items() if label in present]
    for name, ax in zip(names, axes, strict=True):
        here = roof[roof["panel"] == name]
        ax.set_xscale("log")
        ax.set_yscale("log")
        for look in shown:
            line = here[here["series"] == look.label]
            style = {"color": look.style.colour, "ls": look.style.dash, "marker": look.style.marker, "mfc": look.face}
            ax.plot(line["flops_per_byte"], line["flops_per_second"], lw=0.7, ms=3.2, mew=0.8, zorder=3, **style)
        _draw_roof(ax, here)
    name_axes(figure, axes, x="FLOP per byte moved at least", y="FLOP/s")
    handles = [
        Line2D([], [], color=look.style.colour, ls=look.style.dash, marker=look.style.marker, ms=4.4, label=look.label)
        for look in shown
    ]
    roof_handle = Line2D([], [], color=GREY, lw=0.9, label="measured ceilings")
    add_legend(figure, [*handles, roof_handle], beside=len(axes) == 1)
    return figure


def _draw_roof(ax: Axes, here: pd.DataFrame) -> None:
    rate, bandwidth = here["ceiling_flops"].median(), here["ceiling_bytes"].median()
    ends = here["flops_per_byte"].min() / 1.5, max(here["flops_per_byte"].max(), rate / bandwidth) * 1.5
    x = np.geomspace(*ends, 200)
    ax.plot(x, np.minimum(rate, bandwidth * x), color=GREY, lw=0.9, zorder=2)


def _breakdown(parts: pd.DataFrame, looks: dict[str, Look]) -> Figure:
    names = [label for label in looks if label in set(parts["series"])]
    figure, axes = panels_of(names, shared=True)
    (over,) = (over for over in _ALONG if over in parts)
    tried = sorted(parts[over].unique())
    said = quantity("memory", unit="B", values=[parts[list(_PARTS)].sum(axis=1).max()])
    present = [part for part in _PARTS if parts[part].any()]
    for name, ax in zip(names, axes, strict=True):
        here = parts[parts["series"] == name].set_index(over)[list(_PARTS)].reindex(tried).fillna(0.0)
        below = np.zeros(len(tried))
        for part in present:
            height = here[part].to_numpy() * said.factor
            ax.bar(range(len(tried)), height, bottom=below, color=_PARTS[part][1], width=0.8, lw=0, zorder=2)
            below += height
        shown = range(len(tried) - 1, -1, -(len(tried) // 6 + 1))
        ax.set_xticks(list(shown), [number(tried[place]) for place in shown])
        ax.grid(visible=False, axis="x")
    name_axes(figure, axes, x=_ALONG[over], y=f"Peak memory ({said.unit})")
    handles = [Patch(color=_PARTS[part][1], label=_PARTS[part][0]) for part in present]
    add_legend(figure, handles, beside=len(axes) == 1)
    return figure


def _roof_caption(roof: pd.DataFrame) -> str:
    rates, bandwidths = roof["ceiling_flops"], roof["ceiling_bytes"]
    spread = [f"{values.min():.3g} to {values.max():.3g}" for values in (rates, bandwidths)]
    return (
        "Counted operations over the median time of a call, against operations per byte of the tensors that stay between calls, "
        f"each read once; a point per {BATCH if BATCH in roof else LENGTH}. Lines: the medians of what a matrix product and a "
        f"copy reached beside each point ({spread[0]} FLOP/s, {spread[1]} B/s). A point lies above the slope where it reads "
        "from a cache, and above the level where a kernel skips what is counted."
    )


def _parts_caption(parts: pd.DataFrame) -> str:
    counted = [said for part, (said, _) in _PARTS.items() if part != "activation_bytes" and parts[part].any()]
    listed = f"{', '.join(counted[:-1])} and {counted[-1]}" if len(counted) > 1 else "".join(counted)
    by = "batch" if BATCH in parts else "sequence length"
    return (
        f"{sentence(parts['panel'].iloc[0])}: what the peak memory is made of, by {by}. Counted from tensors: "
        f"{listed}; the rest is what the measured peak has above them."
    )
