"""The tables of `workflow.interpretation` -> figures, each as SVG, PDF, CSV (of what is plotted) and TXT (its caption).

    python -m workflow.interpretation.pictures results/quick/interpretation --output results/quick/interpretation/figures

Of every input there are `<input>`, who is read and the gates over the tokens, and `<input>-horizons`, how long is kept and
how far back is read. Drawn again from the same tables, every file is the same, byte for byte.
"""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import matplotlib
import pandas as pd

from workflow.figures import save
from workflow.files import write
from workflow.interpretation.horizons import horizons
from workflow.interpretation.page import page, readers
from workflow.interpretation.told import horizons_caption, page_caption
from workflow.panels import house_style
from workflow.scaling.drawn import Drawing
from workflow.styles import STYLES
from workflow.table import read_table, write_table


class Tables(NamedTuple):
    """What is known of one input, by `workflow.interpretation.__main__`."""

    gates: pd.DataFrame
    summary: pd.DataFrame
    tokens: pd.DataFrame


def tables(folder: Path) -> dict[str, Tables]:
    """Returns the tables by input, the mixers in the order of the styles; OSError or ValueError if one is not there."""
    gates, summary = (read_table(folder / name) for name in ("gates.csv", "summary.csv"))
    text = {"label": "str", "due_label": "str", "due": "Int64"}
    tokens = pd.read_csv(folder / "inputs.csv", dtype=text, na_values=[""], keep_default_na=False)
    order = {name: place for place, name in enumerate(STYLES)}
    gates, summary = (
        table.sort_values("network.mixer.name", key=lambda names: names.map(order), kind="stable")
        for table in (gates, summary)
    )
    return {
        name: Tables(*(table[table["input"] == name] for table in (gates, summary, tokens)))
        for name in tokens["input"].unique()
    }


def drawings(found: dict[str, Tables]) -> dict[str, Drawing]:
    """Returns every figure by name, to be drawn at the width of a page within `house_style`."""
    told: dict[str, Drawing] = {}
    for name, (gates, summary, tokens) in found.items():
        maps = (gates["name"] == "share") & gates["position"].isin(readers(tokens))
        shown = gates[gates["name"].isin(["forget", "written", "right"]) | maps]
        told[name] = Drawing(shown, page_caption(gates, summary, tokens), partial(page, gates, tokens))
        lasting = gates[gates["name"].isin(["horizon", "distance"])]
        draw = partial(horizons, gates, tokens)
        told[f"{name}-horizons"] = Drawing(lasting, horizons_caption(gates, summary), draw)
    return told


def draw_all(found: dict[str, Tables], *, folder: Path) -> None:
    """Leaves every figure in the folder."""
    for name, drawing in drawings(found).items():
        with matplotlib.rc_context(house_style()):
            save(drawing.draw(), folder / name)
        write_table(drawing.data, folder / f"{name}.csv")
        write(folder / f"{name}.txt", drawing.caption + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw what networks do with an input.")
    parser.add_argument("tables", type=Path, help="the folder of gates.csv, summary.csv and inputs.csv")
    parser.add_argument("--output", type=Path, required=True, help="the folder to leave the figures in")
    arguments = parser.parse_args()
    try:
        draw_all(tables(arguments.tables), folder=arguments.output)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
