"""`python -m workflow list`: what there is, a line each, in the words of its own documentation."""

import sys
from collections.abc import Iterable
from pathlib import Path

from tasks.presets import PRESETS
from workflow.adhoc.recipes import files
from workflow.adhoc.registry import Specs, architectures, mixers, tasks
from workflow.catalogue import catalogue

_REFERENCE = Path(__file__).parents[2] / "results" / "reference" / "quick"


def listed(what: str) -> str:
    """Returns the list of mixers, architectures, tasks, settings, experiments, or of the scores in the reference results."""
    match what:
        case "mixers":
            return _lines(_documented(mixers()))
        case "architectures":
            return _lines(_documented(architectures()))
        case "tasks":
            return _lines((name, _first(spec.__doc__)) for name, spec in sorted(tasks().items()))
        case "settings":
            return _lines((name, PRESETS[name].name) for name in sorted(PRESETS))
        case "experiments":
            apart = {name: " (apart: --config also=)" if file.spec.apart else "" for name, file in files().items()}
            return _lines((name, " ".join(files()[name].spec.question.split()) + apart[name]) for name in files())
        case _:
            return catalogue(_REFERENCE).rstrip("\n")


def documented(spec: type) -> str:
    """Returns what the file that defines a specification says first."""
    generic = getattr(spec, "__pydantic_generic_metadata__", {}).get("origin") or spec
    return _first(sys.modules[generic.__module__].__doc__)


def _documented(specs: Specs) -> Iterable[tuple[str, str]]:
    return ((name, documented(spec)) for name, spec in sorted(specs.items()))


def _first(text: str | None) -> str:
    return " ".join((text or "").strip().split("\n\n")[0].split())


def _lines(rows: Iterable[tuple[str, str]]) -> str:
    told = list(rows)
    wide = max(len(name) for name, _ in told)
    return "\n".join(f"{name:{wide}}  {said}" for name, said in told)
