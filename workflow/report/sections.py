"""What is told beside scores: how cost grows, how the loss falls with size, what networks do with an input."""

from pathlib import Path

import pandas as pd

from workflow.captions import Answer
from workflow.laws.told import rows as law_rows
from workflow.laws.told import sentences as law_sentences
from workflow.report.shown import Section, all_drawn, drawn, shown
from workflow.scaling.drawn import drawings
from workflow.scaling.told import sentences
from workflow.table import read_table
from workflow.tabular import LAWS, SCALING, Table, plain_table


def growth(folder: Path, *, tables: dict[str, Table], costs: list[pd.DataFrame], estimates: pd.DataFrame) -> Section:
    """Returns how cost grows in an experiment that profiles; `costs` are its exponents and its crossings."""
    return Section(
        "How cost grows",
        "Beside a name: the exponent of its power law, with a 95 % interval. What the words mean stands below the table.",
        sentences(*costs),
        [shown(tables[SCALING], of=folder.name, name=SCALING)] if SCALING in tables else [],
        [drawn(folder / "figures" / name, of=folder.name, table=None) for name in drawings(estimates)],
    )


def loss_laws(folder: Path) -> list[Section]:
    """Returns how the loss falls with parameters, tokens and compute, where `workflow.laws` has looked for that."""
    path = folder / f"{LAWS}.csv"
    if not path.exists():
        return []
    laws = read_table(path)
    table = plain_table("Laws of the loss", law_rows(laws))
    told = Answer("Fitted to the runs of each line:", law_sentences(laws))
    figures = all_drawn(folder / LAWS, of=folder.name)
    return [Section("How the loss falls", "", [told], [shown(table, of=folder.name, name=LAWS)], figures)]


def pictures(folder: Path) -> list[Section]:
    """Returns what networks do with an input, where `workflow.interpretation` has drawn it."""
    figures = all_drawn(folder / "figures", of=folder.name)
    return [Section("What networks do with an input", "", [], [], figures)] if figures else []
