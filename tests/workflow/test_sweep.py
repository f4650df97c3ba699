"""A sweep that is cut at any time is useful, fair to all architectures, within its budget, and goes on where it stopped."""

import argparse
import itertools
import math
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workflow.plans
from tests.workflow.synthetic import MADE, RECALL, recall_plan, result_of
from tests.workflow.test_figures import cost_plan
from tests.workflow.test_selection import HALVED
from workflow import sweep as sweep_module
from workflow.agenda import SHORT_SECONDS, STARTING_SECONDS, Agenda, Item, items_of
from workflow.files import write
from workflow.plans import write_plan
from workflow.results import read_result
from workflow.selection import selected_rate
from workflow.sweep import seconds_of, sweep
from workflow.table import read_table

ROOT = Path(__file__).parent.parent.parent


def confirmed_by_network(plan, ids) -> Counter:
    cells = Counter()
    for planned in plan.runs:
        if planned.role == "confirm" and planned.id in ids:
            cells[planned.run.network.model_dump_json(), planned.run.task.pairs] += 1
    return cells


def test_references_come_first_then_tuning_rung_by_rung_then_one_seed_of_everything_after_another():
    plan = recall_plan(HALVED)
    roles = {planned.id: planned for planned in plan.runs}
    items = items_of([plan], seeds=1)
    assert sorted(item.id for item in items) == sorted(roles)
    order = [roles[item.id] for item in items]
    told = [(run.role, run.run.seed if run.role == "confirm" else None) for run in order]
    assert list(dict.fromkeys(told)) == [
        ("reference", None),
        ("screen", None),
        ("tune", None),
        ("confirm", 1),
        ("confirm", 2),
        ("confirm", 3),
    ]
    assert {item.stage for item in items if roles[item.id].role in ("screen", "tune")} == {(2, 0), (2, 1)}
    assert all(roles[item.id].role == ("screen", "tune")[item.stage[1]] for item in items if item.stage[0] == 2)
    for count in range(len(order) + 1):
        seeds = confirmed_by_network(plan, [run.id for run in order[:count]])
        assert max(seeds.values(), default=0) - min(seeds.values(), default=0) <= 1


def test_architectures_take_turns_a_cell_of_each():
    plan = recall_plan(RECALL.replace("at: {task.pairs: 4}", "at: {}"))
    for stage in ((2, 0), (3, 0)):
        cells = [item.alike for item in items_of([plan], seeds=1) if item.stage == stage]
        turns = [alike for alike, _ in itertools.groupby(cells)]
        assert len(turns) == len(set(cells)) == 3 * 2  # mixers x pairs
        for count in range(len(turns)):
            taken = Counter(network for _, network, _ in turns)
            taken.subtract(network for _, network, _ in turns[count:])
            assert max(taken.values()) - min(taken.values()) <= 1


def test_several_seeds_of_a_cell_can_be_asked_for_at_a_time():
    items = [item for item in items_of([recall_plan()], seeds=2) if item.stage[0] == 3]
    assert Counter(item.stage[1] for item in items) == {0: 3 * 2 * 2, 1: 3 * 2}  # mixers x pairs x seeds


def test_a_run_that_two_experiments_share_is_there_once():
    plan = recall_plan()
    other = plan._replace(experiment="another", runs=plan.runs[:5])
    assert len(items_of([other, plan], seeds=1)) == len(plan.runs)


def test_runs_of_one_cell_share_a_process_and_leave_work_for_the_other_jobs():
    items = items_of([recall_plan()], seeds=1)
    tuned = [item for item in items if item.stage[0] == 2]
    for jobs, sizes in ((1, [3, 3, 3]), (2, [3, 3]), (4, [3, 2, 1, 1]), (9, [1] * 9)):
        agenda = Agenda(tuned, jobs=jobs)
        batches = []
        while batch := agenda.start(left=math.inf):
            batches.append(batch)
            if jobs == 1:
                for item in batch:
                    agenda.finish(item, seconds=None)
                agenda.end(batch)
        assert [len(batch) for batch in batches] == sizes
        assert all(len({item.alike[0] for item in batch}) == 1 for batch in batches)


def test_short_runs_of_one_network_share_a_process_and_long_ones_do_not():
    confirmed = [
        item._replace(needs=frozenset()) for item in items_of([recall_plan()], seeds=1) if item.stage == (3, 0)
    ]
    for seconds, size in ((SHORT_SECONDS / 4, 2), (SHORT_SECONDS, 1)):
        agenda = Agenda(confirmed, jobs=1)
        agenda._known["training"].append(seconds / confirmed[0].steps)
        batch = agenda.start(left=math.inf)
        assert len(batch) == size
        assert len({item.alike[1] for item in batch}) == 1


def test_short_profiles_share_a_process_in_the_order_of_turns():
    items = items_of([cost_plan()], seeds=1)
    agenda = Agenda(items, jobs=2)
    agenda._known["profiling"].append(1.0)
    batch = agenda.start(left=math.inf)
    assert batch == items
    assert len({item.alike[1] for item in batch[:2]}) == 2


def test_a_profile_runs_alone():
    items = [*items_of([recall_plan()], seeds=1), *items_of([cost_plan()], seeds=1)]
    agenda = Agenda(sorted(items, key=lambda item: item.stage), jobs=3)
    while batch := agenda.start(left=math.inf):
        if batch[0].alone:
            assert agenda.running == [batch]
            assert agenda.start(left=math.inf) == []
        if len(agenda.running) == 3 or batch[0].alone or not agenda._ready() or agenda._ready()[0].alone:
            for served in list(agenda.running):
                for item in served:
                    agenda.finish(item, seconds=1.0)
                agenda.end(served)
    assert agenda.done == {item.id for item in items}


def test_the_seconds_of_a_run_are_those_of_the_runs_most_like_it():
    def item(name, *, cell, network, kind="training", steps=10):
        return Item(name, "e", (0, 0), (cell, network, kind), steps, frozenset())

    agenda = Agenda([], jobs=1)
    assert agenda.predicted(item("first", cell="a", network="n")) is None
    agenda.finish(item("one", cell="a", network="n"), seconds=10.0)
    agenda.finish(item("two", cell="a", network="n"), seconds=20.0)
    agenda.finish(item("three", cell="b", network="n"), seconds=60.0)
    agenda.finish(item("four", cell="c", network="m"), seconds=110.0)
    agenda.finish(item("five", cell="c", network="m"), seconds=None)
    assert agenda.predicted(item("six", cell="a", network="n")) == pytest.approx(15.0)
    assert agenda.predicted(item("seven", cell="new", network="n", steps=20)) == pytest.approx(60.0)
    assert agenda.predicted(item("eight", cell="new", network="new")) == pytest.approx(50.0)
    assert agenda.predicted(item("nine", cell="new", network="new", kind="reference")) is None


def test_a_run_lost_with_others_gets_a_process_for_itself_before_it_has_failed():
    items = items_of([recall_plan()], seeds=1)
    agenda = Agenda(items, jobs=1)
    for item in items:
        if item.stage[0] < 2:
            agenda.finish(item, seconds=1.0)
    batch = agenda.start(left=math.inf)
    agenda.finish(batch[0], seconds=1.0)
    agenda.end(batch)
    assert agenda.failed == set()
    for lost in batch[1:]:
        while (served := agenda.start(left=math.inf)) != [lost]:
            assert lost not in served
            for item in served:
                agenda.finish(item, seconds=1.0)
            agenda.end(served)
        agenda.end(served)
        waiting = {item.id for item in items if lost.id in item.needs}
        assert waiting
        assert {lost.id, *waiting} <= agenda.failed


@st.composite
def sweeps(draw):
    """Some runs with the seconds each takes, in an order of stages and with what they need."""
    networks = draw(st.lists(st.floats(0.1, 40.0), min_size=1, max_size=3))
    seeds, cells, rates = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 3))
    experiments = draw(st.sampled_from([["a"], ["a", "b"]]))
    noise = draw(st.randoms(use_true_random=False))
    items, seconds = [], {}

    def add(experiment, stage, alike, steps, needed, base):
        item = Item(f"run-{len(items)}", experiment, stage, alike, steps, frozenset(needed))
        items.append(item)
        seconds[item.id] = base * steps / 10 * noise.uniform(0.8, 1.2)
        return item.id

    for experiment in experiments:
        add(experiment, (0, 0), ("reference", "", "reference"), 1, [], 2.0)
        add(experiment, (1, 0), ("profile", "0", "profiling"), 1, [], 50.0)
        for network, base in enumerate(networks):
            tuned = []
            for rung in range(2):
                cell = (f"{experiment}-tune-{network}-{rung}", str(network), "training")
                tuned = [add(experiment, (2, rung), cell, 5 * (rung + 1), tuned, base) for _ in range(rates)]
            for cell in range(cells):
                for seed in range(seeds):
                    alike = (f"{experiment}-{network}-{cell}", str(network), "training")
                    add(experiment, (3, seed), alike, 10, tuned, base * (1 + cell))
    return sorted(items, key=lambda item: item.stage), seconds


@settings(deadline=None, max_examples=60)
@given(given=sweeps(), jobs=st.integers(1, 3), budget=st.floats(10.0, 300.0))
def test_sweeps_keep_their_budget_and_their_order_and_in_the_end_all_is_done(given, jobs, budget):
    items, seconds = given
    left_of = dict(seconds)  # what a checkpoint does not have yet
    done: dict[str, float] = {}
    for _ in range(1000):
        agenda = Agenda(items, jobs=jobs)
        for item in items:
            if item.id in done:
                agenda.finish(item, seconds=done[item.id])
        one_sweep(agenda, budget=budget, left_of=left_of, seconds=seconds)
        before = len(done)
        done = {id: seconds[id] for id in agenda.done}
        assert len(done) >= before
        if len(done) == len(items):
            return
    raise AssertionError("not all is done")


def one_sweep(agenda: Agenda, *, budget: float, left_of: dict[str, float], seconds: dict[str, float]) -> None:
    """Lets the agenda fill its jobs on a clock of its own, and checks every start."""
    now = 0.0
    going: list[tuple[float, list[Item]]] = []
    while now < budget:
        while batch := agenda.start(left=budget - now):
            check_start(agenda, batch, left=budget - now, budget=budget)
            going.append((now + STARTING_SECONDS + sum(left_of[item.id] for item in batch), batch))
        if not going:
            return
        end, batch = min(going, key=lambda pair: pair[0])
        if end > budget:
            break
        now = end
        going.remove((end, batch))
        for item in batch:
            agenda.finish(item, seconds=seconds[item.id])
        agenda.end(batch)
    for end, batch in going:
        spent = budget - (end - sum(left_of[item.id] for item in batch))  # after it had started
        for item in batch:
            served = min(max(spent, 0.0), left_of[item.id])
            spent -= served
            left_of[item.id] -= served
            if left_of[item.id] <= 0:
                agenda.finish(item, seconds=seconds[item.id])


def check_start(agenda: Agenda, batch: list[Item], *, left: float, budget: float) -> None:
    assert len(agenda.running) <= agenda._jobs
    assert len(agenda.running) == 1 or not any(served[0].alone for served in agenda.running)
    started = agenda.done | {item.id for served in agenda.running for item in served}
    for item in batch:
        assert item.needs <= agenda.done
        assert all(o.id in started for o in agenda.items if o.experiment == item.experiment and o.stage < item.stage)
    predicted = STARTING_SECONDS + sum(agenda.predicted(item) or 0.0 for item in batch)
    assert predicted <= left + 1e-6 or (len(batch) == 1 and predicted > budget)


def test_durations_are_read_in_seconds_minutes_and_hours():
    assert [seconds_of(text) for text in ("90s", "9m", "1.5h")] == [90, 540, 5400]
    for text in ("9", "m", "-3s", "9 m", "1d"):
        with pytest.raises(argparse.ArgumentTypeError, match="no duration such as"):
            seconds_of(text)


@pytest.fixture
def ready(tmp_path) -> Path:
    """The folders of a plan's runs, and beside them the results that their processes will leave."""
    plan = recall_plan()
    write_plan(plan, results=tmp_path)
    for planned in plan.runs:
        write(tmp_path / "made" / planned.id, result_of(planned).model_dump_json())
    return tmp_path


def copying(folder: Path, *, first: str = "", seconds: float = 0.0):
    """Returns a command whose process copies the results there, after some seconds and lines of its own."""
    program = (
        "import pathlib, shutil, signal, sys, time\n"
        f"made, runs = pathlib.Path({str(folder / 'made')!r}), pathlib.Path({str(folder / 'runs')!r})\n"
        "for name in sys.argv[1:]:\n"
        f"    {first or 'pass'}\n"
        f"    time.sleep({seconds})\n"
        "    shutil.copy(made / name, runs / name / '.incoming')\n"
        "    (runs / name / '.incoming').rename(runs / name / 'result.json')\n"
    )
    return lambda batch: [sys.executable, "-S", "-c", program, *(item.id for item in batch)]


def swept(folder: Path, command, *, budget: float = 60.0) -> Agenda:
    agenda = Agenda(items_of([recall_plan()], seeds=1), jobs=2)
    sweep(agenda, runs=folder / "runs", command=command, deadline=time.monotonic() + budget)
    return agenda


def test_without_a_deadline_everything_is_done(ready):
    agenda = swept(ready, copying(ready), budget=math.inf)
    assert agenda.done == {planned.id for planned in recall_plan().runs}
    assert not agenda.failed


def test_a_failed_process_is_told_and_the_others_go_on(ready, capfd):
    bad = next(planned.id for planned in recall_plan().runs if planned.role == "tune")
    agenda = swept(ready, copying(ready, first=f"assert name != {bad!r}, 'a mistake in the code'"))
    waiting = {item.id for item in agenda.items if bad in item.needs}
    assert agenda.failed == {bad, *waiting}
    assert agenda.done == {item.id for item in agenda.items} - agenda.failed
    told = capfd.readouterr().err
    assert "AssertionError: a mistake in the code" in told
    assert f"a process ended with code 1, its message above: {ready / 'runs' / bad}" in told


def test_at_the_deadline_processes_are_asked_to_stop_and_what_they_finish_then_counts(ready):
    asked = "signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path(runs / name / 'asked').touch(), sys.exit(143)))"
    started = time.monotonic()
    agenda = swept(ready, copying(ready, first=asked, seconds=30.0), budget=2.0)
    assert time.monotonic() - started < 10
    assert agenda.done == set()
    assert agenda.failed == set()
    assert len(list(ready.glob("runs/*/asked"))) == 2
    agenda = swept(ready, copying(ready))
    assert len(agenda.done) == len(agenda.items)


def test_a_process_that_does_not_stop_is_ended_with_all_that_it_started(ready, monkeypatch):
    monkeypatch.setattr(sweep_module, "_STOPPING_SECONDS", 0.5)
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN); import subprocess; "
    deaf += "child = subprocess.Popen(['sleep', '60']); (runs / name / 'child').write_text(str(child.pid))"
    swept(ready, copying(ready, first=deaf, seconds=60.0), budget=2.0)
    children = [int(path.read_text()) for path in ready.glob("runs/*/child")]
    assert children
    time.sleep(0.2)
    for child in children:
        stat = Path(f"/proc/{child}/stat")
        assert not stat.exists() or stat.read_text().split()[2] == "Z"


def test_only_whole_runs_on_the_same_kind_of_device_tell_how_long_others_take(ready):
    confirm = [planned for planned in recall_plan().runs if planned.role == "confirm"]
    for made in (MADE.model_copy(update={"resumed": 1}), MADE.model_copy(update={"device": "NVIDIA H200"})):
        for planned in confirm[:2]:
            path = ready / "runs" / planned.id / "result.json"
            write(path, result_of(planned, made=made).model_dump_json())
        agenda = swept(ready, copying(ready), budget=0.0)
        assert agenda.done == {planned.id for planned in confirm[:2]}
        assert [agenda.predicted(item) for item in agenda.items] == [None] * len(agenda.items)


def test_a_damaged_result_ends_the_sweep_with_its_name(ready):
    planned = recall_plan().runs[0]
    write(ready / "runs" / planned.id / "result.json", "{")
    with pytest.raises(ValueError, match="is damaged, delete it and sweep again"):
        swept(ready, copying(ready))


TINY = RECALL[: RECALL.index("    - &mlstm")] + RECALL[RECALL.index("  task.pairs: [4") :]
TINY = TINY.replace("[0.001, 0.003, 0.01]", "[0.001, 0.01]").replace("task.pairs: [4, 8]", "task.pairs: [4]")
TINY = TINY.replace("confirm: {seed: [1, 2, 3]}", "confirm: {seed: [1]}")


def command_line(folder: Path, *given: str) -> list[str]:
    """Returns the command of a sweep that finds its experiments in the folder."""
    program = "import pathlib, runpy, sys, workflow.plans as p; p.FOLDER = pathlib.Path(sys.argv.pop(1)); "
    program += "runpy.run_module('workflow.sweep', run_name='__main__')"
    return [sys.executable, "-c", program, str(folder), *given, "--results", str(folder)]


def called(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> Path:
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    monkeypatch.setattr(workflow.plans, "FOLDER", tmp_path)
    return tmp_path


@pytest.mark.slow
def test_a_sweep_cut_at_once_says_how_to_go_on_and_then_ends_in_a_table(tiny):
    told = called(*command_line(tiny, "tiny", "--budget", "1s"))
    assert told.returncode == 0, told.stderr
    assert f"0 of 4 runs done; go on with: python -m workflow.sweep tiny --budget 1s --results {tiny}" in told.stdout
    told = called(*command_line(tiny, "tiny"))
    assert told.returncode == 0, told.stderr
    assert "4 of 4 runs done\n" in told.stdout
    plan = workflow.plans.plan("tiny", scale="quick")
    confirm = next(planned for planned in plan.runs if planned.role == "confirm")
    rate = selected_rate(confirm.run.optimizer.learning_rate, runs=tiny / "runs")
    result = tiny / "runs" / confirm.id / "result.json"
    assert [row.value for row in read_result(result).measurements if row.name == "learning_rate"] == [rate]
    result.unlink()
    command = [sys.executable, "-m", "workflow.measurements", str(tiny / "quick/tiny/plan.json")]
    command += ["--runs", str(tiny / "runs"), "--output", str(tiny / "measurements.csv")]
    assert called(*command).returncode == 1
    assert not (tiny / "measurements.csv").exists()
    partial = called(*command, "--partial")
    assert partial.returncode == 0
    assert partial.stderr == "1 of the 4 planned runs of tiny have no result\n"
    assert set(read_table(tiny / "measurements.csv")["role"]) == {"tune", "reference"}


@pytest.mark.slow
def test_a_sweep_that_is_asked_to_stop_stops_its_processes_and_says_how_far_it_is(tiny):
    process = subprocess.Popen(command_line(tiny, "tiny"), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(tiny.glob("runs/*/result.json")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.terminate()
    told, _ = process.communicate()
    assert process.returncode == 130
    assert " of 4 runs done; go on with: " in told


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["tiny", "--jobs", "0"], "'0' is not 1, 2, 3"),
        (["tidy"], "error: unknown experiment 'tidy': choose one of tiny"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(tiny, given, told):
    answer = called(*command_line(tiny, *given))
    assert answer.returncode != 0
    assert told in answer.stderr.splitlines()[-1]
