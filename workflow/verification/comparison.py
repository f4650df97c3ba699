"""A fresh result set against a reference: whether every run, every estimate and every verdict is reproduced.

Levels: R0, the same run on the same platform, to the bit; R2, the same run on another, in its early losses; R3, each
estimate from other seeds or another machine (`matching`); R4, each verdict.
"""

from pathlib import Path

import pandas as pd

from workflow.table import read_table
from workflow.verification.golden import EARLY, NAME, golden
from workflow.verification.limits import EARLY_LOSS
from workflow.verification.matching import MISSING, NEW, NOT_JUDGED, NOT_REPRODUCED, REPRODUCED, matches

COLUMNS = (
    *("experiment", "level", "of", "unit", "reference", "fresh", "ratio", "low", "high", "n_reference", "n_fresh"),
    *("p", "p_holm", "detectable", "sensitive", "outcome", "reason"),
)
_LEVELS = {
    "R0": "runs, to the bit",
    "R2": "runs on another platform, early losses",
    "R3": "estimates",
    "R4": "verdicts",
}
_OUTCOMES = (REPRODUCED, NOT_REPRODUCED, NOT_JUDGED, MISSING, NEW)


def comparison(experiments: list[str], *, fresh: Path, reference: Path) -> pd.DataFrame:
    """Returns a row per run, estimate and verdict of the experiments that the reference has; ValueError if it has none.

    Runs are compared where the reference keeps golden.csv, verdicts where it keeps verdicts.csv.
    """
    experiments = [name for name in experiments if (reference / name / "estimates.csv").exists()]
    if not experiments:
        raise ValueError(f"{reference} holds none of these experiments: `keep` makes a reference of a result set")
    rows: list[dict[str, object]] = []
    for name in experiments:
        old, new = [read_table(folder / name / "estimates.csv") for folder in (reference, fresh)]
        kept = reference / name / NAME
        found = _runs(read_table(kept), golden(read_table(fresh / name / "measurements.csv"))) if kept.exists() else []
        rows += [{"experiment": name} | row for row in [*found, *matches(old, new)]]
    if (reference / "verdicts.csv").exists():
        old, new = [read_table(folder / "verdicts.csv") for folder in (reference, fresh)]
        rows += _verdicts(old[old["experiment"].isin(experiments)], new[new["experiment"].isin(experiments)])
    return pd.DataFrame(rows).reindex(columns=list(COLUMNS))


def _runs(old: pd.DataFrame, new: pd.DataFrame) -> list[dict[str, object]]:
    """Returns a row per run that both sets have: to the bit on one platform, in early losses on two."""
    both = old.merge(new, on=["run", "role", "of", "name", "at"], suffixes=("_old", "_new"))
    rows = []
    for run, numbers in both.groupby("run", sort=True):
        alike = (numbers["platform_old"] == numbers["platform_new"]).all()
        exact = alike and numbers["platform_old"].str.endswith("alone").all()
        kept = numbers if exact else numbers[numbers["of"] == EARLY]
        row = {"level": "R0" if exact else "R2", "of": f"run {run}", "n_reference": len(kept), "n_fresh": len(kept)}
        most = (kept["value_old"] - kept["value_new"]).abs().max()
        if kept.empty:
            rows.append(row | {"outcome": NOT_JUDGED, "reason": "another platform, and no early loss is kept"})
            continue
        same = most <= (0.0 if exact else EARLY_LOSS)
        reason = "" if same else f"numbers differ by up to {most:.2g}"
        rows.append(row | {"outcome": REPRODUCED if same else NOT_REPRODUCED, "reason": reason})
    return rows


def _verdicts(old: pd.DataFrame, new: pd.DataFrame) -> list[dict[str, object]]:
    before, after = [table.set_index("claim")["verdict"] for table in (old, new)]
    of = pd.concat([new, old]).drop_duplicates("claim").set_index("claim")["experiment"]
    rows = []
    for claim in sorted(of.index):
        was, now = before.get(claim), after.get(claim)
        outcome = NEW if was is None else MISSING if now is None else REPRODUCED if was == now else NOT_REPRODUCED
        reason = f"{was} became {now}" if outcome == NOT_REPRODUCED else ""
        rows.append({"experiment": of[claim], "level": "R4", "of": claim, "outcome": outcome, "reason": reason})
    return rows


def summary(table: pd.DataFrame) -> str:
    """Returns the counts by level and the ten rows furthest from their reference, as lines of text."""
    lines = []
    for level, told in _LEVELS.items():
        rows = table[table["level"] == level]
        counts = [
            f"{(rows['outcome'] == outcome).sum()} {outcome}"
            for outcome in _OUTCOMES
            if (rows["outcome"] == outcome).any()
        ]
        lines.append(f"{level} {told}: {', '.join(counts) or 'none compared'}")
    tested = table[table["sensitive"].isin(["yes", "no"])]
    blunt = int((tested["sensitive"] == "no").sum())
    if len(tested):
        lines.append(f"{blunt} of {len(tested)} tests would miss a difference as large as the reference's interval.")
    times = table[(table["level"] == "R3") & (table["unit"] == "s") & table["ratio"].notna()]["ratio"]
    if len(times):
        lines.append(
            f"Times, fresh / reference: median {times.median():.2f}, 5 to 95 % {times.quantile(0.05):.2f} to "
            f"{times.quantile(0.95):.2f}; never judged."
        )
    bad = table[table["outcome"] == NOT_REPRODUCED]
    worst = bad.assign(_rank=bad["p_holm"].fillna(0.0)).sort_values(["_rank", "level"], kind="stable").head(10)
    for row in worst.to_dict("records"):
        numbers = f" {row['reference']:.6g} -> {row['fresh']:.6g}" if pd.notna(row["reference"]) else ""
        lines.append(f"not reproduced: {row['experiment']}, {row['level']}, {row['of']}:{numbers} ({row['reason']})")
    return "\n".join(lines)
