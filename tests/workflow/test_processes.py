"""One run trained by two processes, its weights whole or sharded: the numbers of one process, however it is cut."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.models.rows import ARCHITECTURES, settings
from tests.workflow.test_training import ROOT, Cut, folder_of, run_of, served, train_it
from workflow.checkpoints import Checkpoint
from workflow.results import read_result

pytestmark = pytest.mark.slow

ROUNDING = 1e-5  # relative: what the order of float32 sums may make of a score in twenty steps
SHORT = {"optimizer.steps": 20, "optimizer.batch_size": 8, "evaluation.every_steps": 4, "network.depth": 2}
LONG = {
    "optimizer.steps": 160,
    "optimizer.learning_rate": 1e-3,  # larger ones make much of rounding in so many steps
    "optimizer.batch_size": 8,
    "evaluation.every_steps": 4,
}


def native(name, *, tied):
    mixer = ARCHITECTURES[name].model_dump(mode="json")
    return {"network": {"block": "native", "width": 16, "depth": 2, "tied": tied, "mixer": mixer}}


CASES = {
    "attention": {"network.mixer": settings("attention", {})},
    "mlstm": {},
    "a native network, tied": native("llama", tied=True),
    "a native network, mixed": native("xlstm-mixed", tied=False),
    "in parts": {"execution.micro_batch": 2},
    "recomputed": {"execution.recompute": True},
    "scored in pieces": {"evaluation.piece": 5},
    "stopped at its goal": {"evaluation.stop_accuracy": 0.01, "optimizer.learning_rate": 1e-3},
}


def started(*arguments):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += ["-m", "workflow.training", "--curves", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def trained_by_two(*arguments):
    """Returns what was told, of training that succeeds."""
    process = started(*arguments)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    return told


def cut_by_two(*arguments):
    """Returns what was told, of training that is asked to stop once it has evaluated the last of the folders."""
    process = started(*arguments)
    deadline = time.monotonic() + 60
    while not (arguments[-1] / "curve.csv").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode != 0
    assert not (arguments[-1] / "result.json").exists(), "the run was over before it was cut"
    return told


def folders_of(path):
    return [folder_of(path / name, run_of(SHORT | case)) for name, case in CASES.items()]


def rows_of(folder):
    return read_result(folder / "result.json").measurements


def assert_equal_but_for_rounding(folder, other, *, relative=ROUNDING):
    """A hit is a hit or none: where losses are known to `relative` only, two of a split's may have become the other."""
    rows, others = rows_of(folder), rows_of(other)
    assert [(row.name, row.at) for row in rows] == [(row.name, row.at) for row in others]
    hits = 2 / min(row.value for row in rows if row.name == "labels") if relative > ROUNDING else 0.0
    for row, expected in zip(rows, others, strict=True):
        allowed = hits if row.name == "accuracy" else 0.0
        assert row.value == pytest.approx(expected.value, rel=relative, abs=allowed), (row.name, row.at)


@pytest.fixture(scope="module")
def by_one(tmp_path_factory):
    path = tmp_path_factory.mktemp("one")
    served(folders_of(path))
    return path


@pytest.fixture(scope="module", params=[(), ("--shard",)], ids=["whole", "sharded"])
def spread(request, tmp_path_factory):
    """Returns the arguments, the folder of all cases, and the folder of a long run, all trained by two processes."""
    path = tmp_path_factory.mktemp("two")
    long = folder_of(path / "long", run_of(LONG))
    trained_by_two(*request.param, *folders_of(path), long)
    return request.param, path, long


def test_two_processes_find_what_one_does(by_one, spread):
    arguments, path, _ = spread
    for name in CASES:
        assert_equal_but_for_rounding(path / name, by_one / name)
        made = read_result(path / name / "result.json").provenance
        assert (made.processes, made.sharded) == (2, bool(arguments))


def test_two_processes_that_are_cut_go_on_to_the_same_bits_together_and_to_the_same_numbers_alone(tmp_path, spread):
    arguments, _, long = spread
    cut = folder_of(tmp_path / "cut", run_of(LONG))
    told = cut_by_two(*arguments, cut)
    assert told.count("interrupted: what was done is saved") == 1
    (step,) = Checkpoint(cut / "checkpoints").steps()
    assert 4 <= step < 160
    alone = tmp_path / "alone"
    shutil.copytree(cut, alone)
    served([alone])
    trained_by_two(*arguments, cut)
    assert rows_of(cut) == rows_of(long)
    assert read_result(cut / "result.json").provenance.resumed == 1
    assert not (cut / "checkpoints").exists()
    assert_equal_but_for_rounding(alone, long, relative=1e-3)


@pytest.mark.parametrize("arguments", [(), ("--shard",)], ids=["whole", "sharded"])
def test_two_processes_go_on_from_what_one_left_and_pass_over_what_is_damaged(tmp_path, monkeypatch, by_one, arguments):
    folder = folder_of(tmp_path / "mlstm", run_of(SHORT))
    monkeypatch.setattr("workflow.checkpoints._SECONDS_BETWEEN", 0.0)

    def cut(step, loss, rows):
        if step == 16:
            raise Cut

    with pytest.raises(Cut):
        train_it(run_of(SHORT), folder, watch=cut)
    checkpoints = Checkpoint(folder / "checkpoints")
    assert checkpoints.steps() == [15, 14]
    (folder / "checkpoints" / f"{15:08}" / "state.pt").write_bytes(b"damaged")
    told = trained_by_two(*arguments, folder)
    assert told.count("is damaged (state.pt is not what was written)") == 1
    assert_equal_but_for_rounding(folder, by_one / "mlstm")


def test_parts_that_cannot_be_equal_are_refused_in_one_line(tmp_path):
    fit = folder_of(tmp_path / "fit", run_of())
    odd = folder_of(tmp_path / "odd", run_of({"optimizer.batch_size": 6, "execution.micro_batch": 2}))
    process = started(fit, odd)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    (line,) = [line for line in told.splitlines() if line.startswith("error: ")]
    assert line.endswith("optimizer.batch_size=6 is no multiple of 2 processes x execution.micro_batch=2")
    assert not (fit / "result.json").exists()


def test_one_process_has_nothing_to_shard_over(tmp_path):
    command = [sys.executable, "-m", "workflow.training", "--shard", str(folder_of(tmp_path, run_of()))]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr.count("\n")) == (1, 1)
    assert "torchrun" in told.stderr
