"""The whole page."""

from pathlib import Path

import jinja2
import pandas as pd

from workflow.measured import measured_in
from workflow.planfile import read_plan
from workflow.report import controls, verdicts
from workflow.report.chapters import chapter
from workflow.report.markup import duration, table_html
from workflow.report.origins import common_warnings, machine_table
from workflow.report.sections import pictures
from workflow.statistics.comparisons import detectable
from workflow.styles import sentence

_TEMPLATES = Path(__file__).parent


def page(experiments: list[str], *, scale: str, results: Path) -> str:
    """Returns the report; OSError or ValueError naming what is missing."""
    folders = [results / scale / name for name in experiments]
    found = [measured_in(folder) for folder in folders]
    judged = verdicts.read_verdicts(results / scale / "verdicts.csv")
    checked = _controls(folders)
    chapters = [chapter(folder, measured=measured) for folder, measured in zip(folders, found, strict=True)]
    runs = pd.concat([measured.runs for measured in found]).drop_duplicates("run", ignore_index=True)
    seeds = sorted({n for each in chapters for n in each.seeds})
    shown = verdicts.families(judged)
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            scale=scale,
            chapters=chapters,
            families=shown,
            claims_of={name: [c for f in shown for c in f.claims if c.experiment == name] for name in experiments},
            shown=experiments,
            summary=verdicts.summary(judged),
            registration=verdicts.registration(judged),
            controls=controls.told(checked),
            misbehaved=controls.misbehaved(checked),
            not_run=controls.not_run(checked),
            control_table=table_html(controls.control_table(checked), anchor="control-table") if len(checked) else "",
            pictures=pictures(results / scale / "interpretation"),
            warnings=common_warnings(runs),
            machines=table_html(machine_table(runs), anchor="machine-table"),
            detectable=[(n, round(detectable(n), 1)) for n in seeds if n > 1],
            hours=duration(float(runs["provenance.seconds"].sum())),
        )
    )


def _controls(folders: list[Path]) -> pd.DataFrame:
    """Returns the controls of all experiments that train."""
    trained = [folder for folder in folders if _trains(folder)]
    found = [controls.read_controls(folder / "controls.csv") for folder in trained]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=controls.COLUMNS)


def _trains(folder: Path) -> bool:
    return any(run.role == "confirm" for run in read_plan(folder / "plan.json").runs)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["sentence"] = sentence
    return environment
