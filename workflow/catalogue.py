"""Estimates -> one table of every task: where its cell of an experiment lies, its floors and ceiling, and who scored what.

    python -m workflow.catalogue results/reference/quick

Reads `estimates.csv` of every experiment in the folder and prints Markdown. Scores are those on the task itself, means over
seeds, of networks trained on it alone at the rate chosen; mixers of one name stand side by side.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

from workflow.points import columns_of, key, yardsticks
from workflow.styles import BETTER_LOW, DASH, STYLES, exact, predictor, style
from workflow.table import at_columns, read_table

SCORES = ("accuracy", "bits_per_byte", "mse")
# What sets networks apart that were trained otherwise, and where they were not.
_OTHERWISE = {"optimizer.learning_rate.times": 1.0, "pretraining.steps": 0.0}
_UNTOLD = ("task.name", "task.corpus_sha256", "task.dataset_sha256", "task.tokenizer.sha256")


def catalogue(folder: Path) -> str:
    """Returns the table, in Markdown; ValueError if the folder has no estimates."""
    tables = {path.parent.name: read_table(path) for path in sorted(folder.glob("*/estimates.csv"))}
    rows = [row for name, table in tables.items() for row in _rows(name, table)]
    if not rows:
        raise ValueError(f"no estimates of trained networks below {folder}: run snakemake reproduce-all first")
    scored = dict.fromkeys(name for row in rows for name in row["mixers"])
    mixers = [*(name for name in STYLES if name in scored), *(name for name in scored if name not in STYLES)]
    head = [
        "task",
        "setting",
        "in",
        "score",
        "constant",
        "shortcut",
        "ceiling",
        *(style(name).label for name in mixers),
    ]
    lines = [head, [":--"] * 4 + ["--:"] * (len(head) - 4)]
    for row in sorted(rows, key=lambda row: (row["task"], row["setting"], row["in"])):
        scores = [row["mixers"].get(name, DASH) for name in mixers]
        lines.append(
            [row[name] for name in ("task", "setting", "in", "score", "constant", "shortcut", "ceiling")] + scores
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _rows(experiment: str, table: pd.DataFrame) -> list[dict]:
    fields = columns_of(table, "task")
    if not fields:
        return []
    own = (
        table[[column for column in at_columns(table) if column not in ("at.split", "at.predictor")]].isna().all(axis=1)
    )
    scored = table[own & table["name"].isin(SCORES) & table["value"].notna()]
    for column, usual in _OTHERWISE.items():
        if column in scored:
            scored = scored[scored[column].fillna(usual) == usual]
    scored = scored.assign(place=key(scored, fields))
    found = []
    for place, cell in scored[(scored["role"] == "confirm") & (scored["at.split"] == "test")].groupby(
        "place", sort=False
    ):
        (score,) = cell["name"].unique()
        references = scored[(scored["role"] == "reference") & (scored["place"] == place) & (scored["name"] == score)]
        first = cell.iloc[0]
        found.append(
            {
                "task": first["task.name"],
                "setting": _setting(first, fields),
                "in": experiment,
                "score": score.replace("_", " "),
                "mixers": {
                    str(name): " / ".join(exact(value) for value in alike["value"])
                    for name, alike in cell.groupby("network.mixer.name", sort=False)
                },
                **_floors(references, lower_is_better=score in BETTER_LOW),
            }
        )
    return found


def _setting(row: pd.Series, fields: list[str]) -> str:
    told = {field.removeprefix("task."): row[field] for field in fields if field not in _UNTOLD}
    return ", ".join(
        f"{name.replace('_', ' ')} {value:g}" if isinstance(value, float) else f"{name.replace('_', ' ')} {value}"
        for name, value in told.items()
        if not pd.isna(value)
    )


def _floors(references: pd.DataFrame, *, lower_is_better: bool) -> dict[str, str]:
    told = {"constant": DASH, "shortcut": DASH, "ceiling": DASH}
    named = references.rename(columns={"at.predictor": "predictor"}).assign(x="")
    constant, shortcut = yardsticks(named, lower_is_better=lower_is_better).values()
    if len(constant):
        told["constant"] = exact(constant.iloc[0])
    if len(shortcut):
        best = named[(named["value"] == shortcut.iloc[0]) & (named["predictor"] != "oracle")]["predictor"]
        told["shortcut"] = f"{exact(shortcut.iloc[0])} ({predictor(str(best.iloc[0]))})"
    oracle = named.loc[named["predictor"] == "oracle", "value"]
    return told | ({"ceiling": exact(oracle.iloc[0])} if len(oracle) else {})


def main() -> None:
    parser = argparse.ArgumentParser(description="Print the table of every task, its floors, and who scored what.")
    parser.add_argument("folder", type=Path, help="the results of a scale, as results/quick")
    arguments = parser.parse_args()
    try:
        print(catalogue(arguments.folder), end="")
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
