"""A table: its rows under a head, as Markdown and LaTeX (booktabs) tell it, and as it is kept for the report and the paper."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter

from workflow.files import write
from workflow.styles import DASH

FAIRNESS, CONDITIONS = "fairness", "conditions"
SCALING, CROSSOVERS, LAWS = "scaling", "crossovers", "laws"


class Cell(NamedTuple):
    """A number or a name, and what is to be said of it: how many of its runs failed."""

    text: str
    bold: bool = False
    remark: str = ""


class Table(NamedTuple):
    """Rows under a head. The first `named` columns hold names; `span`, if any, stands over the next `spanned`."""

    title: str
    head: list[str]
    rows: list[list[Cell]]
    named: int
    span: str
    spanned: int
    note: str


def plain_table(title: str, told: tuple[list[str], list[list[str]], str]) -> Table:
    """Returns a head, rows of text and a note as a table whose first column holds names."""
    head, rows, note = told
    return Table(title, head, [[Cell(text) for text in row] for row in rows], 1, "", 0, note)


_TABLES: TypeAdapter[dict[str, Table]] = TypeAdapter(dict[str, Table])
_FILE = "tables.json"


def leave_tables(tables: dict[str, Table], *, folder: Path) -> None:
    """Leaves each table as Markdown and as LaTeX, and all of them for `read_tables`."""
    for name, table in tables.items():
        write(folder / f"{name}.md", markdown(table))
        write(folder / f"{name}.tex", latex(table))
    write(folder / _FILE, _TABLES.dump_json(tables).decode() + "\n")


def read_tables(folder: Path) -> dict[str, Table]:
    """Returns the tables left in a folder, by name and in order; OSError or ValueError naming what is wrong."""
    return _TABLES.validate_json((folder / _FILE).read_bytes())


def markdown(table: Table) -> str:
    """Returns the title, the table in Markdown and the note."""
    ruler = [":--" if place < table.named else "--:" for place in range(len(table.head))]
    head = [_pipe(name) for name in table.head]
    rows = [[_marked(cell, bold="**{}**", escape=_pipe) for cell in row] for row in table.rows]
    lines = [f"| {' | '.join(row)} |" for row in (head, ruler, *rows)]
    return "\n".join([f"**{table.title}**", "", *lines, "", table.note]) + "\n"


def latex(table: Table) -> str:
    """Returns the table as a LaTeX tabular (package booktabs), its title and note as comments before it."""
    spec = "l" * table.named + "r" * (len(table.head) - table.named)
    lines = [f"% {table.title}. {table.note}", f"\\begin{{tabular}}{{{spec}}}", "\\toprule"]
    if table.span:
        first, last = table.named + 1, table.named + table.spanned
        lines.append(f"{'& ' * table.named}\\multicolumn{{{table.spanned}}}{{c}}{{{escaped(table.span)}}} \\\\")
        lines.append(f"\\cmidrule(lr){{{first}-{last}}}")
    lines += [f"{' & '.join(escaped(name) for name in table.head)} \\\\", "\\midrule"]
    for place, row in enumerate(table.rows):
        if place and table.named > 1 and row[0] != table.rows[place - 1][0]:
            lines.append("\\addlinespace")
        cells = [_marked(cell, bold="\\textbf{{{}}}", escape=escaped) for cell in row]
        lines.append(f"{' & '.join(cells)} \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n"


def escaped(text: str) -> str:
    """Returns the text such that LaTeX prints it."""
    return "".join(_LATEX.get(character, character) for character in text)


_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "µ": r"$\mu$",
    "≥": r"$\geq$",
    DASH: "--",
}


def _marked(cell: Cell, *, bold: str, escape: Callable[[str], str]) -> str:
    text = bold.format(escape(cell.text)) if cell.bold else escape(cell.text)
    return f"{text} ({escape(cell.remark)})" if cell.remark else text


def _pipe(text: str) -> str:
    return text.replace("|", "\\|")
