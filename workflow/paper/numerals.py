"""Every number that a figure, a table or a verdict shows, by a key that can be typed in a sentence.

A key is the experiment, the line, the panel, what figure and axis leave to say, and the measurement, in words joined by
hyphens and dots: `recall.mlstm-key-32.pairs-8.accuracy`, `cost.attention.decode.length-64.seconds`. Verdicts are
`claim.<id>` and, in parts, `claim.<id>.value`, `.p`, `.p-holm`, `.detectable`, `.seeds-needed`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from workflow.paper.records import Paper, Record
from workflow.planfile import Figure
from workflow.points import Labels, Points, columns_of, key, points
from workflow.report.markup import duration
from workflow.scaling.told import COSTS
from workflow.styles import DASH, decimals, exact, number, words
from workflow.table import RATE, TUNED_BY, at_columns, field_columns
from workflow.tabular import FAIRNESS

_RANGE = re.compile(rf"(-?[\d,.]+)(?:{DASH}(-?[\d,.]+))?$")
_PLAIN = ("1", "fraction", "count", "")


class Number(NamedTuple):
    """A number as it is printed, `text` and `interval`, and as it was measured, in the same unit; `runs` are behind it.

    One that is a word, a verdict or how a run ended, has no value.
    """

    key: str
    text: str
    interval: str
    value: float | None
    low: float | None
    high: float | None
    n: int | None
    unit: str
    experiment: str
    runs: tuple[str, ...]
    rounding: int | None  # decimals


def numbers(paper: Paper) -> dict[str, Number]:
    """Returns every number by key, in order; ValueError where two that differ would have one key."""
    found: dict[str, Number] = {}
    for record in paper.records:
        runs = _Runs(record.measurements)
        for each in (
            *_shown(record, runs),
            *_fairness(record),
            *_growth(record, runs),
            *_laws(record),
            *_controls(record),
        ):
            _put(found, each)
        for each in _drawn(record, found):
            _put(found, each)
        _put(found, _said((record.name, "runs"), str(len(record.runs)), experiment=record.name))
        failed = int((record.runs["status"] != "finished").sum())
        _put(found, _said((record.name, "runs-failed"), str(failed), experiment=record.name))
        seconds = float(record.runs["provenance.seconds"].sum())
        _put(found, _said((record.name, "time"), duration(seconds), experiment=record.name))
    for each in _verdicts(paper.verdicts):
        _put(found, each)
    return found


def slug(text: str) -> str:
    """Returns the words of a text, in small letters, joined by hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _put(found: dict[str, Number], each: Number) -> None:
    known = found.setdefault(each.key, each)
    same = (known.value, known.unit) == (each.value, each.unit) or known.unit != each.unit
    if not same and not (known.value is None and known.text == each.text):
        raise ValueError(
            f"{each.key} would be {known.text} and {each.text}: let the figures' panels or where tell them apart"
        )


class _Runs:
    """Finds the runs behind rows by the fields that these have."""

    def __init__(self, measurements: pd.DataFrame):
        self._runs = measurements.drop_duplicates("run", ignore_index=True)

    def behind(self, rows: pd.DataFrame) -> list[tuple[str, ...]]:
        """Returns, for each row, the runs that have its fields and its role."""
        fields = [field for field in field_columns(self._runs) if field not in ("seed", RATE, TUNED_BY)]
        shared = ["role", *(field for field in fields if field in rows.columns)]
        found = self._runs.groupby(key(self._runs, shared))["run"].agg(lambda runs: tuple(sorted(runs))).to_dict()
        return [found.get(place, ()) for place in key(rows, shared)]


def _shown(record: Record, runs: _Runs) -> Iterable[Number]:
    """Yields what the figures of the plan, and the tables beside them, show."""
    for figure in record.plan.figures.values():
        of_seeds = [figure.model_copy(update={"y": "solved"})] if figure.y == "accuracy" else []
        for each in (figure, *of_seeds):
            yield from _of_points(record, each, points(each, record.measured), runs)


def _of_points(record: Record, figure: Figure, shown: Points, runs: _Runs) -> Iterable[Number]:
    rows = shown.estimates
    varies = not _of_another(figure, record) or rows.duplicated(["panel", "series"]).any()

    def place(series: str, panel: str, x: object) -> tuple[str, ...]:
        parts = [series, *([panel] if len(shown.panels) > 1 else []), *_where(figure.where)]
        return (record.name, *parts, *([_at(figure, x)] if varies and not shown.by_line else []))

    for row, behind in zip(rows.to_dict("records"), runs.behind(rows), strict=True):
        where = (*place(row["series"], row["panel"], row["x"]), figure.y)
        yield _number(where, row, n=row["n"], factor=shown.y.factor, unit=shown.y.unit, runs=behind, record=record)
    for row in shown.failures.itertuples():
        if pd.notna(row.x):
            yield _said((*place(row.series, row.panel, row.x), figure.y), words(row.status), experiment=record.name)
    for row in shown.references.itertuples():
        here = rows[(rows["panel"] == row.panel) & (rows["x"] == row.x)]
        task = here[[column for column in here.columns if column.startswith("task.")]].assign(role="reference").head(1)
        where = (*place(f"no network {row.predictor}", row.panel, row.x), figure.y)
        told = {"value": row.value, "low": np.nan, "high": np.nan}
        behind = runs.behind(task)[0]
        yield _number(where, told, n=None, factor=shown.y.factor, unit=shown.y.unit, runs=behind, record=record)


def _of_another(figure: Figure, record: Record) -> bool:
    """Returns whether x is another measurement, which places no number by itself."""
    placed = columns_of(record.estimates, figure.x) or figure.x in at_columns(record.estimates)
    return not placed


def _at(figure: Figure, x: object) -> str:
    return str(x) if isinstance(x, str) else f"{figure.x.rpartition('.')[2]} {number(float(x))}"


def _where(where: dict[str, object]) -> list[str]:
    """Returns the settings that a figure fixes, the last word of each field and its value."""
    told: list[str] = []
    for field, value in where.items():
        told += _where(value) if isinstance(value, dict) else [f"{field.rpartition('.')[2]} {value}"]
    return told


def _fairness(record: Record) -> Iterable[Number]:
    """Yields what the table of fairness says: what each network is, costs and was given."""
    table = record.tables[FAIRNESS]
    runs = record.runs[record.runs["role"].isin(["confirm", "profile"])]
    lines = Labels(runs, series=columns_of(runs, "network.mixer"), panels=[]).put_on(runs)
    behind = lines.groupby("series")["run"].agg(lambda names: tuple(sorted(names))).to_dict()
    for row in table.rows:
        for head, cell in zip(table.head[1:], row[1:], strict=True):
            name, _, unit = head.removesuffix(")").partition(" (")
            if cell.text != DASH:
                where = (record.name, row[0].text, name)
                told = _said(where, cell.text, experiment=record.name)
                ends = [float(end.replace(",", "")) for end in _ends(cell.text)]
                value = ends[0] if len(ends) == 1 else None
                low, high = ends if len(ends) == 2 else (None, None)
                yield told._replace(value=value, low=low, high=high, unit=unit, runs=behind.get(row[0].text, ()))


def _ends(text: str) -> list[str]:
    found = _RANGE.match(text)
    return [end for end in found.groups() if end] if found else []


def _growth(record: Record, runs: _Runs) -> Iterable[Number]:
    """Yields how cost grows with length, and where lines cross."""
    laws, pairs = record.scaling, record.crossovers
    for row, behind in zip(laws.to_dict("records"), _behind(laws, runs), strict=True):
        where = (record.name, row["line"], row["panel"], COSTS[row["name"]])
        yield _said((*where, "growth"), row["verdict"], experiment=record.name)._replace(runs=behind)
        for part in ("", "first_", "last_", "beyond_"):
            told = {name: row[f"{part}{name}"] for name in ("low", "high")} | {"value": row[f"{part}exponent"]}
            if pd.notna(told["value"]):
                named = (*where, f"exponent {part}")
                yield _number(named, told, n=row["lengths"], factor=1.0, unit="", runs=behind, record=record)
    one, other = (
        _behind(pairs.rename(columns=lambda name, w=which: name.removeprefix(f"{w}.")), runs)
        for which in ("line", "other")
    )
    said: Counter[tuple[str, ...]] = Counter()
    for row, mine, theirs in zip(pairs.to_dict("records"), one, other, strict=True):
        if pd.notna(row["crossing"]):
            pair = (record.name, f"{row['line']} {row['other']}", row["panel"], COSTS[row["name"]])
            said[pair] += 1  # what was measured once may cross several times
            where = (*pair, f"crossing {said[pair]}" if said[pair] > 1 else "crossing")
            told = row | {"value": row["crossing"]}
            behind = tuple(sorted({*mine, *theirs}))
            yield _number(where, told, n=row["lengths"], factor=1.0, unit="tokens", runs=behind, record=record)


def _behind(rows: pd.DataFrame, runs: _Runs) -> list[tuple[str, ...]]:
    return runs.behind(rows.assign(role="profile")) if len(rows) else []


def _drawn(record: Record, found: dict[str, Number]) -> Iterable[Number]:
    """Yields what is drawn of what was profiled beside the figures of the plan, by line, panel and length."""
    behind = {each.key.rpartition(".")[0]: each.runs for each in found.values()}
    for drawing in record.drawings.values():
        if "length" in drawing.data.columns:
            columns = [name for name in drawing.data.columns if name not in ("panel", "series", "length")]
            for row in drawing.data.to_dict("records"):
                where = (record.name, row["series"], row["panel"], f"length {number(row['length'])}")
                runs = behind.get(_key(where), ())
                for name in columns:
                    told = {"value": row[name], "low": np.nan, "high": np.nan}
                    yield _number((*where, name), told, n=None, factor=1.0, unit="", runs=runs, record=record)


def _laws(record: Record) -> Iterable[Number]:
    """Yields how the loss falls with parameters, tokens and compute."""
    for row in record.laws.to_dict("records"):
        compute = f"compute {row['compute']:.2g}" if pd.notna(row["compute"]) else ""
        parameter = "size exponent" if row["parameter"] == "a" else row["parameter"]  # keys do not tell a from A
        where = (record.name, row["line"], row["law"], compute.replace("+", ""), parameter)
        runs = _named(row)
        yield _said((*where, "verdict"), row["verdict"], experiment=record.name)._replace(runs=runs)
        if pd.notna(row["value"]):
            unit = "" if row["unit"] in _PLAIN else row["unit"]
            yield _number(where, row, n=row["n"], factor=1.0, unit=unit, runs=runs, record=record)


def _controls(record: Record) -> Iterable[Number]:
    """Yields whether the controls behaved: by a network's runs and those it is compared with, by a predictor's references."""
    networks = {each.control: tuple(sorted({*each.runs, *each.of})) for each in record.plan.controls}
    references = tuple(sorted(run.id for run in record.plan.runs if run.role == "reference"))
    for row in record.controls.fillna({"of": "", "place": "", "metric": ""}).to_dict("records"):
        where = (record.name, "control", f"{row['control']} {row['of']}", row["place"], row["metric"])
        runs = networks.get(row["control"], ()) if row["of"] else references
        yield _said((*where, "behaved"), row["behaved"], experiment=record.name)._replace(runs=runs)
        if pd.notna(row["value"]):
            yield _number(where, row, n=None, factor=1.0, unit="", runs=runs, record=record)


def _verdicts(verdicts: pd.DataFrame) -> Iterable[Number]:
    for verdict, count in verdicts["verdict"].value_counts().sort_index().items():
        yield _said(("claims", str(verdict)), str(count), experiment="")
    yield _said(("claims", "all"), str(len(verdicts)), experiment="")
    for row in verdicts.to_dict("records"):
        where, home = ("claim", row["claim"]), row["experiment"] if pd.notna(row["experiment"]) else ""
        runs = _named(row)
        yield _said(where, row["verdict"], experiment=home)._replace(runs=runs)
        unit = row["unit"] if pd.notna(row["unit"]) and row["unit"] not in _PLAIN else ""
        if pd.notna(row["value"]):
            n = int(row["n"]) if pd.notna(row["n"]) else None
            yield _printed((*where, "value"), row, n=n, unit=unit, runs=runs, experiment=home)
        for name in ("p", "p_holm", "detectable", "seeds_needed"):
            if pd.notna(row[name]):
                told = {"value": row[name], "low": np.nan, "high": np.nan}
                said = _printed((*where, name), told, n=None, unit="", runs=runs, experiment=home)
                small = name.startswith("p") and row[name] < 0.001
                yield said._replace(text="below 0.001") if small else said


def _named(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(row["runs"].split()) if pd.notna(row["runs"]) else ()


def _number(
    where: Sequence[str],
    row: dict[str, float],
    *,
    n: int | None,
    factor: float,
    unit: str,
    runs: tuple[str, ...],
    record: Record,
) -> Number:
    scaled = {name: row[name] * factor for name in ("value", "low", "high")}
    return _printed(where, scaled, n=n, unit=unit, runs=runs, experiment=record.name)


def _printed(
    where: Sequence[str], row: dict[str, float], *, n: int | None, unit: str, runs: tuple[str, ...], experiment: str
) -> Number:
    """Returns a number with the digits that its interval allows."""
    value, low, high = (float(row[name]) for name in ("value", "low", "high"))
    digits = decimals(low, high)
    text = exact(value) if digits is None else f"{value:z,.{digits}f}"
    interval = "" if digits is None else f"[{low:z,.{digits}f}, {high:z,.{digits}f}]"
    ends = (None, None) if digits is None else (low, high)
    count = None if n is None else int(n)
    return Number(_key(where), text, interval, value, *ends, count, unit, experiment, runs, digits)


def _said(where: Sequence[str], text: str, *, experiment: str) -> Number:
    return Number(_key(where), text, "", None, None, None, None, "", experiment, (), None)


def _key(where: Sequence[str]) -> str:
    return ".".join(part for part in map(slug, where) if part)
