"""Tables of experiments -> what authors take into papers, and the report in print beside report.html.

    python -m workflow.paper --scale quick --results results --output results/quick/paper --report results/quick/report.pdf recall

In the folder: `figures/<experiment>-<figure>-{icml,neurips}.pdf`, drawn at the width of ICML's column and of NeurIPS' text,
and `figures/interpretation-*`, which need all of that width, each with the data plotted as CSV; `tables/*.tex` (packages
booktabs and array); `numbers.tex` and `numbers.json`, `captions.tex` and `captions.json`; `references.bib`;
`checklist.tex` and `checklist.md`; and `main.tex`, which takes in all of them. Made again from the same tables, every file is
the same, byte for byte.
"""

import argparse
import json
import sys
from pathlib import Path

import matplotlib

from workflow.figures import image, leave
from workflow.files import write
from workflow.panels import house_style
from workflow.paper import checklist, latex
from workflow.paper.citations import bibliography, cited
from workflow.paper.claims import claim_tables
from workflow.paper.document import report, title, told
from workflow.paper.numerals import Number, numbers
from workflow.paper.records import PICTURES, Paper, Record, read_paper
from workflow.paper.tabulars import tabulars
from workflow.planfile import SCALES
from workflow.scaling.drawn import Drawing
from workflow.styles import TEXT_WIDTH, WIDTHS
from workflow.table import write_table
from workflow.tabular import Table


def leave_paper(paper: Paper, *, folder: Path) -> None:
    """Leaves everything in the folder; ValueError for a number, a letter or a use that cannot be told."""
    claims = claim_tables(paper.verdicts, paper.controls)
    found, items = numbers(paper), checklist.checklist(paper)
    drawn = {f"{record.name}-{name}": each for record in paper.records for name, each in record.drawings.items()}
    tables = {f"{record.name}-{name}": each for record in paper.records for name, each in record.tables.items()}
    files, captions = _leave_tables(claims | tables, folder=folder / "tables")
    captions |= _leave_figures(drawn, folder=folder / "figures", widths=WIDTHS)
    pictures = {f"{PICTURES}-{name}": each for name, each in paper.pictures.items()}
    captions |= _leave_figures(pictures, folder=folder / "figures", widths={"neurips": TEXT_WIDTH})
    texts = {
        "numbers.tex": latex.macros(found, scale=paper.scale),
        "numbers.json": latex.numbers_json(found),
        "captions.tex": latex.caption_macros(captions),
        "captions.json": json.dumps(captions, indent=1, ensure_ascii=False) + "\n",
        "references.bib": bibliography(cited(paper.runs)),
        "checklist.tex": checklist.latex(items),
        "checklist.md": checklist.markdown(items),
        "main.tex": latex.example(_context(paper, claims=list(claims), files=files, numbers=found)),
    }
    for name, text in texts.items():
        write(folder / name, text)


def _leave_tables(tables: dict[str, Table], *, folder: Path) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Returns the files in which each table is, one or one per page, and a caption for each file."""
    files: dict[str, list[str]] = {}
    captions: dict[str, str] = {}
    for name, table in tables.items():
        parts = tabulars(table)
        files[name] = [name] if len(parts) == 1 else [f"{name}-{place}" for place in range(1, len(parts) + 1)]
        for file, text in zip(files[name], parts, strict=True):
            write(folder / f"{file}.tex", text)
            part = f", part {file.rpartition('-')[2]} of {len(parts)}" if len(parts) > 1 else ""
            captions[f"table-{file}"] = f"{table.title}{part}. {table.note}".strip()
    return files, captions


def _leave_figures(drawings: dict[str, Drawing], *, folder: Path, widths: dict[str, float]) -> dict[str, str]:
    """Returns the captions; a figure is drawn anew for every width, in inches."""
    for name, drawing in drawings.items():
        write_table(drawing.data, folder / f"{name}.csv")
        for page, width in widths.items():
            with matplotlib.rc_context(house_style(width=width)):
                leave(image(drawing.draw(), kind="pdf"), folder / f"{name}-{page}.pdf")
    return {f"figure-{name}": drawing.caption for name, drawing in drawings.items()}


def _context(
    paper: Paper, *, claims: list[str], files: dict[str, list[str]], numbers: dict[str, Number]
) -> dict[str, object]:
    """Returns what main.tex is made of."""
    return {
        "scale": paper.scale,
        "claims": [file for name in claims for file in files[name]],
        "pictures": [f"{PICTURES}-{name}" for name in paper.pictures],
        "experiments": [_experiment(each, files=files, numbers=numbers) for each in paper.records],
    }


def _experiment(record: Record, *, files: dict[str, list[str]], numbers: dict[str, Number]) -> dict[str, object]:
    mine = [each.key for each in numbers.values() if each.experiment == record.name and each.interval]
    said = told(record)
    return {
        "name": record.name,
        "title": title(record),
        "question": record.plan.question,
        "answer": " ".join([said.lead, *said.items]),
        "number": mine[0] if mine else "",
        "figures": [f"{record.name}-{name}" for name in record.drawings],
        "tables": [file for name in record.tables for file in files[f"{record.name}-{name}"]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Make what papers take in, and the report in print.")
    parser.add_argument("experiments", nargs="+", help="names of experiments, in the order of the report")
    parser.add_argument("--scale", choices=SCALES, required=True)
    parser.add_argument("--results", type=Path, required=True, help="the folder of results")
    parser.add_argument("--output", type=Path, required=True, help="the folder to leave them in")
    parser.add_argument("--report", type=Path, required=True, help="the report in print, .pdf")
    arguments = parser.parse_args()
    try:
        paper = read_paper(arguments.experiments, scale=arguments.scale, results=arguments.results)
        leave_paper(paper, folder=arguments.output)
        leave(report(paper, folder=arguments.output), arguments.report)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
