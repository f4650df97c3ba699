"""Measurements -> how the learning rates were chosen. What is found here enters no estimate."""

import numpy as np
import pandas as pd

from workflow.table import FIXED, RATE, TIMES, TUNED_BY, field_columns

UNTIL = "optimizer.until"


def tuning(measurements: pd.DataFrame, *, rates: tuple[float, ...]) -> pd.DataFrame:
    """Returns the trials behind every learning rate that was chosen, a row each, those of earlier rungs among them.

    Columns: `role`, which is `screen` for those; the trial's fields, its rate among them, and `optimizer.until`; `status`;
    `loss`, on validation data where the trial ended, none where it did not finish; `selected`, the rate chosen; `edge`,
    whether that is the lowest or highest of the plan's `rates`; and the choice by the names of its trials at the last rung.
    A trial that served two choices has two rows.
    """
    confirm = measurements[measurements["role"] == "confirm"]
    if TIMES in confirm.columns:  # what is trained at multiples of the rate chosen tells no other choice
        confirm = confirm[confirm[TIMES].isna() | (confirm[TIMES] == 1)]
    choices = confirm[[TUNED_BY, RATE]].dropna().drop_duplicates().rename(columns={RATE: "selected"})
    tune = measurements[measurements["role"].isin(["screen", "tune"])]
    chosen_from = {
        run: names.split() for run, names in zip(tune["run"], tune[TUNED_BY], strict=True) if pd.notna(names)
    }
    choices["run"] = [_behind(names.split(), chosen_from) for names in choices[TUNED_BY]]
    trials = tune[[*FIXED, *field_columns(tune)]].drop(columns=TUNED_BY).drop_duplicates("run")
    table = choices.explode("run").merge(trials, on="run").merge(_last_validation_loss(tune), on="run", how="left")
    table["loss"] = table["loss"].where(table["status"] == "finished", np.nan)
    table["edge"] = table["selected"].isin([min(rates), max(rates)]) if len(rates) > 1 else False
    return table.sort_values([TUNED_BY, RATE, "seed", UNTIL], ignore_index=True)


def _behind(trials: list[str], chosen_from: dict[str, list[str]]) -> list[str]:
    """Returns the trials, and those of all earlier rungs from which their learning rates were chosen."""
    earlier = dict.fromkeys(name for trial in trials for name in chosen_from.get(trial, []))
    return [*trials, *(_behind(list(earlier), chosen_from) if earlier else [])]


def _last_validation_loss(tune: pd.DataFrame) -> pd.DataFrame:
    """Returns `run` and `loss`, what the choice of the learning rate looks at."""
    losses = tune[(tune["name"] == "loss") & (tune["at.split"] == "validation")].sort_values("at.step", kind="stable")
    return losses.drop_duplicates("run", keep="last")[["run", "value"]].rename(columns={"value": "loss"})
