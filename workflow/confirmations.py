"""Measurements -> what the fresh seeds of every cell scored, a failed run counted as the worst outcome."""

import pandas as pd

from workflow.measurements import NUMBER, RATE, TUNED_BY, at_columns, field_columns

SCORES = ("accuracy", "bits_per_byte")
COUNTS = ("parameters", "flops", "state_bytes", "static_bytes", "tokens", "learning_rate")
PLATFORM = ("provenance.device", "provenance.torch")
UNIFORM_BITS = 8.0  # what a byte costs a predictor that knows nothing


def confirming_runs(measurements: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows of the confirming runs with `failed` and `cell`, alike for runs that differ in the seed only.

    ValueError where the runs of one cell are of different devices or versions of torch: their mean would hide that.
    """
    confirm = measurements[measurements["role"] == "confirm"].sort_values("run", kind="stable")
    settings = [field for field in field_columns(measurements) if field not in ("seed", RATE, TUNED_BY)]
    cell = confirm.groupby(settings, dropna=False, sort=True).ngroup()
    confirm = confirm.assign(cell=cell, failed=confirm["status"] != "finished")
    for column in PLATFORM:
        kinds = confirm.groupby("cell")[column].nunique(dropna=False)
        for mixed in kinds[kinds > 1].index:
            runs = confirm[confirm["cell"] == mixed].drop_duplicates("run")
            told = ", ".join(f"{run} ({value})" for run, value in zip(runs["run"], runs[column], strict=True))
            what = column.removeprefix("provenance.")
            raise ValueError(
                f"runs to be averaged differ in {what}: {told}; delete the results of one {what} and run again"
            )
    return confirm


def confirmations(measurements: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows that estimates over seeds are made of, one per run and number, with `cell` and `failed`.

    Where a run failed, each of its test scores is the worst outcome: the measured accuracy of its task's best constant
    answer, or 8 bits per byte. Of its other numbers only what the network is and costs enters.
    """
    confirm = confirming_runs(measurements)
    numbers = confirm[confirm["name"].notna()]
    kept = numbers[~numbers["failed"] | numbers["name"].isin(COUNTS)]
    worst = _worst(confirm, references=measurements[measurements["role"] == "reference"])
    table = pd.concat([kept, worst], ignore_index=True) if len(worst) else kept
    return table.drop_duplicates(["run", "name", *at_columns(table)], ignore_index=True)


def _worst(confirm: pd.DataFrame, *, references: pd.DataFrame) -> pd.DataFrame:
    """Returns a row for every failed run and every test score that other runs of its task, or its references, have."""
    task = [field for field in field_columns(confirm) if field.startswith("task.")]
    at = at_columns(confirm)
    failed = confirm[confirm["failed"]].drop_duplicates("run").drop(columns=[*at, *NUMBER])
    if failed.empty:
        return failed
    tested = confirm[~confirm["failed"] & _has_a_worst(confirm)]
    stated = references.drop(columns=at).assign(**{"at.split": "test"})
    addresses = pd.concat([tested, stated])[[*task, *at, "name", "unit"]].drop_duplicates()
    floors = references[references["at.predictor"] == "constant"].rename(columns={"value": "floor"})
    floors = floors[[*task, "name", "floor"]].drop_duplicates([*task, "name"])
    worst = failed.merge(addresses, on=task).merge(floors, on=[*task, "name"], how="left")
    worst["value"] = worst.pop("floor").where(worst["name"] == "accuracy", UNIFORM_BITS)
    unknown = sorted((set(failed["run"]) - set(worst["run"])) | set(worst.loc[worst["value"].isna(), "run"]))
    if unknown:
        raise ValueError(
            f"run {unknown[0]} failed, and no reference run tells what its task's best constant answer scores"
        )
    return worst


def _has_a_worst(rows: pd.DataFrame) -> pd.Series:
    """Returns which rows are test scores, or a byte model's losses by position: there the worst is a uniform guess."""
    by_position = rows["at.position"].notna() if "at.position" in rows.columns else False
    tested = rows["at.split"] == "test" if "at.split" in rows.columns else False
    return (rows["name"].isin(SCORES) | by_position) & tested
