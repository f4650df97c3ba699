"""The tables of experiments at one scale, as everything for papers reads them."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from workflow.figures import drawings_of
from workflow.planfile import PlanFile, read_plan
from workflow.report.controls import read_controls
from workflow.report.verdicts import read_verdicts
from workflow.scaling.drawn import Drawing
from workflow.scaling.lines import over_length
from workflow.table import read_table
from workflow.tables import CROSSOVERS, SCALING, Table, cost_tables, tables_of


class Record(NamedTuple):
    """What was found in one experiment; tables of what it does not have are empty."""

    plan: PlanFile
    measurements: pd.DataFrame
    estimates: pd.DataFrame
    scaling: pd.DataFrame
    crossovers: pd.DataFrame
    controls: pd.DataFrame
    drawings: dict[str, Drawing]
    tables: dict[str, Table]

    @property
    def name(self) -> str:
        return self.plan.experiment

    @property
    def runs(self) -> pd.DataFrame:
        """The first row of every run, which has all that is not a measurement."""
        return self.measurements.drop_duplicates("run", ignore_index=True)


class Paper(NamedTuple):
    """What was found at one scale: experiments in the order given, and a verdict per claim."""

    scale: str
    records: list[Record]
    verdicts: pd.DataFrame

    @property
    def runs(self) -> pd.DataFrame:
        """The first row of every run, those that experiments share once."""
        return pd.concat([record.runs for record in self.records]).drop_duplicates("run", ignore_index=True)

    @property
    def controls(self) -> pd.DataFrame:
        return pd.concat([record.controls for record in self.records], ignore_index=True)


def read_paper(experiments: list[str], *, scale: str, results: Path) -> Paper:
    """Returns what is in results/<scale>; OSError or ValueError naming what is missing and the step that makes it."""
    verdicts = read_verdicts(results / scale / "verdicts.csv")
    return Paper(scale, [read_record(results / scale / name) for name in experiments], verdicts)


def read_record(folder: Path) -> Record:
    """Returns what is in an experiment's folder; OSError or ValueError naming what is missing."""
    plan = read_plan(folder / "plan.json")
    measurements, estimates = (read_table(folder / f"{name}.csv") for name in ("measurements", "estimates"))
    tables = tables_of(plan, estimates=estimates, measurements=measurements)
    scaling, crossovers, controls = pd.DataFrame(), pd.DataFrame(), pd.DataFrame()
    if len(over_length(estimates)):
        scaling, crossovers = (read_table(folder / f"{name}.csv") for name in (SCALING, CROSSOVERS))
        tables |= cost_tables(scaling, crossovers)
    if any(run.role == "confirm" for run in plan.runs):
        controls = read_controls(folder / "controls.csv")
    drawings = drawings_of(plan, estimates=estimates, measurements=measurements)
    return Record(plan, measurements, estimates, scaling, crossovers, controls, drawings, tables)
