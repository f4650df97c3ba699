"""The questions of the NeurIPS paper checklist, answered from the records as far as these tell."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd
import yaml

from workflow.captions import ENDED
from workflow.confirmations import SCORES
from workflow.paper.latex import printed
from workflow.paper.records import Paper
from workflow.report import controls
from workflow.report.markup import duration, listed
from workflow.report.origins import ROLES, common_warnings, warnings
from workflow.report.verdicts import registration, summary
from workflow.statistics.comparisons import detectable
from workflow.styles import number

YES, NO, NOT_APPLICABLE, UNKNOWN = "Yes", "No", "Does not apply", "Not answerable from the records"
_LICENCES = Path(__file__).parent / "licences.yaml"


class Item(NamedTuple):
    """A question, by its number in the checklist, and what the records answer."""

    number: int
    topic: str
    question: str
    answer: str
    told: str


def checklist(paper: Paper) -> list[Item]:
    """Returns all sixteen questions, answered or said not to be."""
    return [
        Item(1, "Claims", "Do abstract and introduction claim what is shown, and no more?", UNKNOWN, _claimed(paper)),
        Item(2, "Limitations", "Are the limits of the work told?", YES, _limits(paper)),
        Item(
            3,
            "Theory",
            "Has every theorem its assumptions and a proof?",
            NOT_APPLICABLE,
            "The records hold experiments only.",
        ),
        Item(4, "Reproducibility", "Is everything told that is needed to get the results again?", *_repeatable(paper)),
        Item(
            5,
            "Code and data",
            "Can others get code and data, and are they told how to run them?",
            UNKNOWN,
            _code(paper),
        ),
        Item(6, "Settings", "Are data splits, settings and how they were chosen told?", YES, _settings(paper)),
        Item(7, "Significance", "Are there intervals, and is it told what they are of?", *_intervals(paper)),
        Item(8, "Compute", "Is it told which machines the runs took, and how long?", YES, _compute(paper)),
        Item(9, "Ethics", "Does the work keep to the code of ethics?", UNKNOWN, ""),
        Item(10, "Impact", "Is it told whom the work may help or harm?", UNKNOWN, ""),
        Item(11, "Safeguards", "Is what could be misused released with safeguards?", UNKNOWN, ""),
        Item(12, "Licences", "Are the makers of what was used credited, and the terms kept to?", YES, _licences(paper)),
        Item(13, "New assets", "Is what is released with the paper documented?", UNKNOWN, ""),
        Item(14, "People", "Are instructions and pay of those who took part told?", NOT_APPLICABLE, _nobody()),
        Item(
            15,
            "Review of risks to people",
            "Had the study an approval, where people took part?",
            NOT_APPLICABLE,
            _nobody(),
        ),
        Item(16, "Language models", "Is their use told, where the method depends on it?", UNKNOWN, ""),
    ]


def markdown(items: list[Item]) -> str:
    """Returns checklist.md."""
    lines = ["# Checklist", ""]
    for item in items:
        lines += [f"{item.number}. **{item.topic}.** {item.question} **{item.answer}.** {item.told}".rstrip(), ""]
    return "\n".join(lines)


def latex(items: list[Item]) -> str:
    """Returns checklist.tex, an enumeration."""
    lines = [
        "% The questions of the NeurIPS paper checklist, by number; answered by workflow.paper.",
        "\\begin{enumerate}",
    ]
    for item in items:
        question = f"\\textbf{{{item.topic}.}} {printed(item.question)}"
        lines += [f"\\setcounter{{enumi}}{{{item.number - 1}}}\\item {question}\\\\"]
        lines += [f"\\textbf{{{item.answer}.}} {printed(item.told)}".rstrip()]
    return "\n".join([*lines, "\\end{enumerate}", ""])


def _claimed(paper: Paper) -> str:
    return (
        f"{summary(paper.verdicts)} {registration(paper.verdicts)} What a paper says beyond them is not in the records."
    )


def _limits(paper: Paper) -> str:
    seeds = sorted({int(n) for record in paper.records for n in _tested(record.estimates)["n"] if n > 1})
    told = [f"Networks and budgets are those of the scale {paper.scale}."]
    told += [
        f"With {n} seeds, a difference of {detectable(n):.1f} standard deviations between seeds is found in 8 of 10 cases."
        for n in seeds
    ]
    for record in paper.records:
        told += [f"{record.name}: {warning}" for warning in warnings(record.plan, measurements=record.measurements)]
    told += controls.misbehaved(paper.controls) if len(paper.controls) else []
    return " ".join([*told, *common_warnings(paper.runs)])


def _repeatable(paper: Paper) -> tuple[str, str]:
    runs = paper.runs
    commits = sorted(set(runs["provenance.commit"].fillna("unknown")))
    locks = sorted(set(runs["provenance.lock"].dropna()))
    known = not any(commit == "unknown" or commit.endswith("+") for commit in commits)
    told = (
        f"Each of {len(runs)} runs is named by a digest of its specification and of the code that decides its result; commits: "
        f"{', '.join(commits)}; lock files: {', '.join(locks) or 'none'}. "
        f"snakemake reproduce-all --config scale={paper.scale} makes all of it again."
    )
    return (
        YES if known else NO
    ), told if known else f"{told} A commit that is unknown, or marked +, cannot be checked out."


def _code(paper: Paper) -> str:
    return (
        "Data are generated by code or read by digest, see the question on licences; whether code and results are public is "
        f"not recorded. Folders named by run hold every specification and result at scale {paper.scale}."
    )


def _settings(paper: Paper) -> str:
    told = []
    for record in paper.records:
        counts = record.runs["role"].value_counts()
        parts = [f"{counts[role]} {said} runs" for role, said in ROLES.items() if role in counts]
        rates = ", ".join(f"{rate:g}" for rate in record.plan.tuned)
        tuned = f"; learning rates tried for every network: {rates}" if rates else ""
        told.append(f"{record.name}: {listed(parts)}{tuned}.")
    chosen = (
        "Learning rates are chosen on validation data; fresh seeds, which vary the initial weights and the training data, "
        "confirm the choice on test data that no choice has seen."
    )
    return " ".join([*([chosen] if any(record.plan.tuned for record in paper.records) else []), *told])


def _intervals(paper: Paper) -> tuple[str, str]:
    rows = pd.concat([record.estimates for record in paper.records])
    kinds = sorted(kind for kind in set(rows["interval"].dropna()) if not kind.startswith("none"))
    n = _tested(rows)["n"]
    seeds = (
        f" Scores are of {number(n.min())} to {number(n.max())} seeds each, which vary initial weights and training data."
        if len(n)
        else ""
    )
    tests = (
        " What is set in bold is not told apart from the best by Welch's t test after Holm's correction."
        if len(n)
        else ""
    )
    return (
        YES if kinds else NO
    ), f"Intervals: {'; '.join(kinds) or 'none'}.{' Captions say which.' if kinds else ''}{seeds}{tests}"


def _tested(estimates: pd.DataFrame) -> pd.DataFrame:
    rows = estimates[(estimates["role"] == "confirm") & estimates["name"].isin(SCORES)]
    return rows[rows["at.split"] == "test"] if len(rows) else rows


def _compute(paper: Paper) -> str:
    runs = paper.runs
    kinds = runs.groupby(
        ["provenance.device", "provenance.processor", "provenance.cores", "provenance.memory_bytes"], dropna=False
    )
    machines = [
        f"{device} ({processor}, {number(cores)} cores, {memory / 2**30:.0f} GiB): {len(group)} runs, "
        f"{duration(float(group['provenance.seconds'].sum()))}"
        for (device, processor, cores, memory), group in kinds
    ]
    each = [f"{record.name} {duration(float(record.runs['provenance.seconds'].sum()))}" for record in paper.records]
    failed = runs.loc[runs["status"] != "finished", "status"].value_counts().sort_index()
    ended = (
        listed([f"{count} {ENDED[str(status)]}" for status, count in failed.items()]) if len(failed) else "none failed"
    )
    return (
        f"{'; '.join(machines)}. By experiment, tuning and failed runs included: {', '.join(each)}. Of all runs, {ended}. "
        "Attempts whose results were deleted are not in the records."
    )


def _licences(paper: Paper) -> str:
    asked = yaml.safe_load(_LICENCES.read_text(encoding="utf-8"))
    runs, used = paper.runs, []
    for column, terms in asked.items():
        names = sorted(set(runs[column].dropna())) if column in runs.columns else []
        used += [terms[name] for name in names if name in terms]
    told = f"Not ours: {'; '.join(used)}." if used else "No data and no kernels of others were used."
    return f"{told} All other data are generated by the tasks. references.bib has the sources."


def _nobody() -> str:
    return "No run read data that people were asked for in this work."
