"""Numbers as plain text: a table, and points over a field or over steps."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

_WIDE, _HIGH = 60, 12
_MARKS = "ox+*#%"

Points = Sequence[tuple[float, float]]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns the rows under their head; a column that holds numbers, but for its head, is set to the right."""
    cells = [list(head), *map(list, rows)]
    wide = [max(map(len, column)) for column in zip(*cells, strict=True)]
    right = [all(_is_number(cell) for cell in column[1:]) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(size) if to_right else cell.ljust(size)
            for cell, size, to_right in zip(row, wide, right, strict=True)
        )
        for row in cells
    ]
    return "\n".join(line.rstrip() for line in lines)


def plot(series: Mapping[str, Points], *, x: str, y: str) -> str:
    """Returns the points of every series, y upwards and x to the right, the latter by powers of two where it spans three."""
    drawn = {name: [point for point in points if math.isfinite(point[1])] for name, points in series.items()}
    xs = sorted({point[0] for points in drawn.values() for point in points})
    ys = [point[1] for points in drawn.values() for point in points]
    if not ys:
        return "(nothing to draw)"
    scaled = math.log2 if x != "step" and xs[0] > 0 and xs[-1] >= 8 * xs[0] else float
    left, right, low, high = scaled(xs[0]), scaled(xs[-1]), min(ys), max(ys)
    cells = [[" "] * _WIDE for _ in range(_HIGH)]
    places = {
        name: [
            ((scaled(at) - left) / (right - left or 1) * (_WIDE - 1), (high - value) / (high - low or 1) * (_HIGH - 1))
            for at, value in sorted(points)
        ]
        for name, points in drawn.items()
    }
    for line in places.values():
        for (start, first), (end, last) in pairwise(line):
            for column in range(math.ceil(start), math.floor(end) + 1):
                share = (column - start) / (end - start or 1)
                cells[round(first + share * (last - first))][column] = "."
    for mark, line in zip(_MARKS * len(drawn), places.values(), strict=False):
        for column, row in line:
            cells[round(row)][round(column)] = mark
    edges = {0: f"{high:.4g}", _HIGH - 1: f"{low:.4g}"}
    margin = max(map(len, edges.values()))
    lines = [f"{edges.get(place, ''):>{margin}} |{''.join(row).rstrip()}" for place, row in enumerate(cells)]
    ends = f"{xs[0]:g}".ljust(_WIDE - len(f"{xs[-1]:g}")) + f"{xs[-1]:g}"
    told = ", ".join(f"{mark} {name}" for mark, name in zip(_MARKS * len(drawn), drawn, strict=False))
    return "\n".join([f"{y}: {told}", *lines, f"{'':>{margin}} +{'-' * _WIDE}", f"{'':>{margin}}  {ends}  {x}"])


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", ""))
    except ValueError:
        return cell == ""
    return True
