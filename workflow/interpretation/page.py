"""One page for one input: a row per architecture, a column per layer; who is read by whom, and the gates, over the tokens."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from workflow.styles import GREY, STYLES, TEXT_WIDTH

READERS = 8  # rows of a map: of the labelled positions the last
SHARES = PowerNorm(0.5, vmin=0, vmax=1)
_COLOURS = "Greys"
_DUE = "#D55E00"
# Inches: of a map, of the gates below, of the labels below these, and around all.
_MAP, _GATES, _LABELS, _LEFT, _RIGHT, _TOP, _BOTTOM, _BETWEEN = 0.82, 0.36, 0.27, 0.62, 0.42, 0.2, 0.45, 0.12


def page(gates: pd.DataFrame, tokens: pd.DataFrame) -> Figure:
    """Returns the figure of one input, at its final size; call it, and save it, within `house_style`."""
    mixers, layers = list(gates["network.mixer.name"].unique()), sorted(gates["layer"].dropna().unique())
    heights = [_MAP + _LABELS + (_GATES if _gated(gates, mixer) else 0) for mixer in mixers]
    height = sum(heights) + _TOP + _BOTTOM
    figure = Figure(figsize=(TEXT_WIDTH, height))
    figure.set_layout_engine("none")  # every place is in inches
    width = (TEXT_WIDTH - _LEFT - _RIGHT - _BETWEEN * (len(layers) - 1)) / len(layers)
    top = height - _TOP
    for mixer, taken in zip(mixers, heights, strict=True):
        mine = gates[gates["network.mixer.name"] == mixer]
        for column, layer in enumerate(layers):
            left = _LEFT + column * (width + _BETWEEN)
            here = mine[mine["layer"] == layer]
            ax = _axes(figure, left, top - _MAP, width, _MAP)
            image = _draw_map(ax, here, tokens)
            below = ax
            if _gated(gates, mixer):
                below = _axes(figure, left, top - _MAP - _GATES, width, _GATES - 0.05)
                _draw_gates(below, here, colour=STYLES[mixer].colour)
            _name_tokens(below, list(tokens["label"]))
            _name_sides(ax, below, mine, tokens, first=column == 0, last=column == len(layers) - 1)
            if mixer == mixers[0]:
                ax.set_title(f"Layer {layer:.0f}", pad=3)
        middle = (top - _MAP / 2) / height
        figure.text(
            0.02, middle, STYLES[mixer].label, rotation=90, ha="left", va="center", color=STYLES[mixer].colour, size=8.5
        )
        top -= taken
    _legend(figure, image, height=height, squares=bool(asked(tokens)))
    return figure


def readers(tokens: pd.DataFrame) -> list[int]:
    """Returns the positions whose reading is shown."""
    return tokens.loc[tokens["due"].notna(), "position"].tolist()[-READERS:]


def asked(tokens: pd.DataFrame) -> list[tuple[int, int]]:
    """Returns readers and the source that holds the token due, where each of them has one such: elsewhere nothing is asked."""
    token, due = tokens["token"].to_numpy(), tokens.set_index("position")["due"]
    found = [np.flatnonzero(token[: place + 1] == due[place]) for place in readers(tokens)]
    single = all(len(sources) == 1 for sources in found)
    return [(place, int(*sources)) for place, sources in zip(readers(tokens), found, strict=True)] if single else []


def _gated(gates: pd.DataFrame, mixer: str) -> bool:
    return bool(((gates["network.mixer.name"] == mixer) & (gates["name"] == "forget")).any())


def _axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    whole_width, whole_height = figure.get_size_inches()
    return figure.add_axes((left / whole_width, bottom / whole_height, width / whole_width, height / whole_height))


def _draw_map(ax: Axes, here: pd.DataFrame, tokens: pd.DataFrame) -> AxesImage:
    """Draws the shares, the mean over heads, and a square around what holds the token due."""
    places = readers(tokens)
    share = here[(here["name"] == "share") & here["position"].isin(places)]
    table = share.pivot_table(index="position", columns="source", values="value", aggfunc="mean")
    shown = table.reindex(index=places, columns=range(len(tokens)))
    image = ax.imshow(shown, aspect="auto", cmap=_COLOURS, norm=SHARES, interpolation="none")
    for place, source in asked(tokens):
        ax.plot(source, places.index(place), marker="s", ms=4.6, mfc="none", mec=_DUE, mew=0.7, ls="")
    ax.grid(visible=False)
    ax.set_xlim(-0.5, len(tokens) - 0.5)
    ax.set_xticks([])
    ax.spines[["top", "right"]].set_visible(True)
    ax.spines[:].set_color(GREY)
    return image


def _draw_gates(ax: Axes, here: pd.DataFrame, *, colour: str) -> None:
    """Draws what is kept, with its range over heads and cells, and what is written, the mean over heads."""
    written = here[here["name"] == "written"].groupby("position")["value"].mean()
    ax.bar(written.index, written, width=0.8, color="#c9c9c9", lw=0)
    rows = here[here["name"] == "forget"]
    rows = rows.assign(low=rows["low"].fillna(rows["value"]), high=rows["high"].fillna(rows["value"]))
    kept = rows.groupby("position").agg(value=("value", "mean"), low=("low", "min"), high=("high", "max"))
    ax.fill_between(kept.index, kept["low"], kept["high"], color=colour, alpha=0.18, lw=0, step="mid")
    ax.step(kept.index, kept["value"], where="mid", color=colour, lw=1.1)
    ax.set_xlim(-0.5, written.index.max() + 0.5)
    ax.set_ylim(0, 1.06)
    ax.grid(visible=False)


def _name_tokens(ax: Axes, labels: list[str]) -> None:
    """Writes every token below, those of several letters in two lines by turns."""
    wide = max(map(len, labels)) > 1
    ax.set_xticks(range(len(labels)), [f"\n{label}" if wide and i % 2 else label for i, label in enumerate(labels)])
    ax.tick_params(axis="x", length=0, pad=2 if wide else 7.5, labelsize=7)
    for label in ax.get_xticklabels():
        label.set(va="top" if wide else "baseline", linespacing=0.85)  # letters stand on one line


def _name_sides(ax: Axes, below: Axes, mine: pd.DataFrame, tokens: pd.DataFrame, *, first: bool, last: bool) -> None:
    """Writes who reads on the left of the first map, and what is due on the right of the last, crossed if it was missed."""
    places = readers(tokens)
    named = tokens.set_index("position")
    ax.set_yticks(range(len(places)), named.loc[places, "label"] if first else [])
    ax.tick_params(axis="y", length=0, pad=2, labelsize=7)
    if below is not ax:
        below.set_yticks([0, 1], ["0", "1"] if first else [])
        below.tick_params(axis="y", length=1.5, pad=1.5, labelsize=7)
    if not last:
        return
    right = mine[mine["name"] == "right"].set_index("position")["value"]
    for row, place in enumerate(places):
        hit = right[place] == 1
        mark = "\N{CHECK MARK}" if hit else "\N{MULTIPLICATION SIGN}"
        text = f"{named['due_label'][place]} {mark}"
        ax.annotate(
            text,
            (1, row),
            xycoords=("axes fraction", "data"),
            xytext=(2, 0),
            textcoords="offset points",
            va="center",
            size=7,
            color="black" if hit else _DUE,
        )


def _legend(figure: Figure, image: AxesImage, *, height: float, squares: bool) -> None:
    """Draws what the greys, the squares, the lines and the bars are, below all."""
    bar = figure.add_axes((_LEFT / TEXT_WIDTH, 0.3 / height, 0.9 / TEXT_WIDTH, 0.08 / height))
    figure.colorbar(image, cax=bar, orientation="horizontal", ticks=[0, 0.1, 0.5, 1])
    bar.tick_params(labelsize=7, length=1.5, pad=1)
    bar.set_xlabel("share of what is read", size=7.5, labelpad=1)
    square = Line2D([], [], ls="", marker="s", ms=4.6, mfc="none", mec=_DUE, mew=0.7, label="holds the token due")
    handles = [
        *([square] if squares else []),
        Line2D([], [], color=GREY, lw=1.1, label="kept of the memory (forget gate)"),
        Patch(color="#c9c9c9", label="written (input gate, relative to its largest)"),
    ]
    x = (_LEFT + 1.05) / TEXT_WIDTH
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(x, 0.02 / height),
        ncols=1,
        fontsize=7.5,
        handlelength=1.4,
        columnspacing=1.0,
        borderpad=0,
    )
