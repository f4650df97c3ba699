"""What the page says of one experiment: its answer, figures with the numbers behind them, tables, what was run and where."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from workflow.captions import Answer, answer
from workflow.confirmations import SCORES
from workflow.fairness import parameter_mismatch
from workflow.figures import LEARNING_RATES
from workflow.measured import Measured
from workflow.points import points
from workflow.report.origins import failure_table, made_table, ran_table, warnings
from workflow.report.sections import growth, loss_laws
from workflow.report.shown import Drawn, Section, Shown, drawn, shown
from workflow.scaling.lines import over_length
from workflow.styles import sentence
from workflow.table import read_table
from workflow.tabular import CROSSOVERS, FAIRNESS, SCALING, read_tables

MATCHED = 0.02  # parameters that differ by less are said to match


class Chapter(NamedTuple):
    """What the page says of one experiment."""

    name: str
    title: str
    question: str
    answer: Answer
    figures: list[Drawn]
    sections: list[Section]
    tuned: list[Drawn]
    tables: list[Shown]  # beside those above
    warnings: list[str]
    notes: list[str]
    ran: Shown
    failed: list[Shown]
    failures: int
    made: Shown
    seeds: list[int]

    @property
    def contents(self) -> list[tuple[str, str]]:
        """The anchors and titles of its figures and tables, in order."""
        told = [part for section in self.sections for part in section.contents]
        rest = [*self.tuned, *self.tables, self.ran, *self.failed, self.made]
        return [
            *((part.anchor, part.title) for part in self.figures),
            *told,
            *((part.anchor, part.title) for part in rest),
        ]


def chapter(folder: Path, *, measured: Measured) -> Chapter:
    """Returns what was measured in an experiment, with the tables and figures in its folder."""
    plan, estimates, runs = measured.plan, measured.estimates, measured.runs
    tables = read_tables(folder / "tables")
    sections = loss_laws(folder)
    if len(over_length(estimates)):
        costs = [read_table(folder / f"{name}.csv") for name in (SCALING, CROSSOVERS)]
        sections.append(growth(folder, tables=tables, costs=costs, estimates=estimates))
    last = [*(name for name in tables if name not in (*plan.figures, SCALING, FAIRNESS)), FAIRNESS]
    failures = int((runs["status"] != "finished").sum())
    return Chapter(
        name=plan.experiment,
        title=sentence(plan.experiment.replace("-", " ")),
        question=plan.question,
        answer=_answer(measured),
        figures=[drawn(folder / "figures" / name, of=folder.name, table=tables[name]) for name in plan.figures],
        sections=sections,
        tuned=[drawn(folder / "figures" / LEARNING_RATES, of=folder.name, table=None)] if plan.tuned else [],
        tables=[shown(tables[name], of=folder.name, name=name) for name in last],
        warnings=warnings(plan, measurements=measured.measurements),
        notes=_notes(estimates),
        ran=shown(ran_table(runs), of=folder.name, name="ran"),
        failed=[shown(failure_table(plan, runs=runs), of=folder.name, name="failed")] if failures else [],
        failures=failures,
        made=shown(made_table(runs), of=folder.name, name="made"),
        seeds=_seeds(estimates),
    )


def _answer(measured: Measured) -> Answer:
    first = next(iter(measured.plan.figures.values()))
    return answer(first, points=points(first, measured))


def _notes(estimates: pd.DataFrame) -> list[str]:
    mismatch = parameter_mismatch(estimates)
    if mismatch <= MATCHED:
        return [f"Parameters of the networks compared match within {mismatch:.1%}."]
    return [f"Parameters differ by up to {mismatch:.0%} among the networks compared; see what each network is."]


def _seeds(estimates: pd.DataFrame) -> list[int]:
    """Returns over how many seeds its test scores are."""
    scores = estimates[(estimates["role"] == "confirm") & estimates["name"].isin(SCORES)]
    return sorted(set(scores.loc[scores["at.split"] == "test", "n"].astype(int))) if len(scores) else []
