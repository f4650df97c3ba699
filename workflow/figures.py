"""Estimates -> figures, each as SVG, PDF, CSV (of what is plotted) and TXT (its caption).

    python -m workflow.figures plan.json estimates.csv measurements.csv --output results/quick/recall/figures

Beside the figures of the plan, `learning-rates` shows how the learning rates were chosen; of what was profiled, `roofline`
achieved FLOP/s under the measured ceilings and `breakdown-<phase>` what the peak memory is made of. Drawn again from the
same tables, every file is the same, byte for byte.
"""

import argparse
import functools
import io
import os
import sys
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from workflow.captions import caption, tuning_caption
from workflow.drawing import curves_of, figure_of
from workflow.files import write
from workflow.measured import Measured, read_measured
from workflow.panels import house_style
from workflow.points import Labels, Points, columns_of, panel_order, points
from workflow.scaling.drawn import Drawing, drawings
from workflow.styles import Look
from workflow.table import RATE, field_columns, write_table
from workflow.tuning import UNTIL, tuning

LEARNING_RATES = "learning-rates"


def draw_all(measured: Measured, *, folder: Path) -> None:
    """Leaves every figure of the experiment in the folder."""
    for name, drawing in drawings_of(measured).items():
        with matplotlib.rc_context(house_style()):
            save(drawing.draw(), folder / name)
        write_table(drawing.data, folder / f"{name}.csv")
        write(folder / f"{name}.txt", drawing.caption + "\n")


def drawings_of(measured: Measured) -> dict[str, Drawing]:
    """Returns every figure of an experiment by name: the plan's, those of what was profiled, the learning rates."""
    plan, found = measured.plan, dict[str, Drawing]()
    for name, spec in plan.figures.items():
        shown = points(spec, measured)
        draw = functools.partial(figure_of, shown, y=spec.y)
        found[name] = Drawing(plotted(shown), caption(spec, plan=plan, points=shown), draw)
    found |= drawings(measured.estimates)
    if plan.tuned:
        trials, looks, panels = learning_rates(measured)
        whole = trials[trials["until"].isna() & trials["rate"].notna()]  # losses after as many steps, as far as known
        losses = measured.measurements["name"] == "loss"
        unit = measured.measurements.loc[losses, "unit"].iloc[0]
        draw = functools.partial(curves_of, whole, looks=looks, panels=panels, unit=unit)
        found[LEARNING_RATES] = Drawing(trials, tuning_caption(trials, plan=plan), draw)
    return found


def plotted(points: Points) -> pd.DataFrame:
    """Returns everything a figure shows, with a column `part`: estimate, seed, failure or reference."""
    parts = {
        "estimate": points.estimates[["panel", "series", "x", "value", "low", "high", "interval", "n", "failed"]],
        "seed": points.seeds[["panel", "series", "x", "value", "failed"]].astype({"failed": "int64"}),
        "failure": points.failures,
        "reference": points.references.rename(columns={"predictor": "series"}),
    }
    return pd.concat([table.assign(part=part) for part, table in parts.items() if len(table)], ignore_index=True)


def learning_rates(measured: Measured) -> tuple[pd.DataFrame, dict[str, Look], list[str]]:
    """Returns the tuning trials by panel and series (see `workflow.tuning`), the looks of the lines, and the panels.

    Their `until` is the step at which a trial of an earlier rung ended.
    """
    plan, trials = measured.plan, tuning(measured.measurements, rates=measured.plan.tuned)
    series = columns_of(trials, "network.mixer")
    varied = {column for path in plan.varied for column in columns_of(trials, path)} - set(series)
    label = Labels(trials, series=series, panels=[field for field in field_columns(trials) if field in varied])
    shown = label.put_on(trials).rename(columns={RATE: "rate", UNTIL: "until"})
    shown = shown[["panel", "series", "rate", "seed", "until", "loss", "status", "selected", "edge"]].drop_duplicates()
    order = {"panel": panel_order(measured.runs, label, roles=("tune",)), "series": list(label.looks)}
    ranks = {name: shown[name].map({label: place for place, label in enumerate(order[name])}) for name in order}
    ranked = shown.assign(**{f"_{name}": rank for name, rank in ranks.items()}).sort_values(
        ["_panel", "_series", "rate", "seed", "until"]
    )
    return ranked[shown.columns].reset_index(drop=True), label.looks, list(dict.fromkeys(ranked["panel"]))


def save(figure: Figure, stem: Path) -> None:
    """Leaves the figure as SVG and PDF, each whole or not at all; call it within `house_style`."""
    for kind in ("svg", "pdf"):
        leave(image(figure, kind=kind), stem.with_name(f"{stem.name}.{kind}"))


def image(figure: Figure, *, kind: str) -> bytes:
    """Returns the figure as svg or pdf, without dates; call it within `house_style`."""
    absent = {"svg": {"Date": None, "Creator": None}, "pdf": {"CreationDate": None, "Creator": None, "Producer": None}}
    drawn = io.BytesIO()
    figure.savefig(drawn, format=kind, metadata=absent[kind])
    return drawn.getvalue()


def leave(content: bytes, path: Path) -> None:
    """Replaces `path` by the content at once, as `workflow.files.write` does with a text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the figures of an experiment.")
    parser.add_argument("plan", type=Path, help="plan.json of the experiment")
    parser.add_argument("estimates", type=Path, help="the table of estimates, .csv")
    parser.add_argument("measurements", type=Path, help="the table of measurements, .csv")
    parser.add_argument("--output", type=Path, required=True, help="the folder to leave the figures in")
    arguments = parser.parse_args()
    try:
        measured = read_measured(arguments.plan, arguments.estimates, arguments.measurements)
        draw_all(measured, folder=arguments.output)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
