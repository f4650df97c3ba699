"""What a person types at a terminal becomes runs as all are, and is told in plain text."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.presets import PRESETS
from workflow.adhoc.listing import listed
from workflow.adhoc.profiling import profile
from workflow.adhoc.recipes import profiling_asked, training_asked, values_of
from workflow.adhoc.registry import architectures, mixers, tasks
from workflow.adhoc.showing import shown
from workflow.adhoc.terminal import plot, table
from workflow.adhoc.training import train
from workflow.identity import run_id
from workflow.plans import experiment_names, plan
from workflow.results import read_result
from workflow.runs import ReferenceRun, Selected, TrainingRun

ROOT = Path(__file__).parents[2]
TINY = ["steps=6", "warmup_steps=1", "every_steps=3", "batches=1", "batch_size=4", "width=8", "stop_accuracy=null"]


@pytest.fixture(autouse=True)
def handlers():
    """Commands that are called in this process listen to signals; afterwards nobody does."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def trained(*words: str, results: Path) -> str:
    mixer, task, *fields = words
    return train(mixer, task, fields, results=results, stack="auto")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("4", [4]),
        ("4,8,16", [4, 8, 16]),
        ("0.003,1e-2", [0.003, 0.01]),
        ("[64,128]", [[64, 128]]),
        ("[64],[128]", [[64], [128]]),
        ('{"length":[64,128]}', [{"length": [64, 128]}]),
        ("null", [None]),
        ("dense,final", ["dense", "final"]),
        ("true", [True]),
    ],
)
def test_a_value_is_one_and_values_between_commas_are_several(text, values):
    assert values_of(text) == values


def test_what_is_not_said_is_as_the_experiments_have_it():
    asked = training_asked("mlstm", "recall", ["task.length=32", "task.pairs=8", "batch_size=64"])
    ((varied, run),) = asked.runs
    assert not varied
    assert run_id(run) in {planned.id for planned in plan("recall", scale="quick").runs if planned.role == "tune"}
    ((_, cost),) = profiling_asked("slstm", ["phase=decode", "length=1024"]).runs
    assert run_id(cost) in {planned.id for planned in plan("cost", scale="quick").runs}


@pytest.mark.parametrize("name", sorted({task.name for task in PRESETS.values()} | set(tasks())))
def test_every_task_can_be_asked_for_by_name(name):
    ((_, run),) = training_asked("lstm", name, ()).runs
    assert isinstance(run, TrainingRun)
    assert run.task.name == name
    assert not isinstance(run.optimizer.learning_rate, Selected)


def test_a_published_setting_is_taken_whole():
    ((_, run),) = training_asked("slstm", "xlstm/parity", ["learning_rate=0.001"]).runs
    assert run.task == PRESETS["xlstm/parity"]
    assert run.optimizer.learning_rate == 0.001
    assert run.evaluation.grid == {}


def test_lists_span_every_combination_of_mixers_and_values():
    asked = training_asked("lstm,mlstm", "recall", ["task.length=32", "task.pairs=2,4", "seed=0,1"])
    told = [tuple(varied.values()) for varied, _ in asked.runs]
    assert told == [(name, pairs, seed) for name in ("lstm", "mlstm") for pairs in (2, 4) for seed in (0, 1)]
    assert all(
        (run.network.mixer.name, run.task.pairs, run.seed) == values
        for (_, run), values in zip(asked.runs, told, strict=True)
    )


def test_an_architecture_comes_in_its_own_block():
    ((_, run),) = training_asked("llama", "recall", ()).runs
    assert run.network.block == "native"


@pytest.mark.parametrize(
    ("mixer", "task", "word", "said"),
    [
        ("mlstmm", "recall", "steps=5", "no mixer that experiments have is called 'mlstmm': did you mean mlstm"),
        ("mlstm", "recal", "steps=5", "no task or setting is called 'recal': did you mean recall"),
        ("mlstm", "recall", "widht=5", "no field is called widht: did you mean width?"),
        ("mlstm", "recall", "name=5", "name may be task.name or network.mixer.name: write one of them out"),
        ("mlstm", "recall", "steps", "'steps' sets no field: write it as in"),
        ("mlstm", "recall", "steps=5", "warmup_steps=50 must be below steps=5"),
        ("mlstm", "recall", "task.pears=5", "task.recall.pears: Extra inputs are not permitted"),
    ],
)
def test_a_word_that_says_nothing_is_refused_with_its_remedy(mixer, task, word, said):
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        training_asked(mixer, task, [word])
    assert "\n" not in str(error.value)


def test_a_run_is_left_like_any_other_told_honestly_and_not_made_twice(tmp_path):
    first = trained("lstm", "recall", *TINY, results=tmp_path)
    folder = Path(first.splitlines()[-1])
    result = read_result(folder / "result.json")
    assert folder.name == run_id(result.run) == result.id
    validation = [row.value for row in result.measurements if row.name == "accuracy" and row.at.get("step") == 6]
    assert [f"{validation[0]:8.4f}  lstm, after 6 steps  validation"] == [
        line for line in first.splitlines() if "lstm, after" in line
    ]
    (floors,) = [path for path in (tmp_path / "runs").iterdir() if path != folder]
    scored = read_result(floors / "result.json")
    assert isinstance(scored.run, ReferenceRun)
    for row in scored.measurements:
        assert f"{row.value:8.4f}  {str(row.at['predictor']).replace('_', ' ')}" in first
    assert "This is a look, not a result: one seed, a learning rate that is not tuned" in first
    made = (folder / "result.json").stat().st_mtime_ns
    assert trained("lstm", "recall", *TINY, results=tmp_path) == first
    assert (folder / "result.json").stat().st_mtime_ns == made


def test_a_sweep_ends_in_a_row_per_run(tmp_path):
    lines = trained("lstm", "recall", *TINY, "task.length=32", "task.pairs=2,4,8", results=tmp_path).splitlines()
    head = next(place for place, line in enumerate(lines) if line.startswith("pairs"))
    rows = [line.split() for line in lines[head + 1 : head + 4]]
    folders = [Path(line) for line in lines if line.startswith(str(tmp_path))]
    results = [read_result(folder / "result.json") for folder in folders]
    assert [row[0] for row in rows] == ["2", "4", "8"] == [str(result.run.task.pairs) for result in results]
    for row, result in zip(rows, results, strict=True):
        (score,) = [m.value for m in result.measurements if m.name == "accuracy" and m.at.get("step") == 6]
        assert row[1] == f"{score:.4f}"


def test_a_cost_is_one_row(tmp_path):
    words = ["length=32", "phase=forward", "rounds=1", "samples=3", "width=8"]
    told = profile("lstm", words, results=tmp_path)
    folder = Path(told.splitlines()[-1])
    result = read_result(folder / "result.json")
    seconds = sorted(row.value for row in result.measurements if row.name == "seconds")
    (row,) = [line.split() for line in told.splitlines() if line.startswith("lstm ")]
    assert row[:5] == ["lstm", "forward", "32", "1", f"{1e3 * seconds[len(seconds) // 2]:.2f}"]


def test_ctrl_c_saves_and_the_same_command_goes_on(tmp_path):
    words = ["lstm", "recall", *TINY[1:], "steps=1000", "every_steps=500"]
    command = [sys.executable, "-m", "workflow", "train", *words, "--results", str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("runs/*/.lease.*"))) < 2:  # of the references, then of the run
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGINT)
    _, told = process.communicate()
    assert process.returncode == 143, told
    assert told.splitlines()[-1] == "interrupted: what was done is saved; the same command goes on from here"
    folder = Path(trained(*words, results=tmp_path).splitlines()[-1])
    assert read_result(folder / "result.json").provenance.resumed == 1


def test_everything_is_listed_in_its_own_words():
    assert {line.split()[0] for line in listed("mixers").splitlines()} == set(mixers())
    assert {line.split()[0] for line in listed("architectures").splitlines()} == set(architectures())
    assert {line.split()[0] for line in listed("tasks").splitlines()} == set(tasks())
    assert {line.split()[0] for line in listed("experiments").splitlines()} == set(experiment_names())
    assert {line.split()[0] for line in listed("settings").splitlines()} == set(PRESETS)
    assert all(len(line.split()) > 2 for what in ("mixers", "tasks") for line in listed(what).splitlines())


@pytest.mark.parametrize("name", sorted({*mixers(), *architectures(), *tasks()}))
def test_every_field_of_what_is_shown_is_there(name):
    told = shown(name, examples=10)
    for registry in (mixers(), architectures(), tasks()):
        for field in registry[name].model_fields if name in registry else ():
            assert field == "name" or f"\n{field}" in told, field


def test_a_field_is_shown_with_what_it_may_be_what_is_usual_and_what_it_means():
    line = next(line for line in shown("mlstm", examples=10).splitlines() if line.startswith("chunk "))
    assert line.split("  ", 1)[0] == "chunk"
    assert "integer above 0" in line
    assert " 64 " in line
    assert "training works on chunks of at most `chunk` tokens" in line
    assert "gates.input_from" in shown("mlstm", examples=10)
    assert "optimizer.learning_rate" in shown("training", examples=10)
    with pytest.raises(ValueError, match="nothing is called 'gru'"):
        shown("gru", examples=10)


def test_numbers_stand_to_the_right_and_points_where_they_belong():
    assert table(["a", "score"], [["x", "1.5"], ["yy", "10.5"]]).splitlines() == ["a   score", "x     1.5", "yy   10.5"]
    lines = plot({"loss": [(0.0, 4.0), (100.0, 1.0)]}, x="step", y="loss").splitlines()
    assert lines[0] == "loss: o loss"
    assert lines[1].startswith("4 |o")
    assert lines[12].startswith("1 |")
    assert lines[12].endswith("o")
    assert plot({"loss": [(0.0, float("nan"))]}, x="step", y="loss") == "(nothing to draw)"


@pytest.mark.parametrize("command", ["train", "profile", "list", "show", "check"])
def test_help_teaches_by_examples(command):
    told = subprocess.run(
        [sys.executable, "-m", "workflow", command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert f"python -m workflow {command} " in told.stdout.partition("examples:")[2]


def test_what_is_wrong_is_one_line():
    command = [sys.executable, "-m", "workflow", "train", "mlstm", "recal"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert told.stderr.startswith("error: no task or setting is called 'recal'")
    assert told.stderr.count("\n") == 1
