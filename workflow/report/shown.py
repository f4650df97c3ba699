"""Figures and tables as they stand on the page, each with the anchor that the contents name."""

from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from workflow.captions import Answer
from workflow.report.markup import frame_table, inlined, saved, table_html
from workflow.styles import sentence
from workflow.table import read_table
from workflow.tabular import Table

_MOST_ROWS = 400  # of a table of all that is plotted; more are left to the file
_MOST_SAVED = 200_000  # characters of a file that can be saved from the page


class Drawn(NamedTuple):
    """A figure with its computed caption, the numbers behind it as a table, and all that is plotted as a file."""

    anchor: str
    title: str
    svg: Markup
    caption: str
    table: Markup  # empty where there are too many rows
    raw: bool  # whether the table is the file
    file: Markup  # a link, or where it lies


class Shown(NamedTuple):
    """A table on the page."""

    anchor: str
    title: str
    html: Markup


class Section(NamedTuple):
    """Sentences, tables and figures under a title of their own."""

    title: str
    note: str
    answers: list[Answer]
    tables: list[Shown]
    figures: list[Drawn]

    @property
    def contents(self) -> list[tuple[str, str]]:
        """The anchors and titles of its tables and figures, in order."""
        return [(part.anchor, part.title) for part in (*self.tables, *self.figures)]


def drawn(stem: Path, *, of: str, table: Table | None) -> Drawn:
    """Returns the figure that lies at `stem` as .svg, .txt and .csv; without a `table`, with all that is plotted as one."""
    svg, caption, data = (stem.with_suffix(f".{kind}").read_text(encoding="utf-8") for kind in ("svg", "txt", "csv"))
    title, name = sentence(stem.name.replace("-", " ")), f"{of}-{stem.name}.csv"
    behind = _plotted(stem.with_suffix(".csv"), title=title) if table is None else table
    there = Markup("<code>{}</code>").format(f"{of}/{stem.parent.name}/{stem.name}.csv")
    return Drawn(
        anchor=f"{of}-figure-{stem.name}",
        title=title,
        svg=inlined(svg, name=f"{of}-{stem.name}", caption=caption.strip()),
        caption=caption.strip(),
        table=table_html(behind, anchor=f"{of}-table-{stem.name}") if behind else Markup(""),
        raw=table is None,
        file=saved(data, name=name) if len(data) <= _MOST_SAVED else there,
    )


def all_drawn(folder: Path, *, of: str) -> list[Drawn]:
    """Returns every figure in a folder, by name."""
    return [drawn(path.with_suffix(""), of=of, table=None) for path in sorted(folder.glob("*.svg"))]


def shown(table: Table, *, of: str, name: str) -> Shown:
    """Returns the table by the name it has within what it is of."""
    anchor = f"{of}-table-{name}"
    return Shown(anchor, table.title, table_html(table, anchor=anchor))


def _plotted(path: Path, *, title: str) -> Table | None:
    frame = read_table(path)
    return frame_table(frame, title=title) if len(frame) <= _MOST_ROWS else None
