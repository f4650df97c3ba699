"""What a figure is drawn on: panels at their final size, scales and ticks, and a legend outside the data."""

import textwrap
from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogFormatterMathtext,
    LogLocator,
    MultipleLocator,
    NullLocator,
)

from workflow.points import Points
from workflow.styles import RC, TEXT_WIDTH, number, sentence

BOUNDED = ("accuracy", "solved")
_TICK_WIDTH = 0.23  # inches that one tick label takes
_LETTER_WIDTH = 0.056  # inches that a letter of a tick label takes, about


def house_style(*, width: float = TEXT_WIDTH) -> matplotlib.RcParams:
    """Returns the settings under which a figure so many inches wide is drawn and saved, whatever the reader's own are."""
    settings = matplotlib.rcParamsDefault.copy()
    settings.update(RC | {"figure.figsize": (width, width / 2)})
    return matplotlib.RcParams({name: value for name, value in settings.items() if name not in ("backend", "toolbar")})


def narrow() -> bool:
    """Returns whether figures are now drawn for one column of a page that has two."""
    return matplotlib.rcParams["figure.figsize"][0] < 0.8 * TEXT_WIDTH


def panels_of(panels: Sequence[str], *, shared: bool) -> tuple[Figure, list[Axes]]:
    """Returns a figure of the page's or column's width with a titled pair of axes per panel, up to three in a row."""
    columns = _columns(len(panels))
    rows = -(-len(panels) // columns)
    if narrow():
        height = {1: 1.9, 2: 1.25}[columns] * rows + 0.15 * (columns == 2)
    else:
        height = {1: 2.3, 2: 1.75, 3: 1.65}[columns] * rows + (0.0 if columns == 1 else 0.55)
    figure = Figure(figsize=(matplotlib.rcParams["figure.figsize"][0], height))
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0.03, hspace=0.05)
    grid = figure.subplots(rows, columns, sharex=True, sharey=shared, squeeze=False).ravel().tolist()
    for ax in grid[len(panels) :]:
        ax.remove()
    for panel, ax in zip(panels, grid, strict=False):
        ax.set_title(sentence(panel), pad=4)
        ax.tick_params(labelbottom=True)
    return figure, grid[: len(panels)]


def _columns(panels: int) -> int:
    return min(panels, 2) if narrow() else {1: 1, 2: 2, 4: 2}.get(panels, 3)


def panel_width(panels: int) -> float:
    """Returns how wide, in inches, about, the axes of each of so many panels are."""
    if narrow():
        return 2.3 if panels == 1 else 1.1
    return {1: 3.4, 2: 2.3, 4: 2.3}.get(panels, 1.45)


def set_x_scale(ax: Axes, points: Points, *, width: float) -> None:
    """Names the places on the x axis, or gives its numbers a scale and ticks."""
    if points.named:
        names = list(dict.fromkeys(points.estimates["x"]))
        letters = max(int(1.2 * width / len(names) / _LETTER_WIDTH), 1)
        labels = [_wrapped(name, letters=letters) for name in names]
        tight = len(names) > 6 or max(len(line) for label in labels for line in label.split("\n")) > letters
        turned = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if tight else {}
        ax.set_xticks(range(len(labels)), labels, **turned)
        if narrow():
            ax.figure.set_figheight(ax.figure.get_figheight() + 0.12 * max(label.count("\n") for label in labels))
        ax.set_xlim(-0.6, len(names) - 0.4)
        ax.grid(visible=False, axis="x")
    else:
        _set_x_scale(
            ax, distinct(pd.concat([points.estimates["x"], points.failures["x"]])) * points.x.factor, width=width
        )


def set_y_scale(ax: Axes, values: np.ndarray, *, y: str) -> None:
    """Shows all the values: between 0 and 1 for what is bounded so, on a logarithmic axis where they ask for one."""
    if y in BOUNDED:
        ax.set_ylim(-0.04, 1.04)
        ax.yaxis.set_major_locator(MultipleLocator(0.2))
    elif not len(values):
        ax.set_yticks([])
    elif logarithmic(values, y):
        ax.set_yscale("log")
        low, high = values[values > 0].min(), values.max()
        margin = (high / low) ** 0.07
        ax.set_ylim(low / margin, high * margin)
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0,) if high > 300 * low else (1.0, 2.0, 5.0), numticks=9))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        margin = 0.06 * (np.ptp(values) or abs(values[0]) or 1.0)
        ax.set_ylim(values.min() - margin, values.max() + margin)


def _wrapped(name: str, *, letters: int) -> str:
    """Returns a name broken after its commas, and between words where a part is longer than so many letters."""
    parts = name.replace(", ", ",\n").split("\n")
    return "\n".join(textwrap.fill(part, letters, break_long_words=False, break_on_hyphens=False) for part in parts)


def _set_x_scale(ax: Axes, xs: np.ndarray, *, width: float) -> None:
    """Takes a logarithmic axis where the numbers span more than a decade or grow by a factor; zero is before one."""
    positive = xs[xs > 0]
    ratios = positive[1:] / positive[:-1]
    geometric = len(ratios) > 1 and np.ptp(ratios) < 0.01 * ratios[0] and ratios[0] > 1.4
    if len(positive) > 1 and (geometric or positive[-1] > 10 * positive[0]):
        if (xs == 0).any():
            ax.set_xscale("symlog", base=2, linthresh=1, linscale=0.5)
            ax.set_xlim(-0.25, xs[-1] * 1.25)
        else:
            ax.set_xscale("log", base=2)
            margin = (positive[-1] / positive[0]) ** 0.07
            ax.set_xlim(positive[0] / margin, positive[-1] * margin)
    else:
        margin = 0.07 * (np.ptp(xs) or abs(xs[0]) or 1.0)
        ax.set_xlim(xs[0] - margin, xs[-1] + margin)
    if len(xs) <= 12 and np.allclose(xs, np.round(xs)):
        tick_at(ax, xs, width=width)
    elif ax.get_xscale() == "log":
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def tick_at(ax: Axes, xs: Sequence[float], *, width: float) -> None:
    """Puts ticks at the numbers measured, leaving out, from the right, those whose labels would touch."""
    places = ax.transData.transform(np.column_stack([xs, np.full(len(xs), 0.5)]))[:, 0]
    inches = (places - places[0]) / max(places[-1] - places[0], 1e-9) * width * 0.86
    kept: list[int] = []
    for place in reversed(range(len(xs))):
        if not kept or inches[kept[-1]] - inches[place] >= _TICK_WIDTH:
            kept.append(place)
    ax.xaxis.set_major_locator(FixedLocator([xs[place] for place in reversed(kept)]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))


def name_axes(figure: Figure, axes: Sequence[Axes], *, x: str, y: str) -> None:
    """Names x under the lowest panel of each column, but once under three, and y left of each row.

    In a column of a page each is named once for several panels, and a long name of y takes two lines. Powers of ten
    are written out on the ticks: an exponent set high would be too small to read.
    """
    for ax in axes:
        for axis in (ax.xaxis, ax.yaxis):
            if isinstance(axis.get_major_formatter(), LogFormatterMathtext):
                axis.set_major_formatter(FuncFormatter(lambda value, _: _magnitude(value)))
    if narrow() and len(axes) > 1:
        size = matplotlib.rcParams["axes.labelsize"]
        figure.supxlabel(x, fontsize=size)
        figure.supylabel(y, fontsize=size)
        return
    for ax in axes:
        place = ax.get_subplotspec()
        columns = place.get_gridspec().ncols
        if place.is_first_col():
            ax.set_ylabel(textwrap.fill(y, 26) if narrow() else y)
        below = len(axes) - axes.index(ax) <= columns
        if below and (columns < 3 or place.colspan.start == 1 or len(axes) < columns):
            ax.set_xlabel(x)


def add_legend(figure: Figure, handles: Sequence[Line2D | Patch], *, beside: bool) -> None:
    """Adds a legend beside the only panel, or above, where a column of a page makes the figure as much higher."""
    if beside and not narrow():
        figure.legend(handles=handles, loc="outside center right", labelspacing=0.55)
        return
    for rows in range(1, len(handles) + 1):  # as few rows as the width of the figure allows
        legend = figure.legend(handles=handles, loc="outside upper center", ncols=-(-len(handles) // rows))
        extent = legend.get_window_extent()
        if extent.width <= figure.bbox.width:
            if narrow():
                figure.set_figheight(figure.get_figheight() + extent.height / figure.dpi)
            return
        legend.remove()


def _magnitude(value: float) -> str:
    """Returns a power of ten as it is written in a column of figures: 0.01, 100, 1e9."""
    return (
        f"{value:g}"
        if 1e-3 <= value < 1e4
        else f"{value:.0e}".replace("e+0", "e").replace("e+", "e").replace("e-0", "e-")
    )


def logarithmic(values: np.ndarray, y: str) -> bool:
    """Returns whether values of this name, a time, a memory, a count or a difference, span more than a decade."""
    measured = values[values > 0]
    wide = len(measured) > 0 and measured.max() > 10 * measured.min()
    return wide and (y in ("flops", "deviation") or y.endswith(("seconds", "bytes")))


def distinct(xs: pd.Series) -> np.ndarray:
    return np.unique(xs.dropna().to_numpy(dtype="float64"))
