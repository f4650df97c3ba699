"""What the contract's tests need to know of a task: a row for every name in the registry, by family."""

from typing import NamedTuple

from tasks.task import Task


class Row(NamedTuple):
    spec: Task
    other: dict[str, object]  # another value of every field: it changes the bytes, or is refused
    wrong: dict[str, object]  # a value of another type for every field
    length: int  # another length the task can be posed at
    digests: dict[str, str]  # of batch 7, size 5 of each split
    ceiling: float = 1.0  # what the oracle scores
    solved_by: tuple[str, ...] = ()  # the shortcuts that are as good as the oracle
