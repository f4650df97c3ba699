"""`python -m workflow check`: the contract of `models.mixer`, tried on a reader's own file."""

from collections.abc import Iterable
from pathlib import Path

from models.own import own_mixer
from workflow.adhoc.recipes import settings_of
from workflow.adhoc.terminal import table
from workflow.contract import checked
from workflow.entrants import mixers_of


def check(path: Path, words: Iterable[str], *, width: int) -> tuple[str, bool]:
    """Returns what of the contract each mixer of a file keeps, and whether that is all of it."""
    fields = {name: values[0] for name, values in settings_of(words).items()}
    told, kept = [], True
    for mixer in mixers_of(path, fields, offered={}):
        found = checked(own_mixer(mixer), width=width)
        kept = kept and not any(found.values())
        rows = [[name, problem or "yes"] for name, problem in found.items()]
        told += [f"{mixer['name']}, in float64, at width {width}", table(["asked", "kept"], rows), ""]
    told.append(
        "It can enter experiments: snakemake recall --config model=" + str(path) if kept else "Not all is kept."
    )
    return "\n".join(told), kept
