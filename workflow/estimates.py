"""Measurements -> estimates: a row, with an interval, per group of runs that differ in the seed only, and address.

    python -m workflow.estimates measurements.csv --output estimates.csv

Columns: `experiment`, `scale`, `role`, `kind`, `status` (`finished`, or how the failed runs ended); the run's fields
without its seed; `at.*`; `name`, `unit`; `value`, `low`, `high`, `deviation` (between seeds), `p5`, `p95` (of time
samples); `interval`, what low and high are; `n`, the runs or samples behind the value, and `failed`, how many of the
runs failed; `machines`, on how many it was measured, and `provenance.device`, `provenance.torch`, never more than one
each.

Roles: `confirm` (means over fresh seeds), `profile` (one run each: medians of time samples, all else as measured, a
row with a status and no value where the run failed) and `reference`. Tuning runs never enter. A failed run counts as
the worst outcome (see `workflow.confirmations`). `solved` is the share of seeds with a test accuracy of .99 or more.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from workflow.confirmations import COUNTS, PLATFORM, confirmations, confirming_runs
from workflow.statistics.means import t_interval
from workflow.statistics.shares import binomial_interval
from workflow.styles import QUARTILES
from workflow.table import FIXED, STATISTICS, TUNED_BY, at_columns, field_columns, read_table, write_table

SOLVED = 0.99
SAMPLED = (
    *("seconds", "first_seconds", "warmup_seconds", "joules_per_token"),
    *("clock", "temperature", "busy", "others"),
)  # what every round of a profiling run measures again
_SHARES = {"value": 0.5, "low": 0.25, "high": 0.75, "p5": 0.05, "p95": 0.95}

SEEDS = "95 % t over seeds"
LABELS = "95 % binomial over labels, as all seeds agree"
SHARE = "95 % binomial over seeds"
COUNTED = "none, a count"
ONCE = "none, measured once"
ALONE = "none, one seed"
AGREED = "none, all seeds agree"


def estimates(measurements: pd.DataFrame) -> pd.DataFrame:
    """Returns the estimates, whatever the order of the rows; ValueError where a group is of several platforms."""
    parts = [confirmed(measurements), profiled(measurements), _referenced(measurements)]
    table = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
    fields = [field for field in field_columns(measurements) if field not in ("seed", TUNED_BY)]
    first = ["experiment", "scale", "role", "kind", "status", *fields, *at_columns(measurements), "name", "unit"]
    table = table.reindex(columns=[*first, "value", *STATISTICS, *PLATFORM])
    order = {
        column: table[column] if table[column].dtype.kind in "if" else table[column].astype("str") for column in first
    }
    return table.loc[pd.DataFrame(order).sort_values(first, kind="stable").index].reset_index(drop=True)


def confirmed(measurements: pd.DataFrame) -> pd.DataFrame:
    """Returns the estimates over fresh seeds."""
    rows = confirmations(measurements)
    at = at_columns(rows)
    labels = rows.loc[rows["name"] == "labels", ["run", *at, "value"]].rename(columns={"value": "labels"})
    rows = rows.merge(labels, on=["run", *at], how="left").assign(solved=lambda rows: rows["value"] >= SOLVED)
    kept = ["role", *FIXED[:2], "kind", *field_columns(measurements), *PLATFORM]
    groups = rows.groupby(["cell", "name", "unit", *at], dropna=False, sort=False)
    summary = groups.agg(
        **{column: (column, "first") for column in kept},
        value=("value", "mean"),
        deviation=("value", "std"),
        least=("value", "min"),
        most=("value", "max"),
        solved=("solved", "sum"),
        n=("run", "size"),
    )
    summary = summary.assign(labels=groups["labels"].sum(skipna=False).to_numpy()).reset_index()
    summary = summary.merge(_endings(confirming_runs(measurements)), on="cell")
    summary["value"] = summary["value"].clip(summary["least"], summary["most"])  # the mean of equals is their value
    if "at.step" in at:  # a curve ends where its first seed does: the mean of those that went on is that of a choice
        summary = summary[summary["at.step"].isna() | (summary["n"] == summary["runs"] - summary["failed"])]
    summary = _with_intervals(summary)
    return pd.concat([summary, _solved(summary)], ignore_index=True)


def profiled(measurements: pd.DataFrame) -> pd.DataFrame:
    """Returns the estimates of the profiling runs."""
    rows = measurements[measurements["role"] == "profile"].sort_values("run", kind="stable")
    at = [column for column in at_columns(rows) if column not in ("at.sample", "at.round")]
    kept = ["role", *FIXED[:2], "kind", "status", *field_columns(measurements), *PLATFORM]
    groups = rows.groupby(["run", "name", "unit", *at], dropna=False, sort=False)
    summary = groups.agg(**{column: (column, "first") for column in kept}, n=("value", "count"))
    quantiles = pd.DataFrame(
        [_quantiles(values) for _, values in groups["value"]], columns=list(_SHARES), dtype="float64"
    )
    summary = summary.assign(**{name: quantiles[name].to_numpy() for name in _SHARES}).reset_index()
    summary = pd.concat([summary, *_achieved(summary)], ignore_index=True)
    sampled, counted = summary["name"].isin(SAMPLED), summary["name"].isin(COUNTS)
    summary["interval"] = np.select([sampled, counted, summary["name"].notna()], [QUARTILES, COUNTED, ONCE], default="")
    summary.loc[~sampled, ["low", "high", "p5", "p95"]] = np.nan
    return summary.assign(failed=(summary["status"] != "finished").astype(int), machines=1)


def _quantiles(values: pd.Series) -> list[float]:
    """Returns the quantiles of the values that are there; missing where none is."""
    known = values.dropna().to_numpy()
    return np.quantile(known, list(_SHARES.values())).tolist() if len(known) else [np.nan] * len(_SHARES)


def _achieved(summary: pd.DataFrame) -> list[pd.DataFrame]:
    """Returns operations per second at the median time, and their share of what matrix products got to beside it."""
    at = {name: summary[summary["name"] == name].set_index("run")["value"] for name in ("flops", "ceiling_flops")}
    rows = summary[summary["name"] == "seconds"].set_index("run", drop=False)
    rate = at["flops"].reindex(rows.index) / rows["value"]
    share = rate / at["ceiling_flops"].reindex(rows.index)
    found = [
        rows.assign(name="flops_per_second", unit="FLOP/s", value=rate, n=1),
        rows.assign(name="ceiling_share", unit="fraction", value=share, n=1),
    ]
    return [table[table["value"].notna()].reset_index(drop=True) for table in found]


def _referenced(measurements: pd.DataFrame) -> pd.DataFrame:
    rows = measurements[(measurements["role"] == "reference") & measurements["name"].notna()]
    return rows.assign(n=1, failed=0, machines=1, interval=ONCE)


def _endings(confirm: pd.DataFrame) -> pd.DataFrame:
    """Returns, by cell, how many runs it has, how many failed, how they ended and on how many machines they ran."""
    cells = confirm.drop_duplicates("run").groupby("cell")
    endings = cells.agg(
        runs=("run", "size"),
        failed=("failed", "sum"),
        status=("status", lambda statuses: ", ".join(sorted(set(statuses) - {"finished"})) or "finished"),
        machines=("provenance.machine", "nunique"),
    )
    return endings.reset_index()


def _with_intervals(summary: pd.DataFrame) -> pd.DataFrame:
    """Returns the summary with `low`, `high` and `interval`; no low and high where the width would be nothing."""
    value, exact = summary["value"], summary["name"].isin([*COUNTS, "labels"])
    agreed = pd.Series(np.isclose(summary["least"], summary["most"], rtol=1e-12, atol=1e-12), index=summary.index)
    alone = summary["n"] == 1
    pooled = agreed & ~alone & (summary["name"] == "accuracy") & (summary["labels"] > 0)
    trials = summary["labels"].where(pooled)
    low, high = t_interval(value, summary["deviation"], summary["n"])
    pooled_low, pooled_high = binomial_interval((value * trials).round(), trials)
    low, high = low.mask(agreed | alone).fillna(pooled_low), high.mask(agreed | alone).fillna(pooled_high)
    scaled = summary["name"] == "scaled_accuracy"  # below zero where a network does worse than the best constant
    ceiling = pd.Series(np.where(scaled | (summary["name"] == "accuracy"), 1.0, np.inf), index=summary.index)
    floor = pd.Series(np.where(scaled, -np.inf, 0.0), index=summary.index)
    return summary.assign(
        low=low.clip(lower=floor).clip(upper=value),
        high=high.clip(upper=ceiling).clip(lower=value),
        interval=np.select([exact & agreed, alone, pooled, agreed], [COUNTED, ALONE, LABELS, AGREED], default=SEEDS),
    )


def _solved(summary: pd.DataFrame) -> pd.DataFrame:
    """Returns the share of seeds that solve the task, beside every test accuracy."""
    tested = summary["name"] == "accuracy"
    rows = summary[tested & (summary["at.split"] == "test")] if tested.any() else summary[tested]
    low, high = binomial_interval(rows["solved"], rows["n"])
    share = {"value": rows["solved"] / rows["n"], "low": low, "high": high}
    return rows.assign(name="solved", interval=SHARE, deviation=np.nan, **share)


def main() -> None:
    parser = argparse.ArgumentParser(description="Estimate, with intervals, what a table of measurements says.")
    parser.add_argument("measurements", type=Path, help="the table of measurements, .csv")
    parser.add_argument("--output", type=Path, required=True, help="the table to write, .csv")
    arguments = parser.parse_args()
    try:
        write_table(estimates(read_table(arguments.measurements)), arguments.output)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
