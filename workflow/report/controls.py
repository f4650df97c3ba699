"""controls.csv of every experiment that trains -> whether what is known beforehand came out."""

from pathlib import Path

import pandas as pd

from workflow.report.markup import listed
from workflow.report.verdicts import interval_text, p_equation, p_text
from workflow.styles import DASH, sentence
from workflow.table import read_table
from workflow.tabular import Cell, Table

COLUMNS = (
    *("experiment", "control", "of", "expected", "metric", "place", "value", "low", "high", "against", "p"),
    *("behaved", "reason"),
)
BEHAVED, MISBEHAVED, NOT_RUN = "yes", "no", "not run"


def read_controls(path: Path) -> pd.DataFrame:
    """Returns a row per control of an experiment; ValueError naming the step to run where the table is missing."""
    if not path.exists():
        raise ValueError(f"{path} is missing: python -m workflow.controls writes it")
    return read_table(path)


def told(controls: pd.DataFrame) -> str:
    """Returns in one sentence how many controls behaved."""
    if controls.empty:
        return "No experiment here trains a network, and so none has controls."
    counts = controls["behaved"].value_counts()
    run = int(counts.sum() - counts.get(NOT_RUN, 0))
    good = int(counts.get(BEHAVED, 0))
    kinds = listed(list(dict.fromkeys(controls["control"])))
    where = f"in {controls['experiment'].nunique()} of the experiments ({kinds})"
    missing = f"; {counts[NOT_RUN]} {'was' if counts[NOT_RUN] == 1 else 'were'} not run" if NOT_RUN in counts else ""
    return f"{'All' if good == run else f'{good} of'} {run} controls behaved as they must, {where}{missing}."


def misbehaved(controls: pd.DataFrame) -> list[str]:
    """Returns a sentence for every control that did not come out as it must."""
    return [_sentence(row) for _, row in controls[controls["behaved"] == MISBEHAVED].iterrows()]


def not_run(controls: pd.DataFrame) -> list[str]:
    """Returns a sentence for every control that was not run, with the reason."""
    rows = controls[controls["behaved"] == NOT_RUN]
    return [
        f"{row['experiment']}, {_named(row)}: {_text(row['reason']) or 'no reason told'}." for _, row in rows.iterrows()
    ]


def control_table(controls: pd.DataFrame) -> Table:
    """Returns every control: what was expected, what was found, whether it behaved."""
    head = ["Experiment", "Control", "Expected", "At", "Found", "Against", "p", "Behaved"]
    rows = [
        [Cell(text) for text in (row["experiment"], _named(row), row["expected"], _place(row))]
        + [Cell(text) for text in (_found(row), _number(row["against"]), p_text(row["p"]))]
        + [Cell(row["behaved"], bold=row["behaved"] == MISBEHAVED, remark=_text(row["reason"]))]
        for _, row in controls.iterrows()
    ]
    return Table("Controls", head, rows, 4, "", 0, "")


def _sentence(row: pd.Series) -> str:
    tested = "" if pd.isna(row["p"]) else f", {p_equation(row['p'])}"
    reason = f" {sentence(_text(row['reason']))}." if _text(row["reason"]) else ""
    found = f"{_found(row)} against {_number(row['against'])}{tested}"
    return f"{row['experiment']}, {_named(row)} ({_place(row)}). Expected: {row['expected']}. Found: {found}.{reason}"


def _named(row: pd.Series) -> str:
    return f"{row['control']} of {row['of']}" if _text(row["of"]) else row["control"]


def _place(row: pd.Series) -> str:
    return ", ".join(text for text in (_text(row["metric"]), _text(row["place"])) if text) or DASH


def _found(row: pd.Series) -> str:
    return interval_text(row["value"], row["low"], row["high"], unit="1")


def _number(value: object) -> str:
    if isinstance(value, float):
        return DASH if pd.isna(value) else f"{value:z.4g}"
    return str(value)


def _text(value: object) -> str:
    return "" if pd.isna(value) else str(value)
