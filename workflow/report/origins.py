"""Where, when and how results were made: what is wrong with that, what failed, which machines, versions and commits."""

import pandas as pd

from workflow.captions import ENDED
from workflow.planfile import PlanFile
from workflow.points import Labels, columns_of
from workflow.report.markup import duration
from workflow.styles import described, words
from workflow.table import RATE
from workflow.tabular import Cell, Table
from workflow.tuning import tuning

ROLES = {
    "pretrain": "pretraining",
    "screen": "screening",
    "tune": "tuning",
    "confirm": "confirming",
    "profile": "profiling",
    "reference": "reference",
    "control": "control",
}
_MACHINE = (
    "device",
    "driver",
    "processor",
    "cores",
    "memory_bytes",
    "threads",
    "system",
    "python",
    "torch",
    "numpy",
    "lock",
)
_MADE = ("commit", "machine", "device", "python", "torch", "numpy", "lock")


def warnings(plan: PlanFile, *, measurements: pd.DataFrame) -> list[str]:
    """Returns what is wrong with the results of one experiment, in sentences."""
    runs = measurements.drop_duplicates("run")
    failed = runs[runs["status"] != "finished"]
    found = []
    for (role, status), group in failed.groupby(["role", "status"]):
        total = int((runs["role"] == role).sum())
        noun = "run" if total == 1 else "runs"
        found.append(f"{len(group)} of {total} {ROLES[role]} {noun} {ENDED[status]}.")
    if plan.tuned:
        trials = tuning(measurements, rates=plan.tuned)
        trials = Labels(trials, series=columns_of(trials, "network.mixer"), panels=[]).put_on(trials)
        edge = set(trials.loc[trials["edge"], "series"])
        told = "every mixer" if edge == set(trials["series"]) else "; ".join(sorted(edge))
        if edge:
            found.append(
                f"The learning rate chosen is the lowest or highest tried for {told}: a better one may lie beyond."
            )
    machines = runs.groupby("role")["provenance.machine"].nunique()
    for role in machines[machines > 1].index:
        found.append(f"The {ROLES[role]} runs come from {machines[role]} machines.")
    return found


def common_warnings(runs: pd.DataFrame) -> list[str]:
    """Returns what is wrong with where the results were made."""
    found = []
    commits = runs["provenance.commit"].fillna("")
    dirty = int(commits.str.endswith("+").sum())
    if dirty:
        found.append(f"{dirty} of {len(runs)} results were made by code that differs from its commit (marked +).")
    if (commits == "").any():
        found.append(
            f"{int((commits == '').sum())} of {len(runs)} results were made outside a checkout: no commit is known."
        )
    for name in ("device", "torch"):
        kinds = sorted(set(runs[f"provenance.{name}"]))
        if len(kinds) > 1:
            found.append(f"The results were made with more than one {name}: {', '.join(kinds)}.")
    return found


def ran_table(runs: pd.DataFrame) -> Table:
    """Returns how many runs of each part ended how, and how long they took; every planned run is counted."""
    groups = runs.groupby(["role", "status"])["provenance.seconds"].agg(["size", "sum"]).reset_index()
    rows = [
        [ROLES[role], words(status), str(count), duration(seconds)] for role, status, count, seconds in _tuples(groups)
    ]
    note = f"All planned: {len(runs)} runs, {duration(float(runs['provenance.seconds'].sum()))} of computation."
    return _table("What was run", ["Part", "Ended", "Runs", "Time"], rows, named=2, note=note)


def failure_table(plan: PlanFile, *, runs: pd.DataFrame) -> Table:
    """Returns a row per run that did not finish: which it is, how it ended, and what it said."""
    failed = runs[runs["status"] != "finished"]
    settings = _settings(plan, runs)[failed.index]
    rows = [
        [run, ROLES[role], setting, words(status), "" if pd.isna(detail) else detail]
        for run, role, status, detail, setting in _tuples(
            failed[["run", "role", "status", "detail"]].assign(said=settings)
        )
    ]
    return _table("Runs that failed", ["Run", "Part", "Settings", "Ended", "Detail"], rows, named=5, note="")


def made_table(runs: pd.DataFrame) -> Table:
    """Returns by which code, on which machine and with which versions runs were made: how many of each part, how long."""
    columns = [f"provenance.{name}" for name in _MADE]
    rows = []
    for made, group in runs.groupby(columns, dropna=False, sort=True):
        parts = group["role"].value_counts()
        told = ", ".join(f"{parts[role]} {said}" for role, said in ROLES.items() if role in parts)
        names = ["unknown" if pd.isna(value) else str(value) for value in made]
        rows.append([*names, told, duration(float(group["provenance.seconds"].sum()))])
    head = ["Commit", "Machine", "Device", "Python", "torch", "numpy", "Lock", "Runs", "Time"]
    return _table(
        "Where it was run", head, rows, named=8, note="A commit marked + had changes that were not committed."
    )


def machine_table(runs: pd.DataFrame) -> Table:
    """Returns a row per kind of machine and versions, with how many machines and runs."""
    columns = [f"provenance.{name}" for name in _MACHINE]
    groups = runs.groupby(columns, dropna=False, sort=True)
    found = groups.agg(machines=("provenance.machine", "nunique"), runs=("run", "size")).reset_index()
    rows = []
    for device, driver, processor, cores, memory, threads, system, *versions, machines, count in _tuples(found):
        python, torch, numpy, lock = map(str, versions)
        shown = device if pd.isna(driver) else f"{device}, {driver}"
        told = f"Python {python}, torch {torch}, numpy {numpy}, lock {lock}"
        gigabytes = f"{memory / 2**30:.0f} GiB"
        rows.append([shown, processor, system, told, *map(str, (cores, gigabytes, threads, machines, count))])
    head = ["Device", "Processor", "System", "Versions", "Cores", "Memory", "Threads", "Machines", "Runs"]
    return _table("Machines and versions", head, rows, named=4, note=_commits(runs))


def _settings(plan: PlanFile, runs: pd.DataFrame) -> pd.Series:
    """Returns what network each run had, and in what else it differs from the others."""
    named = runs[runs["network.mixer.name"].notna()]
    lines = Labels(named, series=columns_of(named, "network.mixer"), panels=[]).put_on(named)["series"]
    varied = [column for path in plan.varied if path != "network.mixer" for column in columns_of(runs, path)]
    rest = described(runs, [*varied, *(column for column in ("seed", RATE) if column in runs.columns)])
    told = zip(lines.reindex(runs.index).fillna(""), rest, strict=True)
    return pd.Series([", ".join(part for part in parts if part) for parts in told], index=runs.index)


def _commits(runs: pd.DataFrame) -> str:
    counts = runs["provenance.commit"].fillna("unknown").value_counts()
    told = [f"{commit} ({counts[commit]} runs)" for commit in sorted(counts.index)]
    return f"Code by commit: {', '.join(told)}."


def _table(title: str, head: list[str], rows: list[list[str]], *, named: int, note: str) -> Table:
    return Table(title, head, [[Cell(text) for text in row] for row in rows], named, "", 0, note)


def _tuples(frame: pd.DataFrame) -> list[tuple]:
    return list(frame.itertuples(index=False, name=None))
