"""Claims in words: what is estimated, and what came of it."""

import math
from typing import Any

from workflow.claims.specs import Contrast, Crossing, Estimand, Exponent, Largest
from workflow.styles import number, sentence, words


def described(estimand: Estimand) -> str:
    """Returns what is estimated, of which runs."""
    match estimand:
        case Contrast():
            parts = [_where(item) for item in estimand.plus] + [f"less {_where(item)}" for item in estimand.minus]
            return f"{words(estimand.metric)} of {'; '.join(parts)}{_among(estimand.where)}"
        case Exponent():
            part = {"whole": "", "last": ", over the last factor of 8", "beyond": ", beyond a floor"}[estimand.part]
            return f"exponent of {words(estimand.cost)} over length{part}{_among(estimand.where)}"
        case Crossing():
            pair = f"{_where(estimand.of)} less than {_where(estimand.against)}"
            return f"length from which {words(estimand.cost)} is, for {pair}{_among(estimand.where)}"
        case Largest():
            return f"largest {words(estimand.metric)}{_among(estimand.where)}"
        case _:
            return ""


def said(row: dict[str, Any]) -> str:
    """Returns the verdict in a sentence, with the numbers it rests on or the reason why there is none."""
    if row["verdict"] == "not evaluable":
        return f"{row['statement']} Not evaluable: {row['reason']}."
    value = f"{row['censored']} {_number(row['value'])}".strip()
    interval = "" if _missing(row["low"]) else f" [{_number(row['low'])}, {_number(row['high'])}]"
    counted = f"{row['n']:.0f} {row['counted']}"
    p = "" if _missing(row["low"]) else f", p {_p(row['p_holm'])} after Holm"
    told = f"{row['statement']} {sentence(row['verdict'])}: {value}{interval}, claimed {row['region']} ({counted}{p})."
    if row["verdict"] != "inconclusive" or _missing(row["detectable"]):
        return told
    seeds = row["seeds_needed"]
    many = "" if _missing(seeds) else f"; were the difference as it is, {seeds:.0f} seeds would tell"
    return f"{told} What could be told is a difference of {_number(row['detectable'])} from that{many}."


def _where(item: dict[str, Any]) -> str:
    said = [f"{words(column)} {_value(value)}" for column, value in item.items() if not column.endswith("name")]
    names = [str(value) for column, value in item.items() if column.endswith("name")]
    return ", ".join([*names, *said])


def _among(where: dict[str, Any]) -> str:
    return f" where {_where(where)}" if where else ""


def _value(value: Any) -> str:
    return " or ".join(str(each) for each in value) if isinstance(value, list) else str(value)


def _number(value: float) -> str:
    return number(float(f"{value:.3g}"))


def _p(p: float) -> str:
    return "< .001" if p < 0.001 else f"{p:.2g}".removeprefix("0")


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
