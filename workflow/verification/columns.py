"""What the columns of the tables hold, said once for all who describe them."""

from typing import Literal

import pandas as pd

Kind = Literal["text", "integer", "number", "boolean"]

_SAID = {
    "experiment": "Name of the experiment, a file in workflow/experiments",
    "scale": "Scale at which the experiment was run: smoke, quick or paper",
    "role": "Part of the run in the experiment: screen, tune, confirm, profile, reference or control",
    "run": "Name of the run: a digest of its specification and of the code that decides its result",
    "kind": "Kind of run: training, profiling or reference",
    "status": "How the run ended: finished, or how it failed",
    "detail": "What a reader should know about a status other than finished",
    "name": "What was measured",
    "value": "The number, in the unit of its row",
    "unit": "Unit of the number",
    "low": "Lower end of the interval",
    "high": "Upper end of the interval",
    "deviation": "Standard deviation between seeds",
    "p5": "5 % quantile of the time samples",
    "p95": "95 % quantile of the time samples",
    "interval": "What kind of interval low and high are of",
    "n": "How many runs, samples or lengths are behind the value",
    "failed": "How many of the runs failed",
    "machines": "On how many machines it was measured",
    "claim": "Name of the claim",
    "control": "Which control: oracle, chance, duplicate or handicapped",
    "family": "Family within which p values are adjusted",
    "statement": "What is claimed",
    "source": "Who claims it, and where",
    "scope": "What the verdict is about",
    "estimand": "What is estimated to judge the claim",
    "region": "Where the estimand lies if the claim is true",
    "level": "Confidence level of the interval",
    "p": "P value of the test",
    "p_holm": "P value after Holm's correction within the family",
    "verdict": "supported, refuted, inconclusive or not evaluable",
    "reason": "The precondition that failed, or what a reader should know",
    "detectable": "Smallest difference that would be found in eight of ten cases",
    "seeds_needed": "How many seeds would make the difference detectable",
    "registered": "Whether the claim was stated before its runs",
    "runs": "Names of the runs behind the value, with spaces between them",
    "sentence": "The verdict in a sentence",
}
_SAID_BY_PREFIX = {
    "at.": "Address of the number: ",
    "provenance.": "Where and with what the number was made: ",
    "task.": "Specification of the task: ",
    "network.": "Specification of the network: ",
    "optimizer.": "Specification of the optimizer: ",
    "evaluation.": "Specification of the evaluation: ",
}


def description(column: str) -> str:
    """Returns what a column holds, in a sentence."""
    if column in _SAID:
        return _SAID[column]
    prefix = next((prefix for prefix in _SAID_BY_PREFIX if column.startswith(prefix)), "")
    words = column.removeprefix(prefix).replace("_", " ").replace(".", ", ")
    return f"{_SAID_BY_PREFIX.get(prefix, 'Of the run or row: ')}{words}"


def kind(values: pd.Series) -> Kind:
    """Returns what the cells of a column are, as a whole."""
    if values.dtype.kind == "b":
        return "boolean"
    if values.dtype.kind == "i":
        return "integer"
    return "number" if values.dtype.kind == "f" and values.notna().any() else "text"
