"""Measurements -> under what conditions things were timed: clock, temperature, load by others, energy, as the machine told."""

import pandas as pd

from workflow.points import Labels, columns_of, compared
from workflow.styles import DASH, sentence, words

_TOLD = ("clock", "temperature", "busy", "others", "joules_per_token")


def condition_rows(measurements: pd.DataFrame) -> tuple[list[str], list[list[str]], str]:
    """Returns a head, a row of text per line, and a note; a column per reading that the machine told, no row without any."""
    timed = measurements[measurements["role"] == "profile"]
    told = timed[timed["name"].isin(_TOLD)]
    if told.empty:
        return [], [], ""
    label = Labels(timed, series=columns_of(timed, "network.mixer"), panels=[])
    told = label.put_on(told)
    columns = _readings(told) | _energies(told[told["name"] == "joules_per_token"])
    rows = [[name, *(column.get(name, DASH) for column in columns.values())] for name in label.looks]
    return [sentence(compared(timed)), *columns], rows, _note(timed, told)


def _readings(told: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Returns, by column and line, what the rounds of all phases and lengths were timed under."""
    by_name = {name: rows.groupby("series")["value"] for name, rows in told.groupby("name")}
    found = {}
    if "clock" in by_name:
        found["Clock (GHz)"] = _ranges(by_name["clock"], factor=1e-9, digits=2)
    if "temperature" in by_name:
        found["Temperature (°C)"] = _ranges(by_name["temperature"], factor=1.0, digits=0)
    if "busy" in by_name:
        found["Others had, median (%)"] = _said(by_name["busy"].median() * 100, "{:z.1f}")
        found["Others had, most (%)"] = _said(by_name["busy"].max() * 100, "{:z.1f}")
    if "others" in by_name:
        found["Other processes, most"] = _said(by_name["others"].max(), "{:.0f}")
    return found


def _energies(told: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Returns, by phase and line, the energy of a token: medians of a run's rounds, a range over its lengths."""
    medians = told.groupby(["phase", "series", "run"], sort=False)["value"].median()
    return {
        f"Energy per token, {words(str(phase))} (mJ)": {
            str(name): _range(values * 1e3, "{:.3g}") for name, values in part.groupby("series")
        }
        for phase, part in medians.groupby("phase", sort=False)
    }


def _said(values: pd.Series, form: str) -> dict[str, str]:
    return {str(name): form.format(value) for name, value in values.items()}


def _ranges(values: pd.api.typing.SeriesGroupBy, *, factor: float, digits: int) -> dict[str, str]:
    return {str(name): _range(part * factor, f"{{:z.{digits}f}}") for name, part in values}


def _range(values: pd.Series, form: str) -> str:
    low, high = form.format(values.min()), form.format(values.max())
    return low if low == high else f"{low}{DASH}{high}"


def _note(timed: pd.DataFrame, told: pd.DataFrame) -> str:
    parts = ["Over all phases and lengths; a range is from the lowest to the highest."]
    if busy := _rounds(told, "busy"):
        all_rounds = _rounds(timed, "seconds")
        parts.append(
            "Others: their share of the machine's processors while a round was timed, "
            f"in the {busy} of {all_rounds} rounds that were long enough to tell."
        )
    if _rounds(told, "joules_per_token"):
        parts.append("Energy: of the whole device; a range is over the lengths.")
    return " ".join(parts)


def _rounds(rows: pd.DataFrame, name: str) -> int:
    return len(rows[rows["name"] == name].drop_duplicates(["run", "at.round"]))
