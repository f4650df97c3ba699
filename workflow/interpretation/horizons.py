"""How long a memory is kept, by its forget gates alone, and how far back is read, at every token of one input."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from workflow.styles import GREY, STYLES, TEXT_WIDTH

ROWS = {"horizon": "Kept, tokens", "distance": "Read, tokens back"}


def horizons(gates: pd.DataFrame, tokens: pd.DataFrame) -> Figure:
    """Returns the figure of one input, at its final size; call it, and save it, within `house_style`."""
    mixers, layers = list(gates["network.mixer.name"].unique()), sorted(gates["layer"].dropna().unique())
    figure = Figure(figsize=(TEXT_WIDTH, 3.1))
    grid = figure.subplots(len(ROWS), len(layers), sharex=True, sharey="row", squeeze=False)
    for axes, (name, said) in zip(grid, ROWS.items(), strict=True):
        axes[0].set_ylabel(said)
        for ax, layer in zip(axes, layers, strict=True):
            _draw(ax, gates[(gates["name"] == name) & (gates["layer"] == layer)], tokens, least=int(name == "horizon"))
    for ax, layer in zip(grid[0], layers, strict=True):
        ax.set_title(f"Layer {layer:.0f}", pad=3)
    for ax in grid[-1]:
        ax.set_xlabel("Position")
    handles = [
        Line2D([], [], color=STYLES[mixer].colour, ls=STYLES[mixer].dash, lw=1.2, label=STYLES[mixer].label)
        for mixer in mixers
    ]
    figure.legend(
        handles=[*handles, Line2D([], [], color=GREY, lw=0.8, ls=":", label="all there is")],
        loc="outside upper center",
        ncols=len(handles) + 1,
        columnspacing=1.0,
        handlelength=2.0,
        fontsize=7.5,
    )
    return figure


def _draw(ax: Axes, rows: pd.DataFrame, tokens: pd.DataFrame, *, least: int) -> None:
    """Draws the mean over heads and cells by mixer, and the most there can be."""
    last = tokens["position"].max()
    ax.plot([0, last], [least, last + least], color=GREY, lw=0.8, ls=":")
    for mixer, group in rows.groupby("network.mixer.name", sort=False):
        mean = group.groupby("position")["value"].mean()
        style = STYLES[str(mixer)]
        ax.plot(mean.index, mean, color=style.colour, ls=style.dash, lw=1.2)
    ax.set_xlim(0, last)
    ax.set_ylim(bottom=0)
