"""Laws -> figures: the parabolas of every budget, what their vertices do with compute, and L(N, D) beside what was measured."""

import functools
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from workflow.laws.isoflop import DRAWN, FIELLER, Profile
from workflow.laws.runs import Runs
from workflow.laws.table import Found
from workflow.panels import add_legend, name_axes, panels_of
from workflow.scaling.drawn import Drawing
from workflow.styles import GREY, Look, quantity

PARABOLAS, FRONTIER, FITTED = "isoflop", "frontier", "parametric"
_BITS = quantity("bits_per_byte", unit="bit/byte", values=[], split="test").label
_FINE = 100  # points along a curve
_BEYOND = 1.15  # the factor by which a curve goes on beyond what was measured


def drawings(laws: Sequence[Found]) -> dict[str, Drawing]:
    """Returns the figures by name, without those of which nothing was found."""
    made = {
        PARABOLAS: (_parabola_points, _parabola_caption, _parabolas),
        FRONTIER: (_vertices, _frontier_caption, _frontier),
        FITTED: (_fitted_points, _fitted_caption, _fitted),
    }
    return {
        name: Drawing(data, caption(laws), functools.partial(draw, laws))
        for name, (points, caption, draw) in made.items()
        if len(data := points(laws))
    }


def _parabola_points(laws: Sequence[Found]) -> pd.DataFrame:
    """Returns every run, by line and budget."""
    tables = []
    for each in laws:
        runs, computes = each.line.runs, np.array([one.compute for one in each.optimum.profiles])
        table = pd.DataFrame(runs._asdict()).assign(budget=computes[runs.budget])
        tables.append(table.assign(line=each.line.look.label))
    return pd.concat(tables, ignore_index=True)[["line", "budget", "size", "tokens", "compute", "loss"]]


def _vertices(laws: Sequence[Found]) -> pd.DataFrame:
    rows = [
        {"line": each.line.look.label, "compute": one.compute}
        | {f"size_{end}": getattr(one.size, end) for end in ("value", "low", "high")}
        | {f"loss_{end}": getattr(one.loss, end) for end in ("value", "low", "high")}
        for each in laws
        for one in each.optimum.profiles
        if not one.size.reason
    ]
    return pd.DataFrame(rows)


def _fitted_points(laws: Sequence[Found]) -> pd.DataFrame:
    tables = [
        pd.DataFrame(each.line.runs._asdict()).assign(
            predicted=each.law.fit.loss(each.line.runs), line=each.line.look.label
        )
        for each in laws
        if each.law.fit is not None
    ]
    columns = ["line", "size", "tokens", "loss", "predicted"]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def _parabolas(laws: Sequence[Found]) -> Figure:
    figure, axes = panels_of([each.line.look.label for each in laws], shared=True)
    for each, ax in zip(laws, axes, strict=True):
        runs, profiles = each.line.runs, each.optimum.profiles
        for place, one in enumerate(profiles):
            colour, here = _shade(each.line.look, place, len(profiles)), runs.where(runs.budget == place)
            ax.plot(here.size, here.loss, ls="", marker=each.line.look.style.marker, ms=2.6, mec=colour, mfc="none")
            if not np.isnan(one.coefficients).any():
                _draw_parabola(ax, one, here, colour)
    _set_log(axes)
    name_axes(figure, axes, x="Parameters without the embedding", y=_BITS)
    shades = [_shade_of(GREY, place, most) for most in [max(map(_budgets, laws))] for place in range(most)]
    handles = [
        Line2D([], [], color=shade, lw=1.0, label=f"{compute:.2g} FLOP".replace("e+", "e"))
        for shade, compute in zip(shades, _computes(laws), strict=True)
    ]
    vertex = Line2D([], [], ls="", marker="|", ms=8, mec="black", mew=1.2, label="vertex, 95 %")
    add_legend(figure, [*handles, vertex], beside=len(axes) == 1)
    return figure


def _draw_parabola(ax: Axes, one: Profile, here: Runs, colour: tuple[float, float, float]) -> None:
    x = np.geomspace(here.size.min(), here.size.max(), _FINE)
    ax.plot(x, one.parabola(x), color=colour, lw=1.0, ls=(0, ()) if not one.size.reason else (0, (2, 2)))
    if not one.size.reason:
        least = one.loss.value
        ax.plot([one.size.low, one.size.high], [least, least], color="black", lw=0.9, zorder=4)
        ax.plot([one.size.value], [least], ls="", marker="|", ms=8, mec="black", mew=1.2, zorder=5)


def _frontier(laws: Sequence[Found]) -> Figure:
    figure, axes = panels_of(["Best number of parameters", "Loss there"], shared=False)
    shown = [each for each in laws if any(not one.size.reason for one in each.optimum.profiles)]
    for place, each in enumerate(shown):
        told = [one for one in each.optimum.profiles if not one.size.reason]
        moved = 1.02 ** (place - (len(shown) - 1) / 2)  # so that intervals do not hide each other
        compute = np.array([one.compute for one in told])
        for ax, numbers in zip(axes, ([one.size for one in told], [one.loss for one in told]), strict=True):
            value, low, high = (np.array([getattr(one, end) for one in numbers]) for end in ("value", "low", "high"))
            style = each.line.look.style
            ax.errorbar(
                compute * moved,
                value,
                [value - low, high - value],
                color=style.colour,
                ls="",
                elinewidth=0.9,
                capsize=0,
            )
            ax.plot(compute * moved, value, color=style.colour, ls=style.dash, lw=0.9, marker=style.marker, ms=4)
    _set_log(axes)
    axes[0].set_yscale("log")
    axes[0].set_ylabel("Without the embedding")
    axes[1].set_ylabel(_BITS)
    for ax in axes:
        ax.set_xlabel("Compute of training (FLOP)")
    _plain(axes[0].yaxis)
    add_legend(figure, [_handle(each.line.look) for each in shown], beside=False)
    return figure


def _fitted(laws: Sequence[Found]) -> Figure:
    shown = [each for each in laws if each.law.fit is not None]
    figure, axes = panels_of([each.line.look.label for each in shown], shared=True)
    for each, ax in zip(shown, axes, strict=True):
        runs, sizes = each.line.runs, np.unique(each.line.runs.size)
        for place, size in enumerate(sizes):
            here, colour = runs.where(runs.size == size), _shade(each.line.look, place, len(sizes))
            tokens = np.geomspace(here.tokens.min() / _BEYOND, here.tokens.max() * _BEYOND, _FINE)
            curve = Runs(np.full(_FINE, size), tokens, tokens, tokens)
            ax.plot(tokens, each.law.fit.loss(curve), color=colour, lw=0.9)
            ax.plot(here.tokens, here.loss, ls="", marker=each.line.look.style.marker, ms=2.6, mec=colour, mfc="none")
    _set_log(axes)
    name_axes(figure, axes, x="Tokens read in training", y=_BITS)
    most = max(len(np.unique(each.line.runs.size)) for each in shown)
    ends = {"fewest parameters": _shade_of(GREY, 0, most), "most parameters": _shade_of(GREY, most - 1, most)}
    handles = [Line2D([], [], color=shade, lw=0.9, label=label) for label, shade in ends.items()]
    add_legend(figure, handles, beside=len(axes) == 1)
    return figure


def _set_log(axes: Sequence[Axes]) -> None:
    for ax in axes:
        ax.set_xscale("log")
        _plain(ax.xaxis)


def _plain(axis: Axis) -> None:
    """Puts a few plain numbers on a logarithmic axis."""
    axis.set_major_locator(LogLocator(subs=(1.0, 3.0), numticks=6))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))


def _short(value: float) -> str:
    for factor, suffix in ((1e9, ""), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value:.0e}".replace("e+", "e") if not suffix else f"{value / factor:g}{suffix}"
    return f"{value:g}"


def _shade(look: Look, place: int, most: int) -> tuple[float, float, float]:
    return _shade_of(look.style.colour, place, most)


def _shade_of(colour: str, place: int, most: int) -> tuple[float, float, float]:
    """Returns the colour, the paler the lower the place."""
    share = 1.0 if most == 1 else 0.4 + 0.6 * place / (most - 1)
    red, green, blue = (np.array(to_rgb(colour)) * share + (1 - share)).tolist()
    return red, green, blue


def _budgets(each: Found) -> int:
    return len(each.optimum.profiles)


def _computes(laws: Sequence[Found]) -> list[float]:
    """Returns the computes of the line that has most budgets."""
    return [one.compute for one in max(laws, key=_budgets).optimum.profiles]


def _handle(look: Look) -> Line2D:
    return Line2D([], [], color=look.style.colour, ls=look.style.dash, marker=look.style.marker, ms=4, label=look.label)


def _parabola_caption(laws: Sequence[Found]) -> str:
    runs = sum(len(each.line.runs.loss) for each in laws)
    refused = [one for each in laws for one in each.optimum.profiles if one.size.reason]
    profiles = sum(map(_budgets, laws))
    told = f" {len(refused)} of {profiles} parabolas, dashed, have no vertex that the runs show." if refused else ""
    return (
        f"Test loss over parameters at equal compute: a point per run ({runs}), a parabola in log N per budget, the darker the "
        f"larger. Compute is 3 times the FLOPs of a forward pass over the tokens read. Vertices with {FIELLER}.{told}"
    )


def _reach(values: Iterable[np.ndarray]) -> str:
    every = np.concatenate(list(values))
    return f"{every.min():,.0f} to {every.max():,.0f}"


def _frontier_caption(laws: Sequence[Found]) -> str:
    return (
        "The vertices of the parabolas over compute: the best number of parameters, and the loss there. Intervals: of the "
        f"number {FIELLER}, of the loss {DRAWN}. Lines join the points of a mixer, which are set apart a little."
    )


def _fitted_caption(laws: Sequence[Found]) -> str:
    shown = [each for each in laws if each.law.fit is not None]
    starts = sorted({each.law.fit.starts for each in shown})
    sizes, tokens = (_reach(getattr(each.line.runs, name) for each in shown) for name in ("size", "tokens"))
    return (
        "Test loss over tokens, a point per run and a shade per size: E + A / N^alpha + B / D^beta as fitted to all runs of a "
        f"mixer by the Huber loss of log L, the best of {', '.join(map(str, starts))} starts. N is {sizes}, D {tokens}: "
        "beyond, the law is not measured."
    )
