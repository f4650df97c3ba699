"""Tables that fit the page of a paper: no wider than 5.5 inches, long ones in parts."""

import math

from workflow.paper.latex import MORE
from workflow.tabular import Table, latex

_LETTERS = 89  # that a line of 5.5 inches has in footnotesize
_GAP = 1.5  # letters between two columns
_EM = 0.52  # of a letter
_LINES = 48  # that a page has for a table and its caption


def tabulars(table: Table) -> list[str]:
    """Returns the table as tabulars (packages booktabs and array), one or as many as it has pages.

    Columns that are too wide together are broken into lines, the widest first.
    """
    natural, widths = _natural(table), _widths(table)
    sides = ["l"] * table.named + ["r"] * (len(table.head) - table.named)
    specs = [
        side if width == whole else _paragraph(side, width)
        for side, width, whole in zip(sides, widths, natural, strict=True)
    ]
    plain, fitted = (f"\\begin{{tabular}}{{{''.join(kinds)}}}" for kinds in (sides, specs))
    return [_said_once(_with_more(latex(part)), table).replace(plain, fitted, 1) for part in _parts(table, widths)]


def _natural(table: Table) -> list[int]:
    """Returns how many letters the longest cell of each column has."""
    return [max(map(len, column)) for column in _columns(table)]


def _columns(table: Table) -> list[list[str]]:
    cells = [[f"{cell.text} {cell.remark}".strip() for cell in row] for row in table.rows]
    return [list(column) for column in zip(table.head, *cells, strict=True)]


def _widths(table: Table) -> list[int]:
    """Returns how many letters each column gets: none less than its longest word."""
    least = [max(len(word) for text in column for word in text.split() or [""]) for column in _columns(table)]
    widths = _natural(table)
    while sum(widths) > _LETTERS - _GAP * len(widths):
        wide = [place for place, low in enumerate(least) if widths[place] > low]
        if not wide:
            break
        widths[max(wide, key=widths.__getitem__)] -= 1
    return widths


def _parts(table: Table, widths: list[int]) -> list[Table]:
    """Returns the table in parts of a page each."""
    parts: list[list] = [[]]
    lines = 0
    for row in table.rows:
        height = max(
            math.ceil(len(f"{cell.text} {cell.remark}".strip()) / max(width, 1))
            for cell, width in zip(row, widths, strict=True)
        )
        if lines + height > _LINES:
            parts.append([])
            lines = 0
        parts[-1].append(row)
        lines += height
    return [table._replace(rows=rows) for rows in parts]


def _paragraph(side: str, width: int) -> str:
    aligned = "\\raggedright" if side == "l" else "\\raggedleft"
    return f">{{{aligned}\\arraybackslash}}p{{{width * _EM:.1f}em}}"


def _with_more(text: str) -> str:
    """Returns a table that is escaped already with what else its letters need."""
    told = "".join(MORE.get(letter, letter) for letter in text)
    return told.replace("[-", "[$-$").replace("& -", "& $-$").replace("$-$-", "--")


def _said_once(text: str, table: Table) -> str:
    """Returns the table without names, in the first of several columns of names, that the row above has said."""
    if table.named < 2:
        return text
    before, line, body = text.partition("\\midrule\n")
    lines, said = [], ""
    for row in body.splitlines():
        first, between, rest = row.partition(" & ")
        lines.append(f"& {rest}" if between and first == said else row)
        said = first if between else said
    return before + line + "\n".join(lines) + "\n"
