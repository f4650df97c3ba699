"""One fault of every kind under training, and none lost, wrong or unsaid; `tests.benchmarks.faults` brings about many more."""

import random

import pytest

from tests.benchmarks.faults import KINDS, MOUNTED, POLICIES, Ended, can_mount, injected


@pytest.mark.slow
@pytest.mark.parametrize(("place", "name"), [*enumerate(KINDS)])
def test_a_fault_loses_nothing_and_is_told(place, name):
    if name in MOUNTED and not can_mount():
        pytest.skip("mounting a file system is not allowed here")
    rng, met = random.Random(place), False
    while not met:
        found = injected(name, policy=POLICIES[place % 2], rng=rng)
        assert (found.lost, found.wrong, found.unsaid) == (0, 0, 0), found.endings
        met = found.met


@pytest.mark.parametrize(
    ("code", "told", "said"),
    [
        (0, [], "done"),
        (0, ["checkpoints.py:1: UserWarning: run-1/checkpoints/00000002 is damaged (no); continuing"], "passed over"),
        (143, ["interrupted: what was done is saved"], "interrupted"),
        (1, ["error: run-1: Read-only file system; what was saved before is whole"], "Read-only file system"),
        (-9, [], "killed"),
        (-11, [], "crashed"),
    ],
)
def test_an_end_that_is_named_is_called_by_its_name(code, told, said):
    assert Ended(code, told).said == said


def test_only_where_memory_runs_out_may_a_library_crash():
    allowed = {name for name, kind in KINDS.items() if kind.unsaid(["done", "crashed"]) == 0}
    assert allowed == {"out of memory"}
    assert KINDS["out of memory"].unsaid(["unsaid: exit code 1, []", "crashed"]) == 1


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (0, ["Exception ignored in: something"]),
        (143, []),
        (143, ["interrupted: what was done is saved", "Traceback (most recent call last):"]),
        (1, []),
        (1, ["Traceback (most recent call last):", "OSError: full"]),
        (1, ["error: run-1: full", "error: run-2: full"]),
    ],
)
def test_an_end_that_is_not_is_unsaid(code, told):
    assert Ended(code, told).said.startswith("unsaid: ")
