"""How a step is computed changes nothing but its rounding; what evaluations find can be watched."""

import csv
from functools import partial

import pytest
import torch

from tests.models.rows import settings
from tests.workflow.test_stacked import asked_to_stop, folders, members, numbers, results
from tests.workflow.test_training import CPU, folder_of, run_of, served
from workflow.progress import Progress
from workflow.runs import TrainingRun
from workflow.serving import serve
from workflow.training.alone import Alone, drawn
from workflow.training.cohort import execute
from workflow.training.objective import Objective
from workflow.training.replay import Replay
from workflow.training.stacked import Stacked


def losses(changes, *, steps=6):
    run = run_of(changes)
    program = Alone(run, drawn(run, device=CPU), learning_rate=0.01)
    return torch.cat([program.step(step) for step in range(steps)])


@pytest.mark.parametrize("task", ["recall", "bucket-sort"])
def test_a_step_in_parts_is_the_step_on_the_whole_batch(task):
    changes = {"optimizer.batch_size": 6}
    if task == "bucket-sort":  # whose sequences have unequally many labels
        changes["task"] = {"name": task, "minimum_length": 8, "maximum_length": 24, "symbols": 5, "source": "cdes"}
        changes["evaluation.grid"] = {}
    for micro_batch in (1, 2, 3):
        parted = losses(changes | {"execution.micro_batch": micro_batch})
        torch.testing.assert_close(parted, losses(changes), rtol=1e-4, atol=1e-5)


def test_a_micro_batch_that_does_not_divide_the_batch_is_refused():
    with pytest.raises(ValueError, match="micro_batch=3 does not divide"):
        run_of({"execution.micro_batch": 3})


@pytest.mark.parametrize("mixer", ["attention", "mlstm", "slstm", "mamba", "mamba2", "gated-deltanet", "lstm"])
def test_what_is_computed_again_for_the_gradient_leaves_the_bits_as_they_are(mixer):
    changes = {"network.mixer": settings(mixer, {}), "network.feedforward": 24, "network.depth": 2}
    assert torch.equal(losses(changes | {"execution.recompute": True}), losses(changes))


def test_recomputing_keeps_less_for_the_gradient():
    def kept(recompute):
        task = {"name": "recall", "length": 64, "vocabulary": 32, "pairs": 2, "fillers": 1, "power": 0.01}
        run = run_of({"network.depth": 4, "execution.recompute": recompute, "task": task})
        sizes = []
        program = Alone(run, drawn(run, device=CPU), learning_rate=0.01)
        batch = program._supply.at(0).parts[0]
        with torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.numel()) or x, lambda x: x):
            program._objective(*batch)
        return sum(sizes)

    assert kept(True) < 0.5 * kept(False)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_step_is_the_step():
    torch.compiler.reset()
    torch.testing.assert_close(losses({"execution.compile": True}), losses({}), rtol=1e-3, atol=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_slstm_writes_where_it_should():
    torch.compiler.reset()
    run = run_of({"network.mixer": settings("slstm", {})})
    network = run.network.build(run.task.vocabulary_size)
    inputs = run.task.batch("train", 0, 3).inputs
    torch.testing.assert_close(torch.compile(network, backend="aot_eager")(inputs), network(inputs))


def test_a_run_ends_at_the_step_asked_for_as_the_whole_passes_by_there(tmp_path):
    runs = [run_of({"optimizer.steps": 12, "optimizer.until": until}) for until in (6, None)]
    short, whole = folders(tmp_path, runs)
    served([short, whole])
    cut, full = results([short, whole])
    assert numbers(cut, name="steps") == [6]
    for split in ("train", "validation"):
        found = numbers(cut, name="loss", split=split)
        assert found == numbers(full, name="loss", split=split)[: len(found)]
        assert len(found) == 2
    assert not numbers(cut, name="accuracy", split="test")  # as it is one of several to choose from


@pytest.mark.parametrize("policy", ["never", "always"])
def test_a_later_rung_goes_on_where_the_one_before_left_and_comes_to_the_same_bits(tmp_path, monkeypatch, policy):
    rates = (0.003, 0.01, 0.02)
    first = [run_of({"optimizer.learning_rate": rate, "optimizer.until": 6}) for rate in rates]
    paths = folders(tmp_path, first)
    served(paths, policy=policy)
    assert all((path / "checkpoints").exists() for path in paths)
    selected = [{"best_of": [path.name for path in paths], "place": place} for place in (0, 1)]
    later = [
        folder_of(tmp_path / f"later-{index}", run_of({"optimizer.learning_rate": rate}))
        for index, rate in enumerate(selected)
    ]
    taken = []
    for program in (Alone, Stacked):
        step = program.step
        monkeypatch.setattr(program, "step", lambda self, at, step=step: taken.append(at) or step(self, at))
    served(later, policy=policy)
    assert min(taken) == 6
    assert [result.provenance.resumed for result in results(later)] == [0, 0]  # nothing was cut
    assert not any((path / "checkpoints").exists() for path in paths)  # which nobody goes on from any more
    monkeypatch.setattr("workflow.training.cohort.selected_trial", lambda run, *, runs: None)
    whole = [
        folder_of(tmp_path / f"whole-{path.name}", result.run)
        for path, result in zip(later, results(later), strict=True)
    ]
    served(whole, policy=policy)
    for one, other in zip(results(later), results(whole), strict=True):
        assert one.measurements == other.measurements


@pytest.mark.parametrize("until", [13, 5])
def test_an_end_beyond_the_schedule_or_between_evaluations_is_refused(until):
    with pytest.raises(ValueError, match=f"until={until} is"):
        run_of({"optimizer.until": until})


@pytest.mark.parametrize("policy", ["never", "always"])
def test_curves_hold_every_evaluation_once_also_of_a_run_that_was_cut(tmp_path, monkeypatch, policy):
    paths = folders(tmp_path, members())
    progress = partial(Progress, None, total=len(paths), curves=True)
    with asked_to_stop(monkeypatch, at=22):
        serve(paths, kind=TrainingRun, execute=partial(execute, policy=policy), progress=progress())
    serve(paths, kind=TrainingRun, execute=partial(execute, policy=policy), progress=progress())
    for path, result in zip(paths, results(paths), strict=True):
        with (path / "curve.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        curve = [row for row in result.measurements if "step" in row.at]
        told = [(row["name"], row["split"], int(row["step"]), float(row["value"])) for row in rows]
        assert told == [(row.name, row.at["split"], row.at["step"], row.value) for row in curve]


def test_tensorboard_that_is_not_there_is_an_error_in_words(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    folder = folder_of(tmp_path / "one", run_of())
    progress = Progress(None, total=1, tensorboard=tmp_path / "events")
    with pytest.raises(ValueError, match="pip install tensorboard"):
        serve([folder], kind=TrainingRun, execute=partial(execute, policy="never"), progress=progress)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("mixer", ["attention", "mlstm", "slstm", "mamba2", "gated-deltanet"])
def test_a_stack_in_a_cuda_graph_takes_the_steps_that_members_take_alone(mixer, precision):
    cuda = torch.device("cuda")
    runs = members({"network.mixer": settings(mixer, {}), "precision": precision})
    rates = [run.optimizer.learning_rate for run in runs]
    stacked = Stacked(runs, learning_rates=rates, device=cuda)
    alone = [Alone(run, drawn(run, device=cuda), learning_rate=rate) for run, rate in zip(runs, rates, strict=True)]
    for step in range(8):
        expected = torch.cat([one.step(step) for one in alone])
        torch.testing.assert_close(stacked.step(step), expected, rtol=2e-2, atol=2e-2)


@pytest.mark.gpu
@pytest.mark.parametrize("mixer", ["attention", "mlstm", "slstm", "mamba2"])
def test_no_step_waits_for_the_device(mixer):
    run = run_of({"network.mixer": settings(mixer, {})})
    program = Alone(run, drawn(run, device=torch.device("cuda")), learning_rate=0.01)
    for step in range(3):
        program.step(step)
    torch.cuda.set_sync_debug_mode("error")
    try:
        program.step(3)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
def test_a_replayed_function_changes_in_place_what_it_would_change():
    cuda = torch.device("cuda")
    total = torch.zeros(3, device=cuda)

    def add(x):
        total.add_(x)
        return total * 2

    replay = Replay(add, device=cuda)
    for number in range(1, 8):
        told = replay(torch.full((3,), float(number), device=cuda))
        assert told.tolist() == [number * (number + 1.0)] * 3


def test_elsewhere_a_replay_is_a_call():
    replay = Replay(lambda x, y: x if y is None else x + y, device=CPU)
    assert replay(torch.ones(2), None).tolist() == [1, 1]
    assert replay(torch.ones(2), torch.ones(2)).tolist() == [2, 2]


def test_the_objective_of_a_series_is_its_squared_error():
    network = torch.nn.Module()
    network.features, network.head = lambda x: x, torch.nn.Identity()
    values = torch.randn(2, 5, 3)
    targets = torch.randn(4, 3)
    index = torch.tensor([1, 4, 6, 9])
    total = Objective(network)(values, index, targets)
    torch.testing.assert_close(total, (values.flatten(0, 1)[index] - targets).square().sum())
