"""Mixers of a reader's own: read from a file outside the repository, told apart by the digest of its content.

A specification has the digest in its field `sha256`, so editing the file makes other runs. The file as it was trained lies in
`results/models/<sha256>.py`, or where the environment variable TRIAL_MODELS points: that is where any process finds it.
"""

import functools
import hashlib
import importlib.util
import inspect
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal, get_args

from pydantic import PlainValidator, SerializeAsAny, WithJsonSchema, create_model

from models.mixer import MixerSpec

DIGEST = "sha256"  # the field that says which file


def models_folder() -> Path:
    """Returns `results/models` of this checkout, or the folder that the environment variable TRIAL_MODELS names."""
    other = os.environ.get("TRIAL_MODELS")
    return Path(other).absolute() if other else Path(__file__).parent.parent / "results" / "models"


def digest_of(mixer: object) -> str | None:
    """Returns the digest of the file that a mixer's specification, or the fields of one, came from; None for a built-in one."""
    return mixer.get(DIGEST) if isinstance(mixer, dict) else getattr(mixer, DIGEST, None)


def kept_file(digest: str) -> Path:
    """Returns the file of this content; ValueError, with the remedy, where it is missing or another."""
    path = models_folder() / f"{digest}.py"
    if not path.exists():
        raise ValueError(
            f"{path} is missing, the mixer that this run is of: copy it from the results folder the run came with, or let "
            "the environment variable TRIAL_MODELS name the folder that has it"
        )
    if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        raise ValueError(f"{path} was edited: a kept mixer is never changed, delete it and name your own file again")
    return path


@functools.cache
def specs_of(digest: str) -> dict[str, type[MixerSpec]]:
    """Returns the specifications in the file of this content, by name; ValueError, in one line, if it cannot be used."""
    found: dict[str, type[MixerSpec]] = {}
    for cls in vars(_executed(kept_file(digest), digest)).values():
        if isinstance(cls, type) and issubclass(cls, MixerSpec) and cls.__module__ == _module(digest):
            if inspect.isabstract(cls):
                missing = ", ".join(sorted(cls.__abstractmethods__))
                raise ValueError(
                    f"{cls.__name__} has no {missing}: models/mixer.py says what a mixer's specification has"
                )
            found[_name(cls)] = _of_file(cls, digest)
    if not found:
        raise ValueError(
            "there is no specification of a mixer in it: define a class that inherits models.mixer.MixerSpec"
        )
    return found


def _executed(path: Path, digest: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(_module(digest), path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a reader's code raises, in one line
        del sys.modules[spec.name]
        line = _line(error, path)
        raise ValueError(f"{line}{type(error).__name__}: {' '.join(str(error).split())}") from error
    finally:
        sys.dont_write_bytecode = written
    return module


def _line(error: Exception, path: Path) -> str:
    """Returns where in the file an exception came from, as far as that is known."""
    at = error.lineno if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            at = trace.tb_lineno
        trace = trace.tb_next
    return f"line {at}: " if at else ""


def _module(digest: str) -> str:
    return f"own_mixer_{digest}"


def _name(cls: type[MixerSpec]) -> str:
    field = cls.model_fields.get("name")
    values = get_args(field.annotation) if field else ()
    if len(values) != 1 or not isinstance(values[0], str):
        raise ValueError(f'{cls.__name__} says no name: give it the field `name: Literal["..."]`, with one word')
    if DIGEST in cls.model_fields:
        raise ValueError(
            f"{cls.__name__} has a field {DIGEST}, which is where the file's digest goes: call it otherwise"
        )
    return values[0]


def _of_file(cls: type[MixerSpec], digest: str) -> type[MixerSpec]:
    """Returns the specification with the digest of its file as one more field, so that it is read back by any process."""

    def reduced(self: MixerSpec) -> tuple[Any, ...]:
        return own_mixer, (self.model_dump(mode="json"),)

    fields: dict[str, Any] = {DIGEST: (Literal[digest], ...)}
    made = create_model(cls.__name__, __base__=cls, __module__=cls.__module__, __doc__=cls.__doc__, **fields)
    made.__reduce__ = reduced  # type: ignore[method-assign]
    return made


def own_mixer(value: Any) -> MixerSpec:
    """Returns the specification that these fields say, among them `sha256`; ValueError if they are not of its file."""
    if isinstance(value, MixerSpec):
        return value
    digest = str(digest_of(value))
    specs = specs_of(digest)
    name = value.get("name")
    if name not in specs:
        raise ValueError(f"there is no mixer {name} in the file, which has {', '.join(specs)}")
    return specs[name].model_validate_json(json.dumps(value))


OwnMixer = Annotated[SerializeAsAny[MixerSpec], PlainValidator(own_mixer), WithJsonSchema({"type": "object"})]


def origin(value: object) -> str:
    """Returns which part of the registry a mixer, or the fields of one, belongs to."""
    return "built-in" if digest_of(value) is None else "own"
