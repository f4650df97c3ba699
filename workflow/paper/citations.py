"""What is to be cited of what was used: `cited.yaml` says which entries of `sources.bib` a field's value stands for."""

import json
import re
from pathlib import Path

import pandas as pd
import yaml

_FOLDER = Path(__file__).parent
_PATTERN = "network.mixer.pattern"
_NAME = "network.mixer.name"
_DIGEST = "network.mixer.sha256"


def cited(runs: pd.DataFrame) -> list[str]:
    """Returns the keys of what the runs used, in the order of sources.bib; ValueError for a use that has no entry."""
    found: set[str] = set()
    for column, keys in uses().items():
        used = {str(value) for value in runs[column].dropna()} if column in runs.columns else set()
        if column == _NAME:
            used = (used | _members(runs)) - _own(runs)
        unknown = sorted(used - set(keys)) if column in (_NAME, "task.name") else []
        if unknown:
            raise ValueError(
                f"{column} {unknown[0]} is not in workflow/paper/cited.yaml: say there what to cite for it"
            )
        found |= {key for value in used for key in keys.get(value, [])}
    return [key for key in entries() if key in found]


def _own(runs: pd.DataFrame) -> set[str]:
    """Returns the mixers from files of a reader's own, who knows what to cite for them."""
    if _DIGEST not in runs.columns:
        return set()
    return set(runs.loc[runs[_DIGEST].notna(), _NAME])


def uses() -> dict[str, dict[str, list[str]]]:
    """Returns the keys of what is to be cited, by column of the table of measurements and value in it."""
    return yaml.safe_load((_FOLDER / "cited.yaml").read_text(encoding="utf-8"))


def entries() -> dict[str, str]:
    """Returns every entry of sources.bib by key."""
    text = (_FOLDER / "sources.bib").read_text(encoding="utf-8")
    return {found[2]: found[0] for found in re.finditer(r"^@(\w+)\{([^,]+),\n.*?^\}$", text, re.DOTALL | re.MULTILINE)}


def bibliography(keys: list[str]) -> str:
    """Returns references.bib."""
    every = entries()
    return "\n\n".join(every[key] for key in keys) + "\n"


def _members(runs: pd.DataFrame) -> set[str]:
    """Returns the mixers of which hybrids are made."""
    if _PATTERN not in runs.columns:
        return set()
    patterns = runs.loc[runs[_NAME] == "hybrid", _PATTERN].dropna().unique()
    return {part["name"] for pattern in patterns for part in json.loads(pattern)}
