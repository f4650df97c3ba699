"""The report in print, as PDF, by typst: verdicts and controls first, then what was found in every experiment."""

import json
from pathlib import Path

import typst

from workflow.captions import Answer, answer
from workflow.figures import LEARNING_RATES
from workflow.laws.told import sentences as law_sentences
from workflow.paper.claims import READING, VERDICTS_TABLE, claim_tables
from workflow.paper.records import PICTURES, Paper, Record
from workflow.points import points
from workflow.report import controls
from workflow.report.origins import common_warnings, machine_table, made_table, ran_table, warnings
from workflow.report.verdicts import registration, summary
from workflow.scaling.told import sentences
from workflow.styles import sentence
from workflow.tabular import Table

TITLE = "xLSTM, Transformers and state space models, compared"
_TEMPLATE = Path(__file__).parent / "report.typ"
_WORTH = {
    "smoke": "Toy sizes, to show that everything runs; the numbers say nothing about any architecture.",
    "quick": "Small networks and budgets: no evidence about larger networks.",
    "paper": "Published settings.",
}


def report(paper: Paper, *, folder: Path) -> bytes:
    """Returns the PDF; `folder` has the figures, as `workflow.paper` left them."""
    data = json.dumps(_data(paper), ensure_ascii=False)
    source = _TEMPLATE.read_bytes()
    return typst.compile(source, root=folder, ignore_system_fonts=True, sys_inputs={"data": data})


def told(record: Record) -> Answer:
    """Returns what the first figure of an experiment answers."""
    first = next(iter(record.plan.figures.values()))
    return answer(first, points=points(first, record.measured))


def _data(paper: Paper) -> dict[str, object]:
    tables = claim_tables(paper.verdicts, paper.controls)
    return {
        "title": TITLE,
        "scale": paper.scale,
        "worth": _WORTH[paper.scale],
        "summary": summary(paper.verdicts),
        "registration": registration(paper.verdicts),
        "controls": controls.told(paper.controls),
        "warnings": [
            *(controls.misbehaved(paper.controls) if len(paper.controls) else []),
            *common_warnings(paper.runs),
        ],
        "claims": [
            _plain(table._replace(note="")) for name, table in tables.items() if name.startswith(f"{VERDICTS_TABLE}-")
        ],
        "counts": _plain(tables[VERDICTS_TABLE]._replace(note="")),
        "reading": READING,
        "checked": [_plain(table) for name, table in tables.items() if not name.startswith(VERDICTS_TABLE)],
        "pictures": [
            {"file": f"{PICTURES}-{name}-neurips.pdf", "caption": each.caption} for name, each in paper.pictures.items()
        ],
        "chapters": [_chapter(record) for record in paper.records],
        "machines": _plain(machine_table(paper.runs)),
    }


def _chapter(record: Record) -> dict[str, object]:
    figures = [_figure(record, name) for name in record.drawings]
    beside = {table for name in record.drawings for table in _beside(record, name)}
    growth = sentences(record.scaling, record.crossovers) if len(record.scaling) else []
    if len(record.laws):
        growth.append(Answer("Fitted to the runs of each line:", law_sentences(record.laws)))
    return {
        "title": title(record),
        "question": record.plan.question,
        "answer": told(record)._asdict(),
        "warnings": warnings(record.plan, measurements=record.measurements),
        "figures": figures,
        "growth": [each._asdict() for each in growth],
        "tables": [_plain(table) for name, table in record.tables.items() if name not in beside],
        "origins": [_plain(ran_table(record.runs)), _plain(made_table(record.runs))],
    }


def title(record: Record) -> str:
    return sentence(record.name.replace("-", " "))


def _figure(record: Record, name: str) -> dict[str, object]:
    said = record.drawings[name].caption
    tables = [_plain(record.tables[each]) for each in _beside(record, name)]
    return {"file": f"{record.name}-{name}-neurips.pdf", "caption": said, "tables": tables}


def _beside(record: Record, name: str) -> list[str]:
    """Returns the tables that have the numbers of a figure."""
    return [each for each in (name, f"{name}-solved") if each in record.tables and name != LEARNING_RATES]


def _plain(table: Table) -> dict[str, object]:
    return table._asdict() | {"rows": [[cell._asdict() for cell in row] for row in table.rows]}
