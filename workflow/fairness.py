"""Is the comparison fair? What each network is, what it costs, and what it was given in training and tuning."""

import math

import pandas as pd

from workflow.measured import Measured
from workflow.points import Labels, columns_of, compared, own_length
from workflow.styles import DASH, number, quantity, sentence
from workflow.table import RATE, TUNED_BY, field_columns
from workflow.tuning import tuning


def fairness_rows(measured: Measured) -> tuple[list[str], list[list[str]], str]:
    """Returns a head, a row of text per mixer, and a note; a range where a number differs between cells of the plan."""
    shown = measured.estimates[measured.estimates["role"].isin(["confirm", "profile"])]
    label = Labels(shown, series=columns_of(shown, "network.mixer"), panels=[])
    columns = _sizes(label.put_on(shown[shown["name"].isin(["parameters", "flops", "state_bytes"])]))
    if (shown["role"] == "confirm").any():
        runs = measured.trained
        columns |= _budget(label.put_on(runs[runs["name"].isin(["steps", "learning_rate"])]))
    if measured.plan.tuned:
        columns |= _choice(label.put_on(tuning(measured.measurements, rates=measured.plan.tuned)))
    rows = [[name, *(column.get(name, DASH) for column in columns.values())] for name in label.looks]
    return (
        [sentence(compared(shown)), *columns],
        rows,
        "A range is over the settings of the task." if any(DASH in "".join(r[1:]) for r in rows) else "",
    )


def parameter_mismatch(estimates: pd.DataFrame) -> float:
    """Returns by what share, at most, the largest network exceeds the smallest among those compared on one task."""
    rows = estimates[(estimates["name"] == "parameters") & estimates["role"].isin(["confirm", "profile"])]
    task = [
        field
        for field in field_columns(rows)
        if field.startswith("task.") or field in ("vocabulary", "length", "phase")
    ]
    sizes = (
        rows.groupby(task, dropna=False)["value"].agg(["min", "max"])
        if task
        else rows["value"].agg(["min", "max"]).to_frame().T
    )
    return float((sizes["max"] / sizes["min"] - 1).max()) if len(sizes) else 0.0


def _sizes(rows: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Returns, by column and mixer, parameters, FLOPs per token, and the state at the shortest and longest length."""
    columns = {"Parameters": _ranges(rows[rows["name"] == "parameters"], factor=1.0)}
    flops = rows[rows["name"] == "flops"]
    if (flops["unit"] == "FLOP").any():  # of a profiled call, forward, on the whole batch
        longest = flops["length"].max()
        flops = flops[flops["length"] == longest]
        flops = flops.assign(value=flops["value"] / (flops["batch"] * flops["length"]))
        columns[f"FLOPs per token, of {number(longest)}"] = _ranges(flops, factor=1.0)
    else:
        columns["FLOPs per token"] = _ranges(flops, factor=1.0)
    states = rows[rows["name"] == "state_bytes"]
    lengths = (
        states["at.length"] if states.get("at.length", pd.Series(dtype=float)).notna().any() else own_length(states)
    )
    for length in sorted({lengths.min(), lengths.max()}):
        here = states[lengths == length]
        said = quantity("state_bytes", unit="B", values=here["value"])
        columns[f"State at {number(length)} tokens ({said.unit})"] = _ranges(here, factor=said.factor)
    return columns


def _budget(runs: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Returns the training steps taken and tokens seen by the confirming runs."""
    steps = runs[runs["name"] == "steps"]
    columns = {"Training steps": _ranges(steps, factor=1.0)}
    length = own_length(steps)
    if length.notna().all():
        tokens = steps.assign(value=steps["value"] * steps["optimizer.batch_size"] * length)
        columns["Training tokens (M)"] = _ranges(tokens, factor=1e-6)
    if "pretraining.steps" in steps:
        before = [steps[f"pretraining.{name}"] for name in ("steps", "batch_size", "task.length")]
        columns["Pretraining tokens (M)"] = _ranges(steps.assign(value=math.prod(before)), factor=1e-6)
        rates = runs[(runs["name"] == "learning_rate") & (runs["at.split"] == "pretraining")]
        columns["Pretraining rate"] = _ranges(rates, factor=1.0)
    return columns


def _choice(trials: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Returns how many trials each choice of the learning rate took, and the rates chosen."""
    counts, chosen = {}, {}
    for name, mine in trials.groupby("series"):
        counts[name] = _range(mine.drop_duplicates([TUNED_BY, RATE, "seed"]).groupby(TUNED_BY)[RATE].size())
        rates = mine[["selected", "edge"]].drop_duplicates().sort_values("selected")
        chosen[name] = ", ".join(f"{row.selected:g}{' (edge)' if row.edge else ''}" for row in rates.itertuples())
    return {"Tuning trials": counts, "Learning rate": chosen}


def _ranges(rows: pd.DataFrame, *, factor: float) -> dict[str, str]:
    return {str(name): _range(values * factor) for name, values in rows.groupby("series")["value"]}


def _range(values: pd.Series) -> str:
    said = [
        f"{value:,.0f}" if value >= 100 or value == round(value) else f"{value:.3g}"
        for value in (values.min(), values.max())
    ]
    return said[0] if said[0] == said[1] else f"{said[0]}{DASH}{said[1]}"
