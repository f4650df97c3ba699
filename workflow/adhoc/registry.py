"""What there is to name: the specifications of mixers, architectures and tasks, by name."""

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from models import Architecture, Mixer
from models.hybrid import HybridSpec
from models.mixer import MixerSpec
from tasks import AnyTask

Specs = dict[str, type[BaseModel]]


def mixers() -> Specs:
    """Returns every mixer that the shared block can stand around; those of a reader's own are where their files are."""
    return _named(Mixer)


def architectures() -> Specs:
    """Returns every architecture with a block of its own."""
    return _named(Architecture)


def tasks() -> Specs:
    """Returns every task."""
    return _named(AnyTask)


def _named(registry: Any) -> Specs:
    found = {}
    for spec in _members(registry):
        name = "hybrid" if issubclass(spec, HybridSpec) else get_args(spec.model_fields["name"].annotation)[0]
        found[name] = spec
    return found


def _members(registry: Any) -> Iterator[type[BaseModel]]:
    for part in get_args(registry):
        if isinstance(part, type) and issubclass(part, BaseModel):
            if part is not MixerSpec:
                yield part
        else:
            yield from _members(part)
