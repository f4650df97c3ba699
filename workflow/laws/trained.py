"""Measurements -> lines: what the confirming runs of every mixer were, read, and scored in the test."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from workflow.confirmations import confirming_runs
from workflow.laws.runs import Runs
from workflow.points import Labels, columns_of
from workflow.styles import Look
from workflow.table import at_columns

LOSS = "bits_per_byte"
_MIXER = "network.mixer"
_SIZES = ("network.width", "network.depth")  # a mixer that changes with these is the same line
_PASSES = 3  # of a training step: forward, and twice as much backward


class Line(NamedTuple):
    """One mixer's runs, `failed` of them without a loss, and the names of the others."""

    experiment: str
    scale: str
    look: Look
    runs: Runs
    names: tuple[str, ...]
    failed: int


def lines(measurements: pd.DataFrame) -> list[Line]:
    """Returns the lines in the order of the house style; ValueError where no run was tested on text."""
    rows = confirming_runs(measurements)
    if rows.empty or not (rows["task.name"] == "language-modeling").all():
        raise ValueError("a law of the loss needs runs of language-modeling, confirmed with fresh seeds")
    runs = rows.drop_duplicates("run").set_index("run")
    measured = {name: _measured(rows, name) for name in ("parameters", "flops", "steps", LOSS)}
    tokens = measured["steps"] * runs["optimizer.batch_size"] * runs["task.length"]
    trained = runs.assign(
        size=measured["parameters"] - _embedding(runs),
        tokens=tokens,
        compute=_PASSES * measured["flops"] * tokens,
        loss=measured[LOSS].where(~runs["failed"]),
    )
    label = Labels(trained, series=_series(trained), panels=[])
    trained = label.put_on(trained).sort_values(["compute", "size", "seed"], kind="stable")
    return [_line(trained[trained["series"] == name], look) for name, look in label.looks.items()]


def _line(trained: pd.DataFrame, look: Look) -> Line:
    told = trained[trained["loss"].notna()]
    runs = Runs(*(told[name].to_numpy(dtype="float64") for name in Runs._fields))
    first = trained.iloc[0]
    return Line(first["experiment"], first["scale"], look, runs, tuple(told.index), len(trained) - len(told))


def _measured(rows: pd.DataFrame, name: str) -> pd.Series:
    """Returns a measurement of the whole run by its id: of a score, that of the test as it was trained."""
    chosen = rows[rows["name"] == name]
    for column in at_columns(rows):
        chosen = (
            chosen[chosen[column] == "test"] if column == "at.split" and name == LOSS else chosen[chosen[column].isna()]
        )
    return chosen.set_index("run")["value"]


def _series(trained: pd.DataFrame) -> list[str]:
    """Returns the fields that tell lines apart: those of the mixer in which networks of one size differ, and its name."""
    sizes = trained.groupby([f"{_MIXER}.name", *_SIZES])
    return [
        column
        for column in columns_of(trained, _MIXER)
        if column == f"{_MIXER}.name" or (sizes[column].nunique(dropna=False) > 1).any()
    ]


def _embedding(runs: pd.DataFrame) -> np.ndarray:
    """Returns by run the parameters that are looked up and multiplied by nothing: none where they are the head too."""
    vocabularies = [_vocabulary(run) for run in runs[columns_of(runs, "task")].to_dict("records")]
    tied = runs["network.tied"].eq(True) if "network.tied" in runs else pd.Series(False, index=runs.index)
    looked_up = np.array(vocabularies) + runs.get("network.positions", 0)
    return (looked_up * runs["network.width"]).mask(tied, 0)


def _vocabulary(columns: dict[str, Any]) -> int:
    from tasks.language.modeling import LanguageModeling  # and so torch, which who only reads tables is not to wait for

    task: dict[str, Any] = {}
    for column, value in columns.items():
        *parents, leaf = column.split(".")[1:]
        node = task
        for parent in parents:
            node = node.setdefault(parent, {})
        if not pd.isna(value):
            node[leaf] = value
    return LanguageModeling.model_validate(task, strict=False).vocabulary_size
