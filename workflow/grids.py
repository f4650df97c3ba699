"""Grids: what varies, by dotted path, and the points they span."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Axes = Mapping[str, Sequence[Any]]  # dotted path, or several joined by ", " and varied together -> values


def points(axes: Axes) -> Iterator[dict[str, Any]]:
    """Yields every combination of the axes' values, the first axis slowest; one empty point where there is no axis."""
    for values in itertools.product(*axes.values()):
        point: dict[str, Any] = {}
        for key, value in zip(axes, values, strict=True):
            paths = key.split(", ")
            point |= dict(zip(paths, value if len(paths) > 1 else [value], strict=True))
        yield point
