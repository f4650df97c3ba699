"""What HTML needs: tables that can be sorted, drawings as part of the page, files to be saved from it."""

import re
from urllib.parse import quote

import pandas as pd
from markupsafe import Markup

from workflow.styles import sentence, words
from workflow.tabular import Cell, Table

_NUMBER = re.compile(r"(?:< )?(-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)(?:/(\d+)| ?(k|M|s|min|h|B|KiB|MiB|GiB)\b)?")
_SIZES = {"k": 2**10, "M": 2**20, "s": 1, "min": 60, "h": 3600, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_LONG = 44  # characters, from which on a cell is broken into lines
_DATA_SAFE = "/:;,=+@!$*()"  # may stand in an address as they are


def table_html(table: Table, *, anchor: str) -> Markup:
    """Returns the table, to be sorted by its heads; a name that the rows above have already said is shown once."""
    kinds = ["name" if place < table.named else "number" for place in range(len(table.head))]
    names = "sortable" if table.named == 1 else "sortable several"
    lines = [f'<table class="{names}" id="{anchor}">', f"<caption>{Markup.escape(table.title)}</caption>", "<thead>"]
    lines += [_span_html(table)] if table.span else []
    heads = [_head_html(text, kind) for kind, text in zip(kinds, table.head, strict=True)]
    lines += [f"<tr>{''.join(heads)}</tr>", "</thead>", "<tbody>"]
    said = ""
    for row in table.rows:
        again = table.named > 1 and row[0].text == said
        said = row[0].text
        tags = [_cell_html(cell, kind) for kind, cell in zip(kinds, row, strict=True)]
        if again:
            tags[0] = f'<td class="name"><span class="again">{Markup.escape(said)}</span></td>'
        opening = "<tr>" if again or table.named == 1 else '<tr class="first">'
        lines.append(f"{opening}{''.join(tags)}</tr>")
    note = [f'<p class="note">{Markup.escape(table.note)}</p>'] if table.note else []
    return Markup("\n".join([*lines, "</tbody>", "</table>", *note]))


def sort_key(text: str) -> float | None:
    """Returns the number that a cell begins with, a share as its quotient, times and sizes in one unit; None without one."""
    found = _NUMBER.match(text)
    if found is None:
        return None
    value = float(found[1].replace(",", ""))
    return value / float(found[2]) if found[2] else value * _SIZES.get(found[3], 1)


def frame_table(frame: pd.DataFrame, *, title: str) -> Table:
    """Returns every row of what a figure was drawn from; columns that hold nothing are left out."""
    frame = frame.dropna(axis="columns", how="all")
    is_text = [frame[column].dtype.kind not in "iufb" for column in frame.columns]
    ordered = sorted(range(len(is_text)), key=lambda place: not is_text[place])
    frame = frame.iloc[:, ordered]
    head = [sentence(words(str(column))) for column in frame.columns]
    rows = [[Cell(_said(value)) for value in row] for row in frame.itertuples(index=False, name=None)]
    return Table(title, head, rows, max(1, sum(is_text)), "", 0, "")


def saved(text: str, *, name: str) -> Markup:
    """Returns a link that saves the text as a file of this name."""
    address = f"data:text/csv;charset=utf-8,{quote(text, safe=_DATA_SAFE)}"
    return Markup(f'<a download="{Markup.escape(name)}" href="{address}">{Markup.escape(name)}</a>')


def inlined(svg: str, *, name: str, caption: str) -> Markup:
    """Returns the drawing as part of a page: its ids and styles are its own, it scales, its caption can be heard."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>\s*", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body)
    body = body.replace("*{", f"#{name} *{{")
    width = re.search(r'width="([\d.]+)pt"', body)
    assert width is not None
    body = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", body, count=1)
    label = Markup.escape(caption)
    opening = f'<svg id="{name}" role="img" aria-label="{label}" style="width:{float(width[1]) / 72 * 1.36:.2f}in"'
    return Markup(body.replace("<svg", opening, 1))


def duration(seconds: float) -> str:
    """Returns a time of computation in a unit of handy size."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def listed(names: list[str]) -> str:
    """Returns the names as a sentence lists them."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _span_html(table: Table) -> str:
    blanks = "<td></td>" * (len(table.head) - table.named - table.spanned)
    head = f'<th colspan="{table.spanned}" class="span" scope="colgroup">{Markup.escape(table.span)}</th>'
    return f"<tr>{'<td></td>' * table.named}{head}{blanks}</tr>"


def _head_html(text: str, kind: str) -> str:
    # the script that sorts enables the button; without it there is nothing to press
    return f'<th class="{kind}" scope="col"><button type="button" disabled>{Markup.escape(text)}</button></th>'


def _cell_html(cell: Cell, kind: str) -> str:
    text = Markup.escape(cell.text)
    marked = f"<strong>{text}</strong>" if cell.bold else str(text)
    marked += f"<small>{Markup.escape(cell.remark)}</small>" if cell.remark else ""
    key = sort_key(cell.text) if kind == "number" else None
    sort = "" if key is None else f' data-sort="{key:.12g}"'
    wide = " long" if max(len(cell.text), len(cell.remark)) > _LONG else ""
    return f'<td class="{kind}{wide}"{sort}>{marked}</td>'


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:z.6g}"
    return str(value).replace("_", " ")
