"""What the table of laws says, in sentences and in rows of text. No number and no name is typed in."""

from collections.abc import Iterable

import pandas as pd

from workflow.styles import DASH, number, sentence, uncertain

PARAMETRIC, ISOFLOP = "parametric", "isoflop"
_EXPONENTS = ("alpha", "beta", "a", "size_exponent", "loss_exponent")
_UNCERTAIN = 2.0  # residuals so many times what seeds differ by are the law's own

Rows = tuple[list[str], list[list[str]], str]


def sentences(laws: pd.DataFrame) -> list[str]:
    """Returns what was found: the fit of every line, how far it reaches, the best size, whose loss falls faster."""
    lines = list(dict.fromkeys(laws["line"]))
    parametric, isoflop = laws[laws["law"] == PARAMETRIC], laws[laws["law"] == ISOFLOP]
    return [
        *(_fit(line, parametric[parametric["line"] == line].set_index("parameter", drop=False)) for line in lines),
        _by_line(
            _one(parametric, "holdout"),
            "At the largest compute, a law fitted to all else predicts a loss that is off by",
            percent=True,
        ),
        _by_line(_one(isoflop, "size_exponent"), "The best number of parameters grows with compute to the power"),
        *_losses(isoflop),
        *_order(_one(isoflop, "loss_exponent")),
    ]


def rows(laws: pd.DataFrame) -> Rows:
    """Returns a head, a row per number, and a note."""
    head = ["Law", "Mixer", "Number", "Value", "Runs", "Verdict"]
    cells = [
        [
            f"{row['law']}{'' if pd.isna(row['compute']) else f', {_compute(row)}'}",
            row["line"],
            row["parameter"].replace("_", " "),
            DASH if pd.isna(row["value"]) else _value(row),
            f"{row['n']:.0f}",
            ": ".join(part for part in (row["verdict"], row["reason"]) if isinstance(part, str)),
        ]
        for _, row in laws.iterrows()
    ]
    kinds = [kind for kind in dict.fromkeys(laws["interval"]) if kind != "none"]
    return head, cells, f"Intervals: {'; '.join(kinds)}. {_searched(laws)}".strip()


def _searched(laws: pd.DataFrame) -> str:
    """Returns how well the starts agree and how flat the loss is where they end."""
    fits = laws[laws["starts"].notna()].drop_duplicates("line")
    if fits.empty:
        return ""
    told = [f"{row['line']} {row['share'] * 100:.0f} %" for _, row in fits.iterrows()]
    return (
        f"Of {_span(fits['starts'])} starts, so many reached the best basin: {', '.join(told)}; the summed loss's largest "
        f"gradient there is at most {fits['gradient'].max():.0e}."
    )


def _fit(line: str, found: pd.DataFrame) -> str:
    """Returns what L(N, D) of one line is, and what of it is not identified."""
    told, unknown = [], {}
    for name in ("E", "alpha", "beta", "a"):
        row = found.loc[name]
        if isinstance(row["reason"], str):
            unknown.setdefault(row["reason"], []).append(name)
        else:
            told.append(f"{name} = {_value(row)}{' bit/byte' if name == 'E' else ''}")
    lacking = [f"{_listed(names)} not identified ({reason})" for reason, names in unknown.items()]
    said = f"{sentence(line)}, L = E + A / N^alpha + B / D^beta: {'; '.join([*told, *lacking])}."
    residual, spread = found.loc["residual", "value"], found.loc["spread", "value"]
    if pd.isna(residual) or pd.isna(spread):
        return said
    misses = ", so the law is not the whole of it" if residual > _UNCERTAIN * spread else ""
    return f"{said} Runs are {residual * 100:.1f} % off the law, seeds {spread * 100:.1f} % off their mean{misses}."


def _by_line(chosen: pd.DataFrame, lead: str, *, percent: bool = False) -> str:
    """Returns a number of every line, or why it has none."""
    parts = [
        f"{row['line']} not identified ({row['reason']})"
        if pd.isna(row["value"])
        else f"{row['line']} {_value(row, factor=100.0 if percent else 1.0)}{' %' if percent else ''}"
        for _, row in chosen.iterrows()
    ]
    return f"{lead}: {'; '.join(parts)}."


def _losses(isoflop: pd.DataFrame) -> Iterable[str]:
    """Yields a sentence for the largest budget: the loss at the best size of every line that has one."""
    chosen = isoflop[(isoflop["parameter"] == "loss") & isoflop["compute"].notna()]
    last = chosen[chosen["compute"] >= 0.9 * chosen["compute"].max()]
    told = last[last["value"].notna()].sort_values("value")
    if len(told):
        parts = [f"{row['line']} {_value(row)}" for _, row in told.iterrows()]
        yield f"At the best size for {_compute(told.iloc[0])}, bits per byte: {'; '.join(parts)}."
    missing = last[last["value"].isna()]
    if len(missing):
        parts = [f"{row['line']} ({row['reason']})" for _, row in missing.iterrows()]
        yield f"At the largest compute the runs show no best size of {_listed(parts)}."


def _order(exponents: pd.DataFrame) -> Iterable[str]:
    """Yields how the loss at the best size falls with compute, and whose falls faster where intervals are apart."""
    yield _by_line(exponents, "The loss at the best size changes with compute to the power")
    told = exponents[exponents["value"].notna()].sort_values("value")
    pairs = [
        f"that of {one['line']} falls faster than that of {other['line']}"
        for place, (_, one) in enumerate(told.iterrows())
        for _, other in told.iloc[place + 1 :].iterrows()
        if one["high"] < other["low"]
    ]
    if pairs:
        yield f"{sentence('; '.join(pairs))}."
    elif len(exponents) > 1:
        yield "No two of these intervals are there and apart: whose falls faster is open."


def _one(rows: pd.DataFrame, parameter: str) -> pd.DataFrame:
    return rows[rows["parameter"] == parameter]


def _value(row: pd.Series, *, factor: float = 1.0) -> str:
    if pd.isna(row["low"]) or row["parameter"] not in ("A", "B", "size", "size_coefficient"):
        return uncertain(row, factor=factor)
    return f"{row['value']:.3g} [{row['low']:.3g}, {row['high']:.3g}]".replace("e+0", "e").replace("e+", "e")


def _compute(row: pd.Series) -> str:
    return f"{row['compute']:.2g} FLOP".replace("e+0", "e").replace("e+", "e")


def _span(values: pd.Series) -> str:
    low, high = values.min(), values.max()
    return number(low) if low == high else f"{number(low)}{DASH}{number(high)}"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
