"""A race times every loop in its own turns, and what it tells of them is the right way up."""

from types import SimpleNamespace

import pytest
import torch

from tests.benchmarks import loops
from tests.benchmarks.loops import Race, everywhere, ours, quartiles, training_run


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only where a test lets them."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(loops.time, "perf_counter", lambda: clock.now)
    return clock


def raced(clock, *, peer, ours, steps, rounds, warming=0.0):
    """Returns the race of a peer whose steps take `peer` seconds, the first round's `warming` longer, and the steps ours took."""
    taken = []

    def step(number):
        taken.append(number)
        clock.now += ours

    race = Race({"ours": step}, peer="theirs", steps=steps, rounds=rounds)
    for number in range(race.peer_steps):
        clock.now += 0.25  # before its first wait, and part of every step
        race.wait()
        clock.now += peer - 0.25 + warming * (number < steps)
    return race, taken


def test_the_ratio_is_how_many_times_as_fast_ours_is(clock):
    race, _ = raced(clock, peer=6.0, ours=2.0, steps=3, rounds=4)
    assert race.seconds == {"theirs": [6.0] * 4, "ours": [2.0] * 4}
    assert race.ratio("theirs", "ours") == (3.0, 3.0, 3.0)
    assert race.table().endswith("ratio 3.00 (3.00 to 3.00)")


@pytest.mark.parametrize("steps", [1, 3])
def test_both_take_as_many_steps_and_none_of_the_first_round_counts(clock, steps):
    race, taken = raced(clock, peer=6.0, ours=2.0, steps=steps, rounds=4, warming=100.0)
    assert taken == list(range(5 * steps))
    assert race.peer_steps == len(taken) + 1
    assert race.seconds["theirs"] == [6.0] * 4


def test_quartiles_of_one_value_are_that_value():
    assert quartiles([2.0]) == (2.0, 2.0, 2.0)
    assert quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == (2.0, 3.0, 4.0)


def test_our_loop_and_the_textbooks_take_the_same_steps():
    run = training_run("recall", scale="smoke", mixer="attention")
    networks, losses = [], []
    for loop in (ours, everywhere):
        torch.manual_seed(0)
        networks.append(run.network.build(run.task.vocabulary_size))
        step = loop(networks[-1], run)
        losses.append(torch.stack([step(number) for number in range(3)]))
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*(network.state_dict() for network in networks))
