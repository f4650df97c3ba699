"""What figures and tables show, in reStructuredText, for the captions of Snakemake's own report (`snakemake --report`)."""

import re
from pathlib import Path

_BETWEEN = re.compile(r"(?<!\\)\|")


class Captions(dict[str, str]):
    """A caption by the name of a figure or table; told of as a parameter of a job, only how many there are."""

    def __str__(self) -> str:
        return f"those of {len(self)} files"


def captions(folder: Path) -> Captions:
    """Returns what the files of a folder show: of a figure its text, of a table the table; none before the folder is there."""
    texts = {path.stem: plain(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.txt"))}
    tables = {path.stem: listed(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.md"))}
    return Captions(texts | tables)


def plain(text: str) -> str:
    """Returns text with what has a meaning in reStructuredText escaped."""
    return re.sub(r"([\\*`_|])", r"\\\1", text)


def listed(markdown: str) -> str:
    """Returns a table in Markdown, with what is said over and under it, as a list-table; bold stays bold."""
    lines = markdown.splitlines()
    head, _ruler, *rows = [_cells(line) for line in lines if line.startswith("|")]
    told = [_emphasised(line) for line in lines if line and not line.startswith("|")]
    table = [".. list-table::", "   :header-rows: 1", ""]
    for row in [head, *rows]:
        table += [f"   {'*' if place == 0 else ' '} - {cell}" for place, cell in enumerate(row)]
    return "\n".join([*told[:1], "", *table, "", *told[1:]])


def _cells(line: str) -> list[str]:
    return [_emphasised(cell.strip().replace("\\|", "|")) for cell in _BETWEEN.split(line)[1:-1]]


def _emphasised(text: str) -> str:
    return re.sub(r"\\\*\\\*(.+?)\\\*\\\*", r"**\1**", plain(text))
