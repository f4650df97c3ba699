"""Plan, estimates and measurements of one experiment, as figures, tables and texts read them, and what several of these need."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from workflow.confirmations import confirmations
from workflow.planfile import PlanFile, read_plan
from workflow.table import read_table

if TYPE_CHECKING:
    from workflow.points import Points


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured in one experiment, and estimated from that."""

    plan: PlanFile
    estimates: pd.DataFrame
    measurements: pd.DataFrame
    points: "dict[str, Points]" = field(default_factory=dict, repr=False)  # as far as asked for, by their figure

    @cached_property
    def trained(self) -> pd.DataFrame:
        """The numbers of the fresh seeds, a failed run's the worst outcome."""
        return confirmations(self.measurements)

    @cached_property
    def runs(self) -> pd.DataFrame:
        """The first row of every run, which has all that is not a measurement."""
        return self.measurements.drop_duplicates("run", ignore_index=True)


def read_measured(plan: Path, estimates: Path, measurements: Path) -> Measured:
    """Returns what is in the three files; OSError or ValueError naming what is wrong."""
    return Measured(read_plan(plan), read_table(estimates), read_table(measurements))


def measured_in(folder: Path) -> Measured:
    """Returns what is in an experiment's folder; OSError or ValueError naming what is wrong."""
    return read_measured(*(folder / name for name in ("plan.json", "estimates.csv", "measurements.csv")))
