"""Figures, tables and estimates -> one HTML page that needs nothing else: no network, no script, no font.

    python -m workflow.report --scale quick --results results --output results/quick/report.html recall state-tracking

Reads, of every experiment, `plan.json`, `measurements.csv`, `estimates.csv` and `figures/` in its folder,
results/<scale>/<experiment>, and of one that profiles `scaling.csv` and `crossovers.csv`. Every number on the page is
computed from those, and the page of the same tables is the same, byte for byte.
"""

import argparse
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import pandas as pd
from markupsafe import Markup

from workflow.captions import ENDED, Answer, answer
from workflow.confirmations import SCORES
from workflow.fairness import parameter_mismatch
from workflow.figures import LEARNING_RATES
from workflow.files import write
from workflow.intervals import detectable
from workflow.planfile import SCALES, PlanFile, read_plan
from workflow.points import Labels, columns_of, points
from workflow.scaling.drawn import drawings
from workflow.scaling.lines import over_length
from workflow.scaling.told import sentences
from workflow.styles import sentence
from workflow.table import read_table
from workflow.tables import CROSSOVERS, FAIRNESS, SCALING, Table, cost_tables, tables_of
from workflow.tuning import tuning

MATCHED = 0.02  # parameters that differ by less are said to match

_TEMPLATE = Path(__file__).parent / "report.html.jinja"
_PLATFORM = (
    "processor",
    "cores",
    "memory_bytes",
    "device",
    "driver",
    "threads",
    "system",
    "python",
    "torch",
    "numpy",
    "lock",
)


ROLES = {
    "screen": "screening",
    "tune": "tuning",
    "confirm": "confirming",
    "profile": "profiling",
    "reference": "reference",
}


class Drawn(NamedTuple):
    """A figure with its computed caption and the table of the same numbers."""

    name: str
    svg: Markup
    caption: str
    table: Table | None


class Chapter(NamedTuple):
    """What the page says of one experiment."""

    name: str
    title: str
    question: str
    answer: Answer
    figures: list[Drawn]
    growth: list[Answer]  # of cost with length, empty where nothing was profiled
    scaling: Table | None
    drawings: list[Drawn]  # of what was profiled, beside the figures of the plan
    tables: list[Table]  # beside those above
    tuned: Drawn | None
    warnings: list[str]
    notes: list[str]
    ran: pd.DataFrame
    seconds: float
    seeds: list[int]


def page(experiments: list[str], *, scale: str, results: Path) -> str:
    """Returns the report; OSError or ValueError naming what is missing."""
    folders = [results / scale / name for name in experiments]
    tables = [read_table(folder / "measurements.csv") for folder in folders]
    chapters = [chapter(folder, measurements=table) for folder, table in zip(folders, tables, strict=True)]
    runs = pd.concat([table.drop_duplicates("run") for table in tables]).drop_duplicates("run")
    seeds = sorted({n for each in chapters for n in each.seeds})
    loader = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return loader.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        scale=scale,
        chapters=chapters,
        machines=_machines(runs),
        commits=_commits(runs),
        warnings=_common_warnings(runs),
        detectable=[(n, round(detectable(n), 1)) for n in seeds if n > 1],
        hours=duration(float(runs["provenance.seconds"].sum())),
        duration=duration,
        roles=ROLES,
        table_html=table_html,
    )


def chapter(folder: Path, *, measurements: pd.DataFrame) -> Chapter:
    """Returns what the tables and figures in an experiment's folder say."""
    plan, estimates = read_plan(folder / "plan.json"), read_table(folder / "estimates.csv")
    tables = tables_of(plan, estimates=estimates, measurements=measurements)
    growth = []
    if len(over_length(estimates)):
        costs = [read_table(folder / f"{name}.csv") for name in (SCALING, CROSSOVERS)]
        growth, tables = sentences(*costs), tables | cost_tables(*costs)
    told = [*plan.figures, SCALING, FAIRNESS]
    first = next(iter(plan.figures.values()))
    shown = points(first, plan=plan, estimates=estimates, measurements=measurements)
    runs = measurements.drop_duplicates("run")
    scores = estimates[(estimates["role"] == "confirm") & estimates["name"].isin(SCORES)]
    return Chapter(
        name=plan.experiment,
        title=sentence(plan.experiment.replace("-", " ")),
        question=plan.question,
        answer=answer(first, points=shown),
        figures=[_drawn(folder, name, table=tables[name]) for name in plan.figures],
        growth=growth,
        scaling=tables.get(SCALING),
        drawings=[_drawn(folder, name, table=None) for name in drawings(estimates)],
        tables=[*(table for name, table in tables.items() if name not in told), tables[FAIRNESS]],
        tuned=_drawn(folder, LEARNING_RATES, table=None) if plan.tuned else None,
        warnings=_warnings(plan, measurements=measurements),
        notes=_notes(estimates),
        ran=runs.groupby(["role", "status"])
        .agg(count=("run", "size"), seconds=("provenance.seconds", "sum"))
        .reset_index(),
        seconds=float(runs["provenance.seconds"].sum()),
        seeds=sorted(set(scores.loc[scores["at.split"] == "test", "n"].astype(int))) if len(scores) else [],
    )


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


def table_html(table: Table) -> Markup:
    """Returns the table as HTML; a name that the rows above have already said is said once."""
    lines = ["<table>", f"<caption>{Markup.escape(table.title)}</caption>", "<thead>"]
    if table.span:
        rest = len(table.head) - table.named - table.spanned
        blanks = "<td></td>" * rest
        head = f'<th colspan="{table.spanned}" class="span">{Markup.escape(table.span)}</th>'
        lines.append(f"<tr>{'<td></td>' * table.named}{head}{blanks}</tr>")
    kinds = ["name" if place < table.named else "number" for place in range(len(table.head))]
    heads = [f'<th class="{kind}">{Markup.escape(text)}</th>' for kind, text in zip(kinds, table.head, strict=True)]
    lines += [f"<tr>{''.join(heads)}</tr>", "</thead>", "<tbody>"]
    said = ""
    for row in table.rows:
        again = table.named > 1 and row[0].text == said
        said = row[0].text
        cells = ["" if again and not place else _cell_html(cell) for place, cell in enumerate(row)]
        tags = [f'<td class="{kind}">{cell}</td>' for kind, cell in zip(kinds, cells, strict=True)]
        opening = "<tr>" if again or table.named == 1 else '<tr class="first">'
        lines.append(f"{opening}{''.join(tags)}</tr>")
    return Markup("\n".join([*lines, "</tbody>", "</table>", f'<p class="note">{Markup.escape(table.note)}</p>']))


def duration(seconds: float) -> str:
    """Returns a time of computation in a unit of handy size."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _cell_html(cell: Any) -> str:
    text = Markup.escape(cell.text)
    marked = f"<strong>{text}</strong>" if cell.bold else str(text)
    return f"{marked}<small>{Markup.escape(cell.remark)}</small>" if cell.remark else marked


def _drawn(folder: Path, name: str, *, table: Table | None) -> Drawn:
    path = folder / "figures" / f"{name}.svg"
    caption = path.with_suffix(".txt").read_text(encoding="utf-8").strip()
    svg = inlined(path.read_text(encoding="utf-8"), name=f"{folder.name}-{name}", caption=caption)
    return Drawn(name, svg, caption, table)


def _warnings(plan: PlanFile, *, measurements: pd.DataFrame) -> list[str]:
    """Returns what is wrong with the results of one experiment, in sentences."""
    runs = measurements.drop_duplicates("run")
    failed = runs[runs["status"] != "finished"]
    found = []
    for (role, status), group in failed.groupby(["role", "status"]):
        total = int((runs["role"] == role).sum())
        noun = "run" if total == 1 else "runs"
        found.append(f"{len(group)} of {total} {ROLES[role]} {noun} {ENDED[status]}.")
    if plan.tuned:
        trials = tuning(measurements, rates=plan.tuned)
        trials = Labels(trials, series=columns_of(trials, "network.mixer"), panels=[]).put_on(trials)
        edge = set(trials.loc[trials["edge"], "series"])
        told = "every mixer" if edge == set(trials["series"]) else "; ".join(sorted(edge))
        if edge:
            found.append(
                f"The learning rate chosen is the lowest or highest tried for {told}: a better one may lie beyond."
            )
    machines = runs.groupby("role")["provenance.machine"].nunique()
    for role in machines[machines > 1].index:
        found.append(f"The {ROLES[role]} runs come from {machines[role]} machines.")
    return found


def _common_warnings(runs: pd.DataFrame) -> list[str]:
    """Returns what is wrong with where the results were made."""
    found = []
    commits = runs["provenance.commit"].fillna("")
    dirty = int(commits.str.endswith("+").sum())
    if dirty:
        found.append(f"{dirty} of {len(runs)} results were made by code that differs from its commit (marked +).")
    if (commits == "").any():
        found.append(
            f"{int((commits == '').sum())} of {len(runs)} results were made outside a checkout: no commit is known."
        )
    for name in ("device", "torch"):
        kinds = sorted(set(runs[f"provenance.{name}"]))
        if len(kinds) > 1:
            found.append(f"The results were made with more than one {name}: {', '.join(kinds)}.")
    return found


def _notes(estimates: pd.DataFrame) -> list[str]:
    mismatch = parameter_mismatch(estimates)
    if mismatch <= MATCHED:
        return [f"Parameters of the networks compared match within {mismatch:.1%}."]
    return [f"Parameters differ by up to {mismatch:.0%} among the networks compared; see the last table."]


def _machines(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Returns a row per kind of machine and versions, with how many machines and runs."""
    columns = [f"provenance.{name}" for name in _PLATFORM]
    groups = runs.groupby(columns, dropna=False, sort=True)
    found = groups.agg(machines=("provenance.machine", "nunique"), runs=("run", "size")).reset_index()
    found.columns = [column.removeprefix("provenance.") for column in found.columns]
    found["memory"] = [f"{value / 2**30:.0f} GiB" for value in found["memory_bytes"]]
    return found.fillna("").to_dict("records")


def _commits(runs: pd.DataFrame) -> list[tuple[str, int]]:
    counts = runs["provenance.commit"].fillna("unknown").value_counts()
    return [(commit, int(counts[commit])) for commit in sorted(counts.index)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the report of experiments at one scale.")
    parser.add_argument("experiments", nargs="+", help="names of experiments, in the order of the report")
    parser.add_argument("--scale", choices=SCALES, required=True)
    parser.add_argument("--results", type=Path, required=True, help="the folder of results")
    parser.add_argument("--output", type=Path, required=True, help="the page to write, .html")
    arguments = parser.parse_args()
    try:
        write(arguments.output, page(arguments.experiments, scale=arguments.scale, results=arguments.results))
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
