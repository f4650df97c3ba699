"""Verdicts and controls that nobody judged, for what reads them."""

from pathlib import Path

import pandas as pd

from workflow.table import write_table

_CLAIM = {
    "claim": "more-pairs",
    "family": "recall",
    "statement": "<b>mLSTM</b> & memory: more pairs are recalled.",
    "source": "a paper, section 2",
    "scope": "recall at one length",
    "experiment": "recall",
    "estimand": "accuracy of mLSTM less that of attention",
    "region": "above 0",
    "unit": "fraction",
    "value": 0.3,
    "censored": "",
    "low": 0.2,
    "high": 0.4,
    "level": 0.95,
    "p": 0.0001,
    "p_holm": 0.0004,
    "n": 3,
    "counted": "seeds",
    "verdict": "supported",
    "reason": "",
    "detectable": 0.12,
    "seeds_needed": None,
    "registered": "before the runs",
    "sentence": "The difference is 0.3.",
}
_NOTHING = dict.fromkeys(("value", "low", "high", "p", "p_holm", "n", "detectable"))
_OPEN = {"value": 0.04, "low": -0.06, "high": 0.14, "p": 0.2, "p_holm": 0.4, "seeds_needed": 20}
CLAIMS = [
    _CLAIM,
    _CLAIM | {"claim": "less", "verdict": "refuted", "region": "below 0", "registered": "unknown"},
    _CLAIM | {"claim": "open", "verdict": "inconclusive", "registered": "post hoc"} | _OPEN,
    _CLAIM | {"claim": "missing", "verdict": "not evaluable", "reason": "2 of 6 runs failed"} | _NOTHING,
    _CLAIM | {"claim": "linear", "family": "cost", "experiment": "cost", "region": "between 0.2 and 0.5"},
]
_CONTROL = {"experiment": "recall", "metric": "accuracy", "place": "recall at the test split", "reason": ""}
_CONTROLS = [
    _CONTROL | {"control": "oracle", "expected": "1", "value": 1.0, "low": 1.0, "high": 1.0, "against": 1.0},
    _CONTROL
    | {"control": "duplicate", "of": "mLSTM, key 16", "expected": "a tie", "value": 0.8, "low": 0.7, "high": 0.9}
    | {"against": 0.81, "p": 0.002},
    _CONTROL
    | {"control": "handicapped", "of": "Attention", "expected": "less", "value": 0.1, "low": 0.0, "high": 0.2}
    | {"against": 0.97, "p": 0.0001},
]


def leave_verdicts(folder: Path, *, runs: str = "") -> None:
    """Leaves a table with every verdict, by these runs."""
    write_table(pd.DataFrame(CLAIMS).assign(runs=runs), folder / "verdicts.csv")


def leave_controls(folder: Path, *, behaved: dict[str, str] | None = None) -> None:
    """Leaves the controls of an experiment, which behaved unless said otherwise, by control."""
    columns = ["experiment", "control", "of", "expected", "metric", "place", "value", "low", "high", "against", "p"]
    table = pd.DataFrame(_CONTROLS).reindex(columns=[*columns, "behaved", "reason"])
    table["behaved"] = [(behaved or {}).get(name, "yes") for name in table["control"]]
    table["reason"] = table["behaved"].map({"not run": "no network leaves the floor"})
    write_table(table, folder / "controls.csv")
