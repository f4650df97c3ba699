"""Measurements -> what the fresh seeds of every cell scored, a failed run counted as the worst outcome."""

import pandas as pd

from workflow.table import NUMBER, RATE, TUNED_BY, at_columns, field_columns

SCORES = ("accuracy", "scaled_accuracy", "bits_per_byte", "mse", "mae")
COUNTS = (
    *("parameters", "flops", "tokens", "learning_rate"),
    *("state_bytes", "static_bytes", "parameter_bytes", "gradient_bytes", "optimizer_bytes"),
)
PLATFORM = ("provenance.device", "provenance.torch")
UNIFORM_BITS = 8.0  # what a byte costs a predictor that knows nothing
NOT_POINTS = ("at.predictor", "at.split", "at.position", "at.step", "at.sample", "at.round")
FLOORS = ("constant", "mean")  # the reference predictors that read nothing


def confirming_runs(measurements: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows of the confirming runs with `failed` and `cell`, alike for runs that differ in the seed only.

    ValueError where the runs of one cell are of different devices or versions of torch: their mean would hide that.
    """
    runs = measurements.loc[measurements["role"] == "confirm", "run"]
    confirm = measurements.loc[runs.sort_values(kind="stable").index]
    settings = [field for field in field_columns(measurements) if field not in ("seed", RATE, TUNED_BY)]
    once = confirm.drop_duplicates("run")
    once = once.assign(cell=once.groupby(settings, dropna=False, sort=True).ngroup())
    cell = confirm["run"].map(dict(zip(once["run"], once["cell"], strict=True)))
    confirm = confirm.assign(cell=cell.astype("int64"), failed=confirm["status"] != "finished")
    for column in PLATFORM:
        kinds = once.groupby("cell")[column].nunique(dropna=False)
        for mixed in kinds[kinds > 1].index:
            runs = once[once["cell"] == mixed]
            told = ", ".join(f"{run} ({value})" for run, value in zip(runs["run"], runs[column], strict=True))
            what = column.removeprefix("provenance.")
            raise ValueError(
                f"runs to be averaged differ in {what}: {told}; delete the results of one {what} and run again"
            )
    return confirm


def confirmations(measurements: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows that estimates over seeds are made of, one per run and number, with `cell` and `failed`.

    Where a run failed, each of its test scores is the worst outcome: what its task's best constant answer was measured to
    score, or 8 bits per byte. Of its other numbers only what the network is and costs enters. `scaled_accuracy` stands
    beside every test accuracy whose floor was measured: 0 is the best constant answer, 1 is perfect.
    """
    confirm = confirming_runs(measurements)
    kept = confirm[confirm["name"].notna() & (~confirm["failed"] | confirm["name"].isin(COUNTS))]
    references = measurements[measurements["role"] == "reference"]
    worst = _worst(confirm, references=references)
    table = pd.concat([kept, worst], ignore_index=True) if len(worst) else kept
    scaled = _scaled(table, references=references)
    table = pd.concat([table, scaled], ignore_index=True) if len(scaled) else table
    return table.drop_duplicates(["run", "name", *at_columns(table)], ignore_index=True)


def _worst(confirm: pd.DataFrame, *, references: pd.DataFrame) -> pd.DataFrame:
    """Returns a row for every failed run and every test score that other runs of its task, or its references, have."""
    task, at = _task(confirm), at_columns(confirm)
    failed = confirm[confirm["failed"]].drop_duplicates("run").drop(columns=[*at, *NUMBER])
    if failed.empty:
        return failed
    tested = confirm[~confirm["failed"] & _has_a_worst(confirm)]
    stated = references.drop(columns="at.predictor").assign(**{"at.split": "test"})
    addresses = pd.concat([tested, stated])[[*task, *at, "name", "unit"]].drop_duplicates()
    floors = _floors(references)
    worst = failed.merge(addresses, on=task).merge(floors, on=[*task, *_point(floors), "name"], how="left")
    worst["value"] = worst.pop("floor").where(worst["name"] != "bits_per_byte", UNIFORM_BITS)
    unknown = sorted((set(failed["run"]) - set(worst["run"])) | set(worst.loc[worst["value"].isna(), "run"]))
    if unknown:
        raise ValueError(
            f"run {unknown[0]} failed, and no reference run tells what its task's best constant answer scores"
        )
    return worst


def _scaled(rows: pd.DataFrame, *, references: pd.DataFrame) -> pd.DataFrame:
    """Returns `scaled_accuracy`, (accuracy - floor) / (1 - floor), with the floor measured on the same test."""
    tested = rows[(rows["name"] == "accuracy") & (rows.get("at.split") == "test")]
    if tested.empty or references.empty:
        return tested.iloc[:0]
    floors = _floors(references[references["name"] == "accuracy"])
    scaled = tested.merge(floors, on=[*_task(tested), *_point(floors), "name"])
    scaled = scaled[scaled["floor"] < 1]
    floor = scaled.pop("floor")
    return scaled.assign(name="scaled_accuracy", value=(scaled["value"] - floor) / (1 - floor))


def _floors(references: pd.DataFrame) -> pd.DataFrame:
    """Returns, by task, point and name, what reading nothing scores."""
    found = references[references["at.predictor"].isin(FLOORS)].rename(columns={"value": "floor"})
    return found[[*_task(found), *_point(found), "name", "floor"]].drop_duplicates(
        [*_task(found), *_point(found), "name"]
    )


def _task(rows: pd.DataFrame) -> list[str]:
    return [field for field in field_columns(rows) if field.startswith("task.")]


def _point(rows: pd.DataFrame) -> list[str]:
    """Returns the columns that say at which point of an evaluation's grid a number was measured."""
    return [column for column in at_columns(rows) if column not in NOT_POINTS]


def _has_a_worst(rows: pd.DataFrame) -> pd.Series:
    """Returns which rows are test scores."""
    return rows["name"].isin(SCORES) & (rows["at.split"] == "test" if "at.split" in rows.columns else False)
