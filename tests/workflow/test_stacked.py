"""Runs trained as one program: what each of them comes to alone, whatever becomes of the others, and however it is cut."""

import json
import math
from contextlib import contextmanager

import pytest
import torch

from tests.models.rows import settings
from tests.workflow.test_training import CPU, folder_of, run_of, served
from workflow.interruption import Interrupted
from workflow.results import read_result
from workflow.training import choice as choices
from workflow.training.alone import Alone, drawn
from workflow.training.choice import chosen
from workflow.training.stacked import Stacked

MIXERS = ["attention", "mlstm", "slstm", "mamba", "mamba2", "gated-deltanet", "lstm"]


def members(changes=None):
    """Two learning rates at two seeds, and one that learns as it should while the others do."""
    base = {"optimizer.steps": 30, "evaluation.every_steps": 10} | (changes or {})
    at = [(0.01, 1), (0.003, 1), (0.01, 2), (0.02, 3)]
    return [run_of(base | {"optimizer.learning_rate": rate, "seed": seed}) for rate, seed in at]


def rates(runs):
    return [run.optimizer.learning_rate for run in runs]


def folders(path, runs):
    return [folder_of(path / f"run-{index}", run) for index, run in enumerate(runs)]


def results(paths):
    return [read_result(path / "result.json") for path in paths]


def numbers(result, **at):
    return [row.value for row in result.measurements if at.items() <= {"name": row.name, **row.at}.items()]


@contextmanager
def asked_to_stop(monkeypatch, *, at):
    """What is served inside is interrupted where it asks, for the time `at`, whether it should stop."""
    asked = iter(range(1000))

    def check():
        if next(asked) == at:
            raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr("workflow.interruption.check", check)
        with pytest.raises(Interrupted):
            yield


@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("clip", [0.2, 100.0])
def test_a_member_takes_the_steps_that_it_takes_alone(mixer, clip):
    runs = members({"network.mixer": settings(mixer, {}), "network.feedforward": 24, "optimizer.gradient_clip": clip})
    stacked = Stacked(runs, learning_rates=rates(runs), device=CPU)
    alone = [
        Alone(run, drawn(run, device=CPU), learning_rate=rate) for run, rate in zip(runs, rates(runs), strict=True)
    ]
    for step in range(6):
        together = stacked.step(step)
        torch.testing.assert_close(together, torch.cat([one.step(step) for one in alone]), rtol=1e-4, atol=1e-5)
    for network, one in zip(stacked.networks, alone, strict=True):
        mine, own = (torch.cat([p.flatten() for p in n.parameters()]) for n in (network, one.networks[0]))
        # AdamW's step has the size of its rate however small the gradient: where rounding decides its sign, it may differ.
        assert ((mine - own).abs() < 1e-5).double().mean() > 0.95


def test_members_with_fewer_labels_than_others_ignore_what_fills_up_their_batch():
    task = {"name": "bucket-sort", "minimum_length": 8, "maximum_length": 24, "symbols": 5, "source": "cdes"}
    runs = members({"task": task, "evaluation.grid": {}})
    stacked = Stacked(runs, learning_rates=rates(runs), device=CPU)
    alone = [
        Alone(run, drawn(run, device=CPU), learning_rate=rate) for run, rate in zip(runs, rates(runs), strict=True)
    ]
    torch.testing.assert_close(stacked.step(0), torch.cat([one.step(0) for one in alone]), rtol=1e-5, atol=1e-6)


def test_stacked_runs_come_to_the_conclusions_of_runs_in_turn(tmp_path):
    runs = members({"optimizer.steps": 60})
    together, in_turn = folders(tmp_path / "together", runs), folders(tmp_path / "turn", runs)
    served(together, policy="always")
    served(in_turn)
    for one, other in zip(results(together), results(in_turn), strict=True):
        assert (one.provenance.company, other.provenance.company) == (4, 1)
        assert [(row.name, row.at) for row in one.measurements] == [(row.name, row.at) for row in other.measurements]
        for name in ("loss", "accuracy"):
            assert numbers(one, name=name) == pytest.approx(numbers(other, name=name), rel=0.02, abs=0.02)


def test_one_that_diverges_or_stops_early_touches_no_other(tmp_path):
    sound = members({"evaluation.stop_accuracy": 0.9})
    broken = run_of(
        {"optimizer.steps": 30, "evaluation.every_steps": 10, "evaluation.stop_accuracy": 0.9, "seed": 4}
        | {"optimizer.learning_rate": 1e30}
    )
    whole = folders(tmp_path / "whole", [*sound, broken.model_copy(update={"optimizer": sound[0].optimizer})])
    failing = folders(tmp_path / "failing", [*sound, broken])
    served(whole, policy="always")
    served(failing, policy="always")
    assert results(failing)[-1].status == "diverged"
    for one, other in zip(results(failing)[:-1], results(whole)[:-1], strict=True):
        assert one.measurements == other.measurements


@pytest.mark.parametrize("step", [3, 10, 17, 29])
def test_a_cut_stack_goes_on_to_the_same_bits(tmp_path, monkeypatch, step):
    runs = members({"evaluation.stop_accuracy": 0.3, "optimizer.steps": 40})
    whole, cut = folders(tmp_path / "whole", runs), folders(tmp_path / "cut", runs)
    served(whole, policy="always")
    with asked_to_stop(monkeypatch, at=step):
        served(cut, policy="always")
    served(cut, policy="always")
    for one, other in zip(results(cut), results(whole), strict=True):
        assert one.measurements == other.measurements
    assert not list(tmp_path.glob("*/*/checkpoints"))


def test_a_stack_killed_after_the_first_result_finds_its_company_again(tmp_path, monkeypatch):
    runs = members({"evaluation.stop_accuracy": 0.3, "optimizer.steps": 200})
    whole, cut = folders(tmp_path / "whole", runs), folders(tmp_path / "cut", runs)
    served(whole, policy="always")

    def check():
        if any((path / "result.json").exists() for path in cut):
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("workflow.interruption.check", check)
        with pytest.raises(Killed):
            served(cut, policy="always")
    there = [path for path in cut if (path / "result.json").exists()]
    assert 0 < len(there) < len(cut)
    served(cut, policy="always")
    assert [result.provenance.company for result in results(cut)] == [4] * 4
    for one, other in zip(results(cut), results(whole), strict=True):
        assert one.measurements == other.measurements


class Killed(Exception):
    pass


def test_a_member_of_a_cut_stack_can_go_on_without_it(tmp_path, monkeypatch):
    runs = members()
    cut = folders(tmp_path, runs)
    with asked_to_stop(monkeypatch, at=15):
        served(cut, policy="always")
    served(cut[:1])
    (result,) = results(cut[:1])
    assert (result.provenance.company, result.provenance.resumed) == (1, 1)
    alone = folders(tmp_path / "alone", runs[:1])
    served(alone)
    assert numbers(result, name="loss") == pytest.approx(numbers(*results(alone), name="loss"), rel=0.02)


def test_a_stack_that_does_not_fit_goes_on_in_turn(tmp_path, monkeypatch):
    def full(self, step):
        if step == 12:
            raise torch.OutOfMemoryError("too much")
        return forward(self, step)

    forward = Stacked.step
    monkeypatch.setattr(Stacked, "step", full)
    paths = folders(tmp_path, members())
    served(paths, policy="always")
    assert [result.status for result in results(paths)] == ["finished"] * 4


def test_what_has_ended_stands_still():
    runs = members()
    stacked = Stacked(runs, learning_rates=rates(runs), device=CPU)
    stacked.step(0)
    stacked.ended(2)
    before = [stacked.state(member)["network"] for member in range(4)]
    stacked.step(1)
    after = [stacked.state(member)["network"] for member in range(4)]
    still = [all(torch.equal(old[name], new[name]) for name in old) for old, new in zip(before, after, strict=True)]
    assert still == [False, False, True, False]


def test_when_half_have_ended_the_others_go_on_in_a_smaller_stack():
    runs = members()
    stacked = Stacked(runs, learning_rates=rates(runs), device=CPU)
    for step in range(3):
        stacked.step(step)
    fewer = stacked.kept([1, 3])
    torch.testing.assert_close(fewer.step(3), stacked.step(3)[[1, 3]])
    for new, old in enumerate((1, 3)):
        mine, others = fewer.state(new)["network"], stacked.state(old)["network"]
        for name in mine:
            torch.testing.assert_close(mine[name], others[name], rtol=1e-4, atol=1e-5)


def test_the_choice_follows_from_a_measurement_that_is_made_once(tmp_path, monkeypatch):
    runs = members({"optimizer.steps": 200})
    paces = {Alone: 1.0, Stacked: 1.0}

    def seconds(advance, step, *, device):
        return paces[type(advance.__self__)]

    monkeypatch.setattr(choices, "_seconds", seconds)

    def choose(runs=runs, policy="auto", records=tmp_path):
        return chosen(runs, learning_rates=rates(runs), policy=policy, device=CPU, records=records)

    first = choose()
    assert first.stack
    assert first.why == "a stack is 4.00 times as fast, and 1.2 were asked of it"
    paces[Stacked] = 100.0
    assert choose() == first
    assert not choose(records=tmp_path / "elsewhere").stack
    assert choose(policy="always").stack
    assert not choose(policy="never").stack
    assert not choose(runs=runs[:1]).stack
    assert choose(runs=members()).why == "too short to measure"
    kept = json.loads(next(tmp_path.glob("*.json")).read_text(encoding="utf-8"))
    assert math.isclose(kept["in_turn"][0], 4.0)
