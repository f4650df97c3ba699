"""What controls are judged by, and how a judgement is told."""

import json
import math
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from pydantic import TypeAdapter

from tasks import AnyTask
from workflow.confirmations import FLOORS, confirmations
from workflow.runs import ReferenceRun, Run, RunFile
from workflow.statistics.means import Group
from workflow.statistics.shares import with_label_noise
from workflow.styles import words
from workflow.table import at_columns

ALARM = 0.01  # a p below says that what must not differ does: so it is by chance in one control of a hundred
FORGETFUL = {"accuracy": FLOORS, "mse": FLOORS, "bits_per_byte": ("order_1",)}  # the references that know no past
_TASK: TypeAdapter[AnyTask] = TypeAdapter(AnyTask)


class Row(NamedTuple):
    """A control: what must come out, what did, with a 95 % interval, and whether that is it (yes, no, not run)."""

    control: str
    of: str
    expected: str
    metric: str
    place: str
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    against: float = math.nan
    p: float = math.nan
    behaved: str = "not run"
    reason: str = ""


class Evidence(NamedTuple):
    """What the runs of a plan measured, its references by name, and the folder of its runs."""

    measurements: pd.DataFrame
    references: dict[str, ReferenceRun]
    runs: Path

    def task(self, id: str) -> AnyTask:
        """Returns the task of a run; OSError if its file is missing."""
        stated = json.loads((self.runs / id / "run.json").read_text(encoding="utf-8"))
        return _TASK.validate_json(json.dumps(stated["run"]["task"]))  # its network, which takes long, is not asked for

    def scored(self, ids: tuple[str, ...], metric: str, *, beside: tuple[str, ...]) -> Group:
        """Returns what the runs scored on the test of their task, a failed one the worst; ValueError where that is not known.

        An accuracy deviates at least as much as so many labels let it, as they or the runs `beside` were tested on.
        """
        table = self.measurements
        if missing := set(ids) - set(table["run"]):
            raise ValueError(f"{len(missing)} of {len(ids)} results are missing")
        mine = table["run"].isin(ids)
        rows = table[mine | (table["role"] == "reference")]
        rows = _tested(confirmations(rows.assign(role=rows["role"].mask(mine, "confirm"))))
        values = rows.loc[rows["name"] == metric, "value"]
        if values.empty:
            raise ValueError(f"none of {len(ids)} runs was scored on the test")
        group = Group(float(values.mean()), float(values.std()), len(values), 1)
        labels = self._labels((*ids, *beside))
        return with_label_noise(group, labels=labels) if metric == "accuracy" and labels else group

    def _labels(self, ids: tuple[str, ...]) -> int:
        """Returns by how many labels each of the runs was tested, 0 where none was."""
        rows = self.measurements[self.measurements["run"].isin(ids) & (self.measurements["name"] == "labels")]
        return int(_tested(rows)["value"].min()) if len(rows) else 0

    def predicted(self, ids: list[str], predictors: tuple[str, ...]) -> pd.DataFrame:
        """Returns the scores of reference predictors, no row where these runs have no result."""
        rows = self.measurements[self.measurements["run"].isin(ids)]
        return rows[rows["at.predictor"].isin(predictors)] if len(rows) else rows

    def forgetful(self, task: AnyTask, metric: str, *, beside: tuple[str, ...]) -> Group:
        """Returns what a predictor scores that knows no past; ValueError where none was measured.

        All seeds are tested on the same few labels, so its accuracy there is known as well as so many tell, and no better.
        """
        asked = [id for id, run in self.references.items() if run.task == task]
        rows = own(self.predicted(asked, FORGETFUL[metric]))
        values = rows.loc[rows["name"] == metric, "value"]
        if values.empty:
            raise ValueError(f"what scores in {words(metric)} without a memory was not measured")
        value, labels = float(values.iloc[0]), self._labels(beside)
        if metric == "accuracy" and labels:
            return Group(value, math.sqrt(value * (1 - value)), labels, 1)
        return Group(value, 0.0, 0, 1)


def read_run(id: str, *, runs: Path) -> Run:
    """Returns what a run is; OSError if its file is missing."""
    return RunFile.model_validate_json((runs / id / "run.json").read_text(encoding="utf-8")).run


def _tested(rows: pd.DataFrame) -> pd.DataFrame:
    found = own(rows)
    return found[found["at.split"] == "test"]


def own(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns what was measured on the task itself, at no other point, position or step."""
    points = [column for column in at_columns(rows) if column not in ("at.split", "at.predictor")]
    return rows[rows[points].isna().all(axis=1)]
