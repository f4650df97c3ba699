"""The drawings in the docstrings of MAD's tasks."""

import inspect

from tasks.task import IGNORE, Task


def drawn(task: type[Task], line: str) -> list[int]:
    """Returns the numbers of a line of the docstring's drawing, with IGNORE for a point."""
    lines = [drawing.strip() for drawing in inspect.getdoc(task).splitlines()]
    (found,) = [drawing.removeprefix(line) for drawing in lines if drawing.startswith(line + "  ")]
    return [IGNORE if number == "." else int(number) for number in found.split()]
