"""What is learnt first: the trunk that is taken over, the same bits however often it is cut, and nothing that was held out."""

from pathlib import Path

import pytest
import torch
import yaml

from models.trunk import BYTES, take_trunk
from tasks.documents.library import containing, library
from tasks.language.corpora import SOURCES
from tests.models.rows import settings
from tests.workflow.synthetic import leave_results
from tests.workflow.test_figures import tables_of
from tests.workflow.test_training import BASE, CPU, Cut, folder_of, served
from workflow.checkpoints import Checkpoint
from workflow.fairness import fairness_rows
from workflow.identity import _deciding_files, run_id
from workflow.measured import Measured
from workflow.plans import Plan, needs, plan_of
from workflow.results import read_result
from workflow.runs import TrainingRun
from workflow.settings import run_at
from workflow.styles import DASH
from workflow.training.alone import Alone, drawn
from workflow.training.loop import Trainee, Training
from workflow.training.pretraining import pretrained
from workflow.tuning import tuning

SHA256 = SOURCES["sotu"].sha256
TEXT = {
    "name": "language-modeling",
    "corpus": "sotu",
    "corpus_sha256": SHA256,
    "tokenizer": {"name": "bytes"},
    "documents": "reset",
    "length": 32,
}
NEEDLE = {"preset": "ruler/niah/multi-query", "length": 96, "names": 2, "queries": 2, "digits": 1}
FIRST = {"task": TEXT, "steps": 8, "warmup_steps": 2, "batch_size": 4, "learning_rate": 0.01}


def run_of(changes=None) -> TrainingRun:
    stated = {"task": NEEDLE, "pretraining": FIRST, "evaluation.grid": {}, "optimizer.steps": 6}
    return run_at(BASE, stated | (changes or {}), where="test")


def test_the_trunk_is_taken_over_and_the_head_is_drawn():
    run = run_of()
    learnt, network, fresh = (drawn(each, device=CPU) for each in (run.before, run, run))
    for parameter in learnt.parameters():
        torch.nn.init.normal_(parameter)
    take_trunk(network, of=learnt)
    for name, parameter in network.named_parameters():
        if name.startswith(("blocks.", "norm.")):
            assert torch.equal(parameter, learnt.get_parameter(name)), name
    assert torch.equal(network.embedding.weight[:BYTES], learnt.embedding.weight[:BYTES])
    assert torch.equal(network.embedding.weight[BYTES:], fresh.embedding.weight[BYTES:])
    assert torch.equal(network.head.weight, fresh.head.weight)
    assert len(fresh.embedding.weight) > BYTES


@pytest.mark.parametrize("mixer", ["attention", "mlstm", "slstm", "mamba2"])
def test_a_pretrained_run_is_its_pretraining_and_then_its_task(tmp_path, mixer):
    run = run_of({"network.mixer": settings(mixer, {})})
    first = run.before
    program = Alone(first, drawn(first, device=CPU), learning_rate=0.01)
    trainee = Trainee("first", first, 0.01, Checkpoint(tmp_path / "first"), lambda step, loss, rows: None)
    ((_, learnt),) = Training(program, {0: trainee}, company=["first"], device=CPU).outcomes()
    network = drawn(run, device=CPU)
    take_trunk(network, of=program.networks[0])
    second = Trainee("second", run, 0.01, Checkpoint(tmp_path / "second"), lambda step, loss, rows: None)
    program = Alone(run, network, learning_rate=0.01)
    ((_, by_hand),) = Training(program, {0: second}, company=["second"], device=CPU).outcomes()

    folder = folder_of(tmp_path / "runs" / "it", run)
    served_as_named = folder.rename(folder.with_name(run_id(run)))
    served([served_as_named])
    result = read_result(served_as_named / "result.json")
    told = [row for row in result.measurements if row.at.get("split") == "pretraining"]
    assert [row for row in result.measurements if row not in told] == list(by_hand.measurements)
    scores = {(row.name, row.at["step"]): row.value for row in told if "step" in row.at}
    validation = [row for row in learnt.measurements if row.at.get("split") == "validation"]
    assert scores == {(row.name, row.at["step"]): row.value for row in validation}
    assert ("bits_per_byte", 8) in scores
    assert not (served_as_named / "checkpoints").exists()


def test_what_is_learnt_first_makes_a_difference_and_no_steps_make_none(tmp_path):
    scratch = run_of({"pretraining.steps": 0, "pretraining.learning_rate": None})
    plain = run_at(BASE, {"task": NEEDLE, "evaluation.grid": {}, "optimizer.steps": 6}, where="test")
    assert scratch.before is None
    assert run_id(scratch) != run_id(plain)
    folders = [folder_of(tmp_path / "runs" / run_id(run), run) for run in (scratch, plain, run_of())]
    served(folders)
    one, other, first = (read_result(folder / "result.json").measurements for folder in folders)
    assert one == other
    assert {row.value for row in first if row.name == "loss"} != {row.value for row in one if row.name == "loss"}


@pytest.mark.parametrize(
    "cut_at", [(0, 6), (1, 3), (1, 6)]
)  # in the pretraining, in the middle of the task, at its end
def test_a_pretrained_run_that_is_cut_ends_in_the_bits_of_an_undisturbed_one(tmp_path, monkeypatch, cut_at):
    run = run_of({"evaluation.every_steps": 3})
    folders = [folder_of(tmp_path / name / "runs" / run_id(run), run) for name in ("whole", "cut")]
    served(folders[:1])
    monkeypatch.setattr("workflow.checkpoints._SECONDS_BETWEEN", 0.0)
    evaluations = []

    def scored(self):
        evaluate(self)
        evaluations.append(self._step)
        if (evaluations.count(3) - 1, self._step) == cut_at:
            raise Cut

    evaluate = Training._evaluate
    with monkeypatch.context() as patch:
        patch.setattr(Training, "_evaluate", scored)
        with pytest.raises(Cut):
            served(folders[1:])
    assert list((folders[1] / "checkpoints").rglob("state.pt"))
    served(folders[1:])
    whole, cut = (read_result(folder / "result.json") for folder in folders)
    assert whole.measurements == cut.measurements


def test_a_pretraining_that_diverges_is_told_of_and_costs_the_run(tmp_path):
    run = run_of({"pretraining.learning_rate": 1e30, "optimizer.gradient_clip": 1e30})
    folder = folder_of(tmp_path / "runs" / run_id(run), run)
    served([folder])
    result = read_result(folder / "result.json")
    assert result.status == "diverged"
    assert result.detail.startswith("in pretraining: loss was not finite")


def test_cohorts_that_are_pretrained_are_trained_in_turn_even_where_a_stack_is_asked_for(tmp_path, capsys):
    folders = [folder_of(tmp_path / "runs" / run_id(run), run) for run in (run_of(), run_of({"seed": 2}))]
    served(folders, policy="always")
    assert "in turn: networks that are pretrained are trained in turn" in capsys.readouterr().err
    assert all((folder / "result.json").exists() for folder in folders)


def test_weights_that_are_split_are_refused_in_a_line(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "workflow.training.pretraining.processes", lambda: type("Split", (), {"sharded": True, "count": 2})
    )
    with pytest.raises(ValueError, match="without --shard"):
        pretrained(
            run_of(),
            learning_rate=0.1,
            device=CPU,
            checkpoint=Checkpoint(tmp_path),
            watch=lambda step, loss, rows: None,
        )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"task": BASE["task"]}, "pretraining on language-modeling for recall: both must read bytes"),
        ({"pretraining.task": BASE["task"]}, "pretraining on recall for text-needle: both must read bytes"),
        (
            {"pretraining.task.tokenizer": {"name": "bpe", "vocabulary": 1024, "sha256": "0" * 64}},
            "both must read bytes",
        ),
        (
            {"task": {"preset": "sotu/document-attribution/half-century-1024"}},
            "splits the documents in a way of its own",
        ),
        ({"pretraining.learning_rate": None}, "null for no steps, else a rate"),
        ({"pretraining.steps": 0}, "null for no steps, else a rate"),
        ({"pretraining.warmup_steps": 8}, "warmup_steps=8 must be below steps=8"),
        ({"optimizer.until": 3}, "tune without halving"),
    ],
)
def test_a_pretraining_that_cannot_be_meant_is_refused_in_a_line(changes, told):
    with pytest.raises(ValueError, match=told):
        run_of(changes)


def test_what_is_learnt_first_holds_out_the_documents_that_the_task_holds_out():
    split_D = library("sotu", SHA256).split_D
    run = run_of({"task": {"preset": "sotu/document-matching/1024", "piece": 96}, "pretraining.task.length": 96})
    for split in ("train", "validation", "test"):
        pieces = [run.before.task.batch(split, 0, 12).inputs, run.task.batch(split, 0, 12).inputs[:, :96]]
        for piece in map(bytes, torch.cat(pieces).tolist()):
            assert split in split_D[list(containing("sotu", SHA256, piece))]


def test_only_a_run_with_a_pretraining_is_named_by_its_code():
    scratch = run_of({"pretraining.steps": 0, "pretraining.learning_rate": None})
    names = {path.name for path in _deciding_files(run_of())} - {path.name for path in _deciding_files(scratch)}
    assert {"trunk.py", "pretraining.py", "modeling.py"} <= names


TRANSFER = yaml.safe_load(
    (Path(__file__).parent.parent.parent / "workflow/experiments/transfer.yaml").read_text("utf-8")
)


def transfer(changes=None) -> Plan:
    return plan_of(yaml.safe_dump(TRANSFER | (changes or {})), experiment="transfer", scale="quick")


def test_a_plan_chooses_the_rate_of_the_pretraining_before_that_of_the_task():
    plan = transfer()
    found = {planned.id: planned for planned in plan.runs}
    mixers = {planned.run.network.mixer.name for planned in plan.runs if planned.role == "confirm"}
    assert [planned.role for planned in plan.runs].count("pretrain") == len(mixers) * 2  # rates
    for planned in plan.runs:
        before = getattr(planned.run, "before", None)
        if planned.role not in ("tune", "confirm") or before is None:
            assert all(found[id].role != "pretrain" for id in needs([planned]))
            continue
        trials = [found[id] for id in planned.run.pretraining.learning_rate.best_of]
        assert {trial.role for trial in trials} == {"pretrain"}
        for trial in trials:
            same = before.model_copy(update={"optimizer": trial.run.optimizer, "seed": trial.run.seed})
            assert same == trial.run
        assert set(needs([planned])) >= {trial.id for trial in trials}


def test_a_pretraining_and_halving_are_refused_together():
    tune = TRANSFER["tune"] | {"halving": [{"until": 100, "keep": 1}]}
    with pytest.raises(ValueError, match="halving: a run that has a pretraining is trained to its end"):
        transfer({"tune": tune})


def test_the_tables_tell_what_was_learnt_first(tmp_path):
    plan = transfer()
    leave_results(plan, tmp_path)
    stored, estimates, measured = tables_of(plan, tmp_path)
    head, rows, _ = fairness_rows(Measured(stored, estimates, measured))
    column = [row[head.index("Pretraining tokens (M)")] for row in rows]
    assert set(column) == {f"0{DASH}0.614"}  # 300 steps of 16 sequences of 128 bytes
    assert set(tuning(measured, rates=stored.tuned)["role"]) == {"tune"}
    assert set(estimates["role"]) == {"confirm", "reference"}
