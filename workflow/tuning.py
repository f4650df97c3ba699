"""Measurements -> how the learning rates were chosen. What is found here enters no estimate."""

import numpy as np
import pandas as pd

from workflow.table import FIXED, RATE, TUNED_BY, field_columns


def tuning(measurements: pd.DataFrame, *, rates: tuple[float, ...]) -> pd.DataFrame:
    """Returns the trials behind every learning rate that was chosen, a row each.

    Columns: the trial's fields, its rate among them; `status`; `loss`, on validation data at the end of training, none
    where it did not finish; `selected`, the rate chosen; `edge`, whether that is the lowest or highest of the plan's
    `rates`; and the choice by the names of all its trials. A trial that served two choices has two rows.
    """
    confirm = measurements[measurements["role"] == "confirm"]
    choices = confirm[[TUNED_BY, RATE]].dropna().drop_duplicates().rename(columns={RATE: "selected"})
    choices["run"] = choices[TUNED_BY].str.split()
    tune = measurements[measurements["role"] == "tune"]
    trials = tune[[*FIXED, *field_columns(tune)]].drop(columns=TUNED_BY).drop_duplicates("run")
    table = choices.explode("run").merge(trials, on="run").merge(_last_validation_loss(tune), on="run", how="left")
    table["loss"] = table["loss"].where(table["status"] == "finished", np.nan)
    table["edge"] = table["selected"].isin([min(rates), max(rates)]) if len(rates) > 1 else False
    return table.sort_values([TUNED_BY, RATE, "seed"], ignore_index=True)


def _last_validation_loss(tune: pd.DataFrame) -> pd.DataFrame:
    """Returns `run` and `loss`, what the choice of the learning rate looks at."""
    losses = tune[(tune["name"] == "loss") & (tune["at.split"] == "validation")].sort_values("at.step", kind="stable")
    return losses.drop_duplicates("run", keep="last")[["run", "value"]].rename(columns={"value": "loss"})
