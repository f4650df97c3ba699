"""Mixers of a reader's own files, as entrants: read, checked against the contract, and kept with the results.

`--config model="/home/me/gru.py"` adds every mixer of that file to the experiments. Words with `=` after a file set fields
of its mixers: `model="/home/me/gru.py hidden=32 /home/me/other.py name=mine"`, where `name` chooses one of several.
"""

import ast
import hashlib
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from models.mixer import MixerSpec
from models.own import DIGEST, models_folder, own_mixer, specs_of
from workflow.contract import broken
from workflow.files import write
from workflow.planfile import Tree, first_problem
from workflow.styles import STYLES


def entrants(text: str) -> tuple[Tree, ...]:
    """Returns the mixers that a line names, as experiment files write them; ValueError, in one line, if one cannot be used."""
    found: list[Tree] = []
    path: str | None = None
    fields: Tree = {}
    for word in [*shlex.split(text), ""]:
        name, equals, value = word.partition("=")
        if equals and path is not None and not word.endswith(".py"):
            fields[name] = value_of(value)
            continue
        if path is not None:
            found += entrants_of(Path(path), fields, offered={})
        path, fields = word, {}
    names = [mixer["name"] for mixer in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two mixers are called {twice[0]}: give one of them another name, in its specification")
    return tuple(found)


def entrants_of(path: Path, fields: Tree, *, offered: Tree) -> list[Tree]:
    """Returns what `mixers_of` does; ValueError, in one line, if one of them does not keep the contract."""
    mixers = mixers_of(path, fields, offered=offered)
    for mixer in mixers:
        if problems := broken(own_mixer(mixer)):
            raise ValueError(f"{path}: {mixer['name']}: {problems[0]}; `python -m workflow check {path}` tells all")
    return mixers


def mixers_of(path: Path, fields: Tree, *, offered: Tree) -> list[Tree]:
    """Returns the mixers of a file with these fields set, and those of the `offered` that they have, once its content is kept.

    ValueError, in one line, if it has none.
    """
    digest, is_new = kept(path)
    try:
        specs = specs_of(digest)
        chosen = [fields["name"]] if "name" in fields else list(specs)
        taken = {
            name: {field: offered[field] for field in offered if field in spec.model_fields}
            for name, spec in specs.items()
        }
        mixers = [_validated({"name": name} | taken.get(name, {}) | fields | {DIGEST: digest}) for name in chosen]
    except ValueError as error:
        if is_new:  # no run is of it
            (models_folder() / f"{digest}.py").unlink()
        raise ValueError(f"{path}: {error}") from None
    return [mixer.model_dump(mode="json") for mixer in mixers]


def kept(path: Path) -> tuple[str, bool]:
    """Returns the digest of a file's content, which then lies where runs find it, and whether it is new there.

    ValueError if it could not be read from there.
    """
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file: name a Python file with a mixer's specification in it")
    content = path.read_bytes()
    try:
        text = content.decode("utf-8")
        beside = sorted(name for name in imported(text) if _is_beside(path, name))
        if beside:
            raise ValueError(f"it imports {beside[0]}, which lies beside it: a mixer is one file, put it in there")
    except SyntaxError as error:
        raise ValueError(f"{path}: line {error.lineno}: {error.msg}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    digest = hashlib.sha256(content).hexdigest()
    place = models_folder() / f"{digest}.py"
    is_new = not place.exists()
    if is_new:
        write(place, text)
    return digest, is_new


def value_of(text: str) -> Any:
    """Returns what a word stands for: a number, true, false, null, a JSON list or mapping, or else the word itself."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _validated(fields: Tree) -> MixerSpec:
    name = str(fields["name"])
    if name in STYLES:
        raise ValueError(f"the name {name} is taken by a built-in architecture: give it another one, as my-{name}")
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise ValueError(f"the name {name!r} is not of small letters, digits and hyphens, as my-mixer is")
    try:
        return own_mixer(fields)
    except ValidationError as error:
        told = first_problem(error)
        if error.errors()[0]["type"] == "missing":
            field = told.partition(":")[0]
            told = f"{field} has no value: say {field}=..., or give the field a usual value in the file"
        raise ValueError(f"{name}: {told}") from None


def _is_beside(path: Path, name: str) -> bool:
    folder = path.absolute().parent
    if name in sys.stdlib_module_names or name == "models":
        return False
    return (folder / f"{name}.py").exists() or (folder / name / "__init__.py").exists()


def imported(text: str) -> set[str]:
    """Returns the packages that a file imports; ValueError for an import that a run's name could not follow."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = ["." * node.level + (node.module or "")]
            if names == ["models"]:
                names = ["models."]
        else:
            continue
        for name in names:
            top = name.partition(".")[0]
            followed = isinstance(node, ast.ImportFrom) and name != "models."
            if top in ("tasks", "workflow", "") or (top == "models" and not followed):
                shown = name.strip(".") or "its own folder"
                raise ValueError(
                    f"line {node.lineno} imports {shown}: a mixer is one file, and imports from this repository as in "
                    "`from models.layers import OutputProjection`"
                )
            found.add(top)
    return found
