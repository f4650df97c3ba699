"""The tables of verdicts and controls, as they stand in a paper."""

import pandas as pd

from workflow.paper.numerals import slug
from workflow.report.controls import control_table
from workflow.report.verdicts import VERDICTS, interval_text, p_text, registration, summary
from workflow.styles import DASH, sentence
from workflow.tabular import Cell, Table

CONTROLS, VERDICTS_TABLE = "controls", "verdicts"
READING = (
    "Estimates with their intervals, and the region in which the claim has them; p after Holm's correction over the "
    "family. Inconclusive: the data are in accord with the claim and with its opposite."
)


def claim_tables(verdicts: pd.DataFrame, controls: pd.DataFrame) -> dict[str, Table]:
    """Returns by name: how many claims of each family have which verdict, each family's claims, and the controls."""
    found = {VERDICTS_TABLE: _counts(verdicts)}
    for family, rows in verdicts.groupby("family", sort=False):
        found[f"{VERDICTS_TABLE}-{slug(str(family))}"] = _claims(str(family), rows)
    if len(controls):
        found[CONTROLS] = _without_empty(control_table(controls))
    return found


def _counts(verdicts: pd.DataFrame) -> Table:
    counts = pd.crosstab(verdicts["family"], verdicts["verdict"]).reindex(columns=list(VERDICTS), fill_value=0)
    counts = counts.reindex(verdicts["family"].drop_duplicates())
    rows = [[Cell(sentence(str(family))), *(Cell(_count(n)) for n in row)] for family, *row in counts.itertuples()]
    rows.append([Cell("All"), *(Cell(_count(n)) for n in counts.sum())])
    note = f"{summary(verdicts)} {registration(verdicts)}"
    return Table("Claims by verdict", ["Family", *map(sentence, VERDICTS)], rows, 1, "", 0, note)


def _count(count: int) -> str:
    return str(count) if count else DASH


def _claims(family: str, verdicts: pd.DataFrame) -> Table:
    """Returns a row per claim: what was claimed, what was found, and the verdict."""
    head = ["Claim", "Verdict", "Estimate", "Claimed", "n", "p"]
    rows = []
    for _, row in verdicts.iterrows():
        unit = row["unit"] if pd.notna(row["unit"]) else ""
        numbers = [float(row[name]) for name in ("value", "low", "high")]
        n = DASH if pd.isna(row["n"]) else f"{row['n']:.0f}"
        why = row["reason"] if row["verdict"] == "not evaluable" and pd.notna(row["reason"]) else ""
        texts = [interval_text(*numbers, unit=unit), row["region"], n, p_text(row["p_holm"])]
        rows.append([Cell(row["statement"], remark=why), Cell(row["verdict"]), *map(Cell, texts)])
    return Table(f"Claims about {family}", head, rows, 2, "", 0, READING)


def _without_empty(table: Table) -> Table:
    """Returns the table without columns in which nothing is told."""
    kept = [
        place
        for place in range(len(table.head))
        if place < table.named or any(row[place].text != DASH for row in table.rows)
    ]
    return table._replace(
        head=[table.head[place] for place in kept], rows=[[row[place] for place in kept] for row in table.rows]
    )
