"""The points of a figure -> the figure: lines with every seed and an interval, reference lines, and failures."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullLocator
from matplotlib.transforms import ScaledTranslation, Transform

from workflow.panels import (
    BOUNDED,
    add_legend,
    logarithmic,
    name_axes,
    narrow,
    panel_width,
    panels_of,
    set_x_scale,
    set_y_scale,
    tick_at,
)
from workflow.points import Points, yardsticks
from workflow.styles import GREY, Look, number, predictor, quantity

SHADE = "#f1f1ee"
MARKERS = {"out_of_memory": "x", "timed_out": "+", "unsupported": "1", "diverged": "4", "unequal": "2"}
YARDSTICKS = {"best constant": (0, (1.2, 1.6)), "best shortcut": (0, (4, 1.6))}
_LABEL_HEIGHT = 0.105  # inches that one reference label takes


def figure_of(points: Points, *, y: str) -> Figure:
    """Returns the figure, at its final size; call it, and save it, within `house_style`."""
    everything = _reach(points, points.panels)
    shared = y in BOUNDED or logarithmic(everything, y)
    figure, axes = panels_of(points.panels, shared=shared)
    for panel, ax in zip(points.panels, axes, strict=True):
        set_x_scale(ax, points, width=panel_width(len(axes)))
        set_y_scale(ax, everything if shared else _reach(points, [panel]), y=y)
        _draw_trained(ax, points.trained[points.trained["panel"] == panel])
        _draw_lines(ax, points, panel)
        _draw_failures(ax, points, panel)
    name_axes(figure, axes, x=points.x.label, y=points.y.label)
    add_legend(figure, [*_line_handles(points), *_other_handles(points)], beside=len(axes) == 1)
    figure.draw_without_rendering()  # reference labels are spread over the height the layout leaves
    for panel, ax in zip(points.panels, axes, strict=True):
        _draw_references(ax, points.references[points.references["panel"] == panel], points)
    return figure


def curves_of(trials: pd.DataFrame, *, looks: dict[str, Look], panels: Sequence[str], unit: str) -> Figure:
    """Returns validation loss over learning rate; `trials` has panel, series, rate, loss and selected."""
    figure, axes = panels_of(list(panels), shared=False)
    rates = sorted(trials["rate"].unique())
    for panel, ax in zip(panels, axes, strict=True):
        shown = trials[trials["panel"] == panel]
        ax.set_xscale("log")
        tick_at(ax, rates, width=panel_width(len(axes)))
        ax.set_xlim(rates[0] / 1.25, rates[-1] * 1.25)
        if shown["loss"].max() > 100 * shown["loss"].min() > 0:
            ax.set_yscale("log")
            ax.yaxis.set_minor_locator(NullLocator())
            ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        for label, look in looks.items():
            _draw_trials(ax, shown[shown["series"] == label], look)
    name_axes(figure, axes, x="Learning rate", y=quantity("loss", unit=unit, values=[], split="validation").label)
    handles = [_handle(look) for look in looks.values() if look.label in set(trials["series"])]
    ring = Line2D([], [], ls="", marker="o", ms=8, mfc="none", mec=GREY, mew=0.9, label="chosen")
    failed = Line2D(
        [], [], ls="", marker="o", ms=4, mfc="white", mec=GREY, mew=0.9, label="did not finish (at the top)"
    )
    add_legend(figure, [*handles, ring, *([failed] if trials["loss"].isna().any() else [])], beside=len(axes) == 1)
    return figure


def _reach(points: Points, panels: Sequence[str]) -> np.ndarray:
    """Returns every number on the y axis of these panels."""
    shown = points.estimates[points.estimates["panel"].isin(panels)]
    seeds = points.seeds[points.seeds["panel"].isin(panels)]
    return (
        pd.concat([shown["value"], shown["low"], shown["high"], seeds["value"]]).dropna().to_numpy() * points.y.factor
    )


def _draw_lines(ax: Axes, points: Points, panel: str) -> None:
    shown = points.estimates[points.estimates["panel"] == panel]
    seeds = points.seeds[points.seeds["panel"] == panel]
    present = [label for label in points.looks if label in set(shown["series"])]
    alone = points.by_line or not shown["series"].duplicated().any()
    apart = not (points.crowded or alone or (shown["role"] == "profile").all())
    step = _step(ax, points) if apart else 0.0
    for place, label in enumerate(present):
        inches = step * (place - (len(present) - 1) / 2) / max(len(present), 4)
        look, line, dots = points.looks[label], shown[shown["series"] == label], seeds[seeds["series"] == label]
        _draw_interval(ax, points, line, look, inches=inches)
        _draw_seeds(ax, points, dots, look, inches=inches + (0.0 if points.crowded else 3.4 / 72))
        style = {"color": look.style.colour, "ls": look.style.dash, "marker": look.style.marker, "mfc": look.face}
        size = {"lw": look.width, "ms": 3.2 if points.crowded else 4.4, "mew": 0.9, "zorder": 4}
        xs, ys = _places(points, line["x"]), line["value"] * points.y.factor
        ax.plot(xs, ys, transform=_moved(ax, inches), **style, **size | ({"lw": 0} if points.named else {}))
    if alone and not points.named:
        _join_specs(ax, points, shown)


def _join_specs(ax: Axes, points: Points, shown: pd.DataFrame) -> None:
    """Joins the specs of one architecture where each has a single point."""
    by_style = shown.groupby(shown["series"].map(lambda label: points.looks[label].style.label), sort=False)
    for _, specs in by_style:
        style, line = points.looks[specs["series"].iloc[0]].style, specs.sort_values("x", kind="stable")
        ax.plot(
            line["x"] * points.x.factor,
            line["value"] * points.y.factor,
            color=style.colour,
            ls=style.dash,
            lw=0.8,
            zorder=3,
        )


def _places(points: Points, xs: pd.Series) -> np.ndarray:
    """Returns where x stands on the axis."""
    if points.named:
        return xs.map({label: place for place, label in enumerate(dict.fromkeys(points.estimates["x"]))}).to_numpy()
    return xs.to_numpy(dtype="float64") * points.x.factor


def _step(ax: Axes, points: Points) -> float:
    """Returns how far apart, in inches, lines are set at one x so that their intervals do not hide each other."""
    every = np.unique(_places(points, points.estimates["x"]))
    if len(every) < 2:
        return 0.08 * ax.figure.get_figwidth()
    to_axes = ax.transData + ax.transAxes.inverted()
    gap = np.diff(to_axes.transform(np.column_stack([every, every]))[:, 0]).min()
    return min(0.5 * gap, 0.2 if points.named else 0.08) * panel_width(len(points.panels))


def _moved(ax: Axes, inches: float) -> Transform:
    return ax.transData + ScaledTranslation(inches, 0.0, ax.figure.dpi_scale_trans)


def _draw_interval(ax: Axes, points: Points, line: pd.DataFrame, look: Look, *, inches: float) -> None:
    known = line[line["low"].notna()]
    xs, low, high = _places(points, known["x"]), known["low"] * points.y.factor, known["high"] * points.y.factor
    if points.crowded:
        ax.fill_between(xs, low, high, color=look.style.colour, alpha=0.14, lw=0, zorder=2)
    else:
        style = {"color": look.style.colour, "lw": 0.9, "alpha": 0.75, "zorder": 3}
        ax.vlines(xs, low, high, transform=_moved(ax, inches), **style)


def _draw_seeds(ax: Axes, points: Points, dots: pd.DataFrame, look: Look, *, inches: float) -> None:
    """Draws every seed beside its line's marker, and one that failed as a cross."""
    failed = dots["failed"].to_numpy(dtype=bool)
    xs, ys = _places(points, dots["x"]), dots["value"].to_numpy() * points.y.factor
    style = {"color": look.style.colour, "transform": _moved(ax, inches), "zorder": 3.5}
    ax.scatter(xs[~failed], ys[~failed], s=1.5 if points.crowded else 4, alpha=0.45, lw=0, **style)
    ax.scatter(xs[failed], ys[failed], s=10, marker="x", lw=0.8, alpha=0.8, **style)


def _draw_failures(ax: Axes, points: Points, panel: str) -> None:
    """Marks, at the top edge, where a line ends because the next point did not fit."""
    failed = points.failures[points.failures["panel"] == panel]
    shown = failed.drop_duplicates(["series", "status"])
    if points.named or shown.empty:
        return
    for (_, together), level in zip(shown.groupby("x", sort=True), [0.96] * len(shown), strict=False):
        for place, row in enumerate(together.itertuples()):
            colour = points.looks[row.series].style.colour
            where = (row.x * points.x.factor, level - 0.08 * place)
            style = {"marker": MARKERS[row.status], "color": colour, "ms": 5.5, "mew": 1.5}
            ax.plot(*where, ls="", transform=ax.get_xaxis_transform(), zorder=5, clip_on=False, **style)


def _draw_trained(ax: Axes, trained: pd.DataFrame) -> None:
    for row in trained.itertuples():
        ax.axvspan(max(row.low, ax.get_xlim()[0]), row.high, color=SHADE, lw=0, zorder=0)


def _draw_references(ax: Axes, references: pd.DataFrame, points: Points) -> None:
    """Draws a thin line per reference predictor, named at the right edge; those too close together share a name."""
    if references.empty:
        return
    if points.named and not points.by_line:
        _draw_reference_ticks(ax, references, points)
        return
    table = references.pivot_table(index="predictor", columns="x", values="value")
    bottom, top = ax.get_ylim()
    groups: list[list[str]] = []
    for name, row in table.sort_values(list(table.columns), kind="stable").iterrows():
        near = groups and (row - table.loc[groups[-1][0]]).abs().max() < 0.02 * (top - bottom)
        groups[-1].append(str(name)) if near else groups.append([str(name)])
    for group in groups:
        _draw_reference(ax, table.loc[group[0]].dropna(), points)
    ax.set_ylim(
        min(bottom, table.min().min() - 0.03 * (top - bottom)), max(top, table.max().max() + 0.03 * (top - bottom))
    )
    if narrow() and len(points.panels) > 1:
        return  # no room for names, which the caption has with their scores
    heights = np.array([table.loc[group[0]].dropna().iloc[-1] for group in groups])
    inches = ax.get_window_extent().height / ax.figure.dpi
    fractions = spread((heights - ax.get_ylim()[0]) / np.ptp(ax.get_ylim()), gap=_LABEL_HEIGHT / inches)
    for group, fraction in zip(groups, fractions, strict=True):
        place = {"xy": (1.015, fraction), "xycoords": "axes fraction", "annotation_clip": False}
        ax.annotate(_shared_name(group), **place, fontsize=7, color=GREY, va="center", ha="left")


def _draw_reference_ticks(ax: Axes, references: pd.DataFrame, points: Points) -> None:
    """Draws, at every name, a short line for what the best constant answer scores and one for the best shortcut."""
    for what, scores in yardsticks(references, lower_is_better=points.better_low).items():
        xs = _places(points, scores.index.to_series())
        style = {"color": GREY, "lw": 0.9, "zorder": 1, "ls": YARDSTICKS[what]}
        ax.hlines(scores.to_numpy(), xs - 0.38, xs + 0.38, **style)


def _draw_reference(ax: Axes, line: pd.Series, points: Points) -> None:
    style = {"color": GREY, "lw": 0.7, "zorder": 1, "ls": (0, (1.2, 1.6))}
    if points.named or line.nunique() == 1:
        ax.axhline(line.iloc[0], **style)
    else:
        ax.plot(line.index.to_numpy(dtype="float64") * points.x.factor, line.to_numpy(), **style)


def _shared_name(group: Sequence[str]) -> str:
    """Returns the name of reference predictors that score the same."""
    said = [predictor(name) for name in group]
    return ", ".join(said) if len(said) < 3 else f"{said[0]} and {len(said) - 1} more"


def spread(places: np.ndarray, *, gap: float) -> np.ndarray:
    """Returns the places moved as little as keeps neighbours, which are in order, at least `gap` apart."""
    moved = places.astype("float64").copy()
    for _ in range(200):
        overlap = gap - np.diff(moved)
        if (overlap <= 1e-9).all():
            break
        push = np.clip(overlap, 0, None) / 2
        moved[:-1] -= push
        moved[1:] += push
    return moved


def _draw_trials(ax: Axes, trials: pd.DataFrame, look: Look) -> None:
    mean = trials.groupby("rate")["loss"].mean()
    style = {"color": look.style.colour, "marker": look.style.marker, "mfc": look.face, "mew": 0.9, "ms": 4}
    ax.plot(mean.index, mean, ls=look.style.dash, lw=look.width, zorder=3, **style)
    ax.scatter(trials["rate"], trials["loss"], s=5, color=look.style.colour, alpha=0.4, lw=0, zorder=2)
    chosen = mean[mean.index.isin(trials["selected"])]
    ax.plot(chosen.index, chosen, ls="", marker="o", ms=8, mfc="none", mec=look.style.colour, mew=0.9, zorder=4)
    failed = trials.loc[trials["loss"].isna(), "rate"]
    top = {"transform": ax.get_xaxis_transform(), "clip_on": False, "zorder": 4}
    if len(failed):
        ax.plot(failed, np.full(len(failed), 0.97), ls="", **style | {"mfc": "white"}, **top)


def _line_handles(points: Points) -> list[Line2D]:
    shown = set(points.estimates["series"]) | set(points.failures["series"])
    return [] if points.by_line else [_handle(look) for label, look in points.looks.items() if label in shown]


def _other_handles(points: Points) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = []
    if len(points.trained):
        handles.append(Patch(color=SHADE, label="trained lengths"))
    if points.named and not points.by_line and len(points.references):
        handles += [Line2D([], [], color=GREY, lw=0.9, ls=dash, label=what) for what, dash in YARDSTICKS.items()]
    if points.seeds["failed"].any():
        handles.append(Line2D([], [], ls="", marker="x", ms=3.6, mew=0.8, color=GREY, label="failed seed"))
    for status in sorted(set(points.failures["status"])):
        handles.append(
            Line2D([], [], ls="", marker=MARKERS[status], ms=5, mew=1.4, color=GREY, label=status.replace("_", " "))
        )
    return handles


def _handle(look: Look) -> Line2D:
    style = {"color": look.style.colour, "lw": look.width, "ls": look.style.dash, "marker": look.style.marker}
    return Line2D([], [], **style, ms=4.4, mfc=look.face, mew=0.9, label=look.label)
