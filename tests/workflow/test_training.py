"""A training run: the same bits however often it is cut, failures as statuses, and one process for a cohort."""

import math
import os
import signal
import subprocess
import sys
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from models.mixer import UnsupportedKernel
from tasks.task import IGNORE, Batch
from tests.models.rows import settings
from workflow.batches import prepared
from workflow.checkpoints import Checkpoint
from workflow.evaluation import scores
from workflow.files import write
from workflow.plans import run_at
from workflow.progress import Progress
from workflow.results import read_result
from workflow.runs import OptimizerSpec, RunFile, TrainingRun
from workflow.serving import read_run, serve
from workflow.training.alone import Alone, drawn
from workflow.training.cohort import execute
from workflow.training.loop import Trainee, Training
from workflow.training.objective import Objective
from workflow.training.optimizer import adamw, schedule

ROOT = Path(__file__).parent.parent.parent
CPU = torch.device("cpu")
BASE = {
    "kind": "training",
    "task": {"name": "recall", "length": 16, "vocabulary": 32, "pairs": 2, "fillers": 1, "power": 0.01},
    "network": {
        "block": "shared",
        "width": 16,
        "depth": 1,
        "positions": 0,
        "convolution": 4,
        "feedforward": 0,
        "mixer": settings("mlstm", {"heads": 1, "key_dim": 8, "chunk": 16}),
    },
    "optimizer": {
        "learning_rate": 0.01,
        "final_rate": 0.1,
        "warmup_steps": 2,
        "steps": 12,
        "until": None,
        "batch_size": 4,
        "weight_decay": 0.1,
        "beta2": 0.95,
        "gradient_clip": 1.0,
    },
    "evaluation": {"every_steps": 3, "batches": 2, "stop_accuracy": None, "piece": None, "grid": {"length": [24]}},
    "precision": "float32",
    "execution": {"compile": False, "recompute": False, "micro_batch": None},
    "seed": 1,
}


def run_of(settings=None) -> TrainingRun:
    return run_at(BASE, settings or {}, where="test")


def train_it(run, folder, *, learning_rate=0.01, watch=lambda step, loss, rows: None):
    checkpoint = Checkpoint(folder / "checkpoints")
    program = Alone(run, drawn(run, device=CPU), learning_rate=learning_rate)
    trainee = Trainee("it", run, learning_rate, checkpoint, watch)
    training = Training(program, {0: trainee}, company=["it"], device=CPU)
    if steps := checkpoint.steps():
        training.resume(steps[0])
    return next(outcome for _, outcome in training.outcomes())


def served(folders, *, policy="never"):
    progress = Progress(None, total=len(folders))
    serve(folders, kind=TrainingRun, execute=partial(execute, policy=policy), progress=progress)


def folder_of(path, run):
    write(path / "run.json", RunFile(run=run).model_dump_json())
    return path


class Cut(Exception):
    pass


@pytest.mark.parametrize("mixer", ["attention", "mlstm", "slstm", "mamba", "mamba2", "gated-deltanet", "lstm"])
def test_a_cut_run_ends_in_the_bits_of_an_undisturbed_one(tmp_path, monkeypatch, mixer):
    run = run_of({"network.mixer": settings(mixer, {})})
    undisturbed = train_it(run, tmp_path)
    monkeypatch.setattr("workflow.checkpoints._SECONDS_BETWEEN", 0.0)

    def cut(step, loss, rows):
        if step == 9:
            raise Cut

    with pytest.raises(Cut):
        train_it(run, tmp_path, watch=cut)
    assert Checkpoint(tmp_path / "checkpoints").steps() == [8, 7]
    assert train_it(run, tmp_path) == undisturbed


def test_a_run_cut_between_its_early_stop_and_its_test_does_not_train_on(tmp_path, monkeypatch):
    run = run_of({"evaluation.stop_accuracy": 0.01, "optimizer.steps": 300})
    undisturbed = train_it(run, tmp_path)
    monkeypatch.setattr("workflow.checkpoints._SECONDS_BETWEEN", 0.0)

    def cut(run, network):
        raise Cut

    with monkeypatch.context() as patch:
        patch.setattr("workflow.training.loop.tested", cut)
        with pytest.raises(Cut):
            train_it(run, tmp_path)
    assert train_it(run, tmp_path) == undisturbed


def test_seed_and_learning_rate_decide_the_result(tmp_path):
    assert train_it(run_of(), tmp_path) == train_it(run_of(), tmp_path)
    assert train_it(run_of(), tmp_path) != train_it(run_of({"seed": 2}), tmp_path)
    assert train_it(run_of(), tmp_path) != train_it(run_of(), tmp_path, learning_rate=0.02)


def test_a_loss_that_is_not_finite_is_a_status(tmp_path):
    outcome = train_it(run_of(), tmp_path, learning_rate=1e30)
    assert outcome.status == "diverged"
    assert "not finite" in outcome.detail
    assert all(math.isfinite(row.value) for row in outcome.measurements)


def test_training_stops_at_the_accuracy_asked_for(tmp_path):
    outcome = train_it(run_of({"evaluation.stop_accuracy": 0.01, "optimizer.steps": 300}), tmp_path)
    (steps,) = [row.value for row in outcome.measurements if row.name == "steps"]
    validation = [row for row in outcome.measurements if row.name == "accuracy" and row.at["split"] == "validation"]
    assert validation[-1].value >= 0.01
    assert all(row.value < 0.01 for row in validation[:-1])
    assert steps == validation[-1].at["step"] < 300


def test_every_length_is_tested_and_every_number_has_its_address(tmp_path):
    outcome = train_it(run_of(), tmp_path)
    tested = {
        row.at.get("length") for row in outcome.measurements if row.name == "accuracy" and row.at["split"] == "test"
    }
    assert tested == {None, 24}
    addresses = [(row.name, *sorted(row.at.items())) for row in outcome.measurements]
    assert len(addresses) == len(set(addresses))


def test_learning_learns(tmp_path):
    outcome = train_it(
        run_of({"optimizer.steps": 150, "optimizer.batch_size": 32, "evaluation.every_steps": 50}), tmp_path
    )
    losses = [row.value for row in outcome.measurements if row.name == "loss" and row.at.get("split") == "validation"]
    assert losses[-1] < losses[0] - 0.5


def test_the_loss_is_taken_at_labelled_positions_only():
    run = run_of()
    network = run.network.build(run.task.vocabulary_size).double()
    tokens, targets = run.task.batch("train", 0, 3)
    total = Objective(network)(*prepared(Batch(tokens, targets)))
    everywhere = torch.nn.functional.cross_entropy(
        network(tokens).flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORE
    )
    torch.testing.assert_close(total / (targets != IGNORE).sum(), everywhere)


def test_scores_agree_with_the_definition():
    run = run_of()
    torch.manual_seed(0)
    network = run.network.build(run.task.vocabulary_size)
    found = scores(network, run.task, split="validation", run=run)
    bits, right, count = 0.0, 0, 0
    for index in range(2):
        tokens, targets = run.task.batch("validation", index, 4)
        with torch.no_grad():
            logits = network(tokens)
        for b, t in (targets != IGNORE).nonzero().tolist():
            bits -= math.log2(torch.softmax(logits[b, t].double(), -1)[targets[b, t]].item())
            right += int(logits[b, t].argmax() == targets[b, t])
            count += 1
    assert found.mean("bits") == pytest.approx(bits / count, rel=1e-5)
    assert found.mean("right") == pytest.approx(right / count)
    assert found.labels_T.sum() == count


@pytest.mark.parametrize("piece", [1, 5, 1000])
def test_a_test_read_in_pieces_scores_what_one_read_at_once_does(piece):
    run = run_of()
    torch.manual_seed(0)
    network = run.network.build(run.task.vocabulary_size)
    at_once = scores(network, run.task, split="test", run=run)
    pieces = scores(network, run.task, split="test", run=run_of({"evaluation.piece": piece}))
    torch.testing.assert_close(pieces.sums["bits"], at_once.sums["bits"], rtol=1e-5, atol=1e-5)
    assert torch.equal(pieces.labels_T, at_once.labels_T)


def test_the_schedule_warms_up_and_falls_to_the_final_rate():
    spec = OptimizerSpec.model_validate(BASE["optimizer"] | {"warmup_steps": 10, "steps": 110})
    rates = [schedule(step, spec) for step in range(110)]
    assert all(a < b for a, b in pairwise(rates[:11]))
    assert rates[10] == 1
    assert all(a > b for a, b in pairwise(rates[10:]))
    assert rates[-1] == pytest.approx(0.1, abs=1e-3)


def test_weight_decay_leaves_embeddings_biases_and_norms_alone():
    run = run_of()
    network = run.network.build(run.task.vocabulary_size)
    decayed, plain = (group["params"] for group in adamw(network, run.optimizer).param_groups)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    assert {names[id(parameter)] for parameter in decayed} & {"embedding.weight"} == set()
    assert all(parameter.ndim >= 2 for parameter in decayed)
    assert len(decayed) + len(plain) == len(names)


def test_the_gradient_is_clipped():
    run = run_of({"optimizer.gradient_clip": 1e-3})
    program = Alone(run, drawn(run, device=CPU), learning_rate=0.01)
    program.step(0)
    (network,) = program.networks
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(p.grad) for p in network.parameters()]))
    assert norm.item() == pytest.approx(1e-3, rel=1e-3)


def test_a_finished_run_is_not_trained_again(tmp_path):
    folder = folder_of(tmp_path / "a-run", run_of())
    served([folder])
    before = (folder / "result.json").stat().st_mtime_ns
    served([folder])
    assert (folder / "result.json").stat().st_mtime_ns == before


def test_a_result_does_not_depend_on_its_company(tmp_path):
    runs = [run_of({"seed": seed}) for seed in (1, 2)]
    together = [folder_of(tmp_path / f"together-{run.seed}", run) for run in runs]
    alone = folder_of(tmp_path / "alone", runs[1])
    served(together)
    served([alone])
    first, second = (read_result(folder / "result.json") for folder in (together[1], alone))
    assert first.measurements == second.measurements


def test_a_folder_named_as_a_run_must_hold_that_run(tmp_path):
    folder = folder_of(tmp_path / "runs" / "amber-owl-000000000000", run_of())
    with pytest.raises(ValueError, match="is not named after its run"):
        read_run(folder, kind=TrainingRun)


@pytest.mark.parametrize(
    ("text", "told"),
    [("{", "run.json"), ('{"run": {"kind": "training"}}', "Field required"), (None, "is missing")],
)
def test_an_unfit_folder_is_one_line_and_no_result(tmp_path, text, told):
    if text is not None:
        write(tmp_path / "run.json", text)
    told_by = subprocess.run(
        [sys.executable, "-m", "workflow.training", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert told_by.returncode == 1
    assert told_by.stderr.startswith("error: ")
    assert told_by.stderr.count("\n") == 1
    assert told in told_by.stderr
    assert not (tmp_path / "result.json").exists()


def test_a_disk_that_takes_no_more_is_one_line_and_nothing_is_lost(tmp_path):
    run = run_of({"network.width": 64})
    folder, undisturbed = folder_of(tmp_path / "full", run), folder_of(tmp_path / "undisturbed", run)
    served([undisturbed])
    program = (
        "import resource, runpy, sys, workflow.checkpoints as c; c._SECONDS_BETWEEN = 0.0; sys.argv[0] = 'training'\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
        "runpy.run_module('workflow.training', run_name='__main__')"
    )
    command = [sys.executable, "-c", program, str(folder)]
    told = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert told.returncode == 1
    (line,) = told.stderr.splitlines()
    assert line.startswith(f"error: {folder}")
    assert "File too large" in line
    assert not (folder / "result.json").exists()
    assert not [*(folder / "checkpoints").iterdir()]
    served([folder])
    first, second = (read_result(path / "result.json") for path in (folder, undisturbed))
    assert first.measurements == second.measurements


def test_what_a_killed_process_left_beside_a_result_is_removed(tmp_path):
    folder = folder_of(tmp_path / "one", run_of())
    served([folder])
    (folder / "checkpoints" / "00000003").mkdir(parents=True)
    served([folder])
    assert not (folder / "checkpoints").exists()


@pytest.mark.slow
def test_a_process_killed_at_any_moment_leaves_nothing_half_and_is_continued_to_the_same_bits(tmp_path):
    run = run_of({"optimizer.steps": 400, "optimizer.batch_size": 16, "evaluation.every_steps": 20})
    undisturbed = folder_of(tmp_path / "undisturbed", run)
    served([undisturbed])
    killed = folder_of(tmp_path / "killed", run)
    program = (
        "import sys, workflow.checkpoints as c; c._SECONDS_BETWEEN = 0.0; sys.argv[0] = 'training'\n"
        "import runpy; runpy.run_module('workflow.training', run_name='__main__')"
    )
    kills = 0
    while not (killed / "result.json").exists():
        process = subprocess.Popen([sys.executable, "-c", program, str(killed)], cwd=ROOT)
        whole = [*killed.glob("checkpoints/[0-9]*")]
        while process.poll() is None and kills < 4:
            if set(killed.glob("checkpoints/[0-9]*")).difference(whole):
                time.sleep(0.01 * kills)
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.005)
        process.wait()
    continued, expected = (read_result(folder / "result.json") for folder in (killed, undisturbed))
    assert kills == 4
    assert continued.provenance.resumed >= 3  # from a checkpoint at step 0 nothing is continued
    assert continued.measurements == expected.measurements
    assert not (killed / "checkpoints").exists()


def test_a_kernel_that_this_machine_lacks_is_an_error_and_no_outcome(tmp_path):
    run = run_of({"network.mixer": settings("mamba2", {"kernel": "mamba-ssm"})})
    write(tmp_path / "run.json", RunFile(run=run).model_dump_json())
    with pytest.raises(UnsupportedKernel, match="mamba-ssm"):
        served([tmp_path])
    assert not (tmp_path / "result.json").exists()
