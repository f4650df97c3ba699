"""The tables of experiments at one scale, as everything for papers reads them."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from workflow.figures import drawings_of
from workflow.interpretation.pictures import drawings as pictures_of
from workflow.interpretation.pictures import tables as seen
from workflow.laws.drawn import drawings as law_drawings
from workflow.laws.table import found
from workflow.laws.told import rows as law_rows
from workflow.laws.trained import lines
from workflow.measured import Measured, measured_in
from workflow.planfile import PlanFile
from workflow.report.controls import read_controls
from workflow.report.verdicts import read_verdicts
from workflow.scaling.drawn import Drawing
from workflow.scaling.lines import over_length
from workflow.table import read_table
from workflow.tabular import CROSSOVERS, LAWS, SCALING, Table, plain_table, read_tables

PICTURES = "interpretation"  # the folder of what networks do with an input, beside those of the experiments


class Record(NamedTuple):
    """What was found in one experiment; tables of what it does not have are empty."""

    measured: Measured
    scaling: pd.DataFrame
    crossovers: pd.DataFrame
    controls: pd.DataFrame
    laws: pd.DataFrame
    drawings: dict[str, Drawing]
    tables: dict[str, Table]

    @property
    def name(self) -> str:
        return self.plan.experiment

    @property
    def plan(self) -> PlanFile:
        return self.measured.plan

    @property
    def measurements(self) -> pd.DataFrame:
        return self.measured.measurements

    @property
    def estimates(self) -> pd.DataFrame:
        return self.measured.estimates

    @property
    def runs(self) -> pd.DataFrame:
        return self.measured.runs


class Paper(NamedTuple):
    """What was found at one scale: experiments in the order given, a verdict per claim, what networks do with an input."""

    scale: str
    records: list[Record]
    verdicts: pd.DataFrame
    pictures: dict[str, Drawing]

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
    looked_at = results / scale / PICTURES
    pictures = pictures_of(seen(looked_at)) if looked_at.exists() else {}
    return Paper(scale, [read_record(results / scale / name) for name in experiments], verdicts, pictures)


def read_record(folder: Path) -> Record:
    """Returns what is in an experiment's folder; OSError or ValueError naming what is missing."""
    measured = measured_in(folder)
    tables, drawings = read_tables(folder / "tables"), drawings_of(measured)
    scaling, crossovers, controls, laws = (pd.DataFrame() for _ in range(4))
    if len(over_length(measured.estimates)):
        scaling, crossovers = (read_table(folder / f"{name}.csv") for name in (SCALING, CROSSOVERS))
    if any(run.role == "confirm" for run in measured.plan.runs):
        controls = read_controls(folder / "controls.csv")
    if (folder / f"{LAWS}.csv").exists():
        laws = read_table(folder / f"{LAWS}.csv")
        tables[LAWS] = plain_table("Laws of the loss", law_rows(laws))
        drawings |= law_drawings([found(line, seed=place) for place, line in enumerate(lines(measured.measurements))])
    return Record(measured, scaling, crossovers, controls, laws, drawings, tables)
