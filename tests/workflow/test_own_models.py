"""A mixer from a reader's own file: the README's example and broken ones, its runs' names, and the others beside it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from models.own import kept_file, own_mixer
from tests.workflow import synthetic
from tests.workflow.test_figures import COST, tables_of
from workflow.claims.__main__ import tables_of as claimed
from workflow.claims.files import all_claims, claims_of
from workflow.claims.verdicts import verdicts
from workflow.contract import checked
from workflow.entrants import entrants, mixers_of
from workflow.identity import _deciding_files, run_id
from workflow.paper.citations import cited
from workflow.plans import Plan, plan, plan_of, write_runs
from workflow.results import read_result
from workflow.runs import ProfilingRun, ReferenceRun, RunFile, TrainingRun
from workflow.scaling.lines import lines, samples
from workflow.scaling.pairs import crossovers
from workflow.settings import run_at
from workflow.styles import STYLES, looks
from workflow.table import is_own, read_table, without_own, write_table
from workflow.training.choice import chosen

ROOT = Path(__file__).parents[2]
EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
(GRU,) = [example for example in EXAMPLES if "MixerSpec" in example]
MINE = """
from typing import Literal
from models.mlstm import MLSTMSpec

class MineSpec(MLSTMSpec):
    name: Literal["mine"]
"""


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIAL_MODELS", str(tmp_path / "store"))
    monkeypatch.setitem(synthetic._SKILL, "gru", 0.6)
    monkeypatch.setitem(synthetic._SKILL, "mine", 0.99)
    return tmp_path / "store"


def written(folder: Path, text: str = GRU, name: str = "gru.py") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def gru(folder: Path, text: str = GRU) -> dict:
    (mixer,) = entrants(str(written(folder, text)))
    return mixer


def run_with(mixer: dict, *, kind: str = "training", **settings) -> TrainingRun | ProfilingRun:
    name = {"training": "recall", "profiling": "cost"}[kind]
    base = next(run.run for run in plan(name, scale="smoke").runs if run.role in ("tune", "profile"))
    return run_at(base.model_dump(mode="json"), {"network.mixer": mixer} | settings, where="test")


def own_rows(found: Plan) -> list[tuple[str, str]]:
    return [
        (run.id, run.role)
        for run in found.runs
        if not isinstance(run.run, ReferenceRun) and run.run.network.mixer.name in ("gru", "mine")
    ]


def test_the_example_keeps_the_contract(tmp_path):
    found = checked(own_mixer(gru(tmp_path)), width=16)
    assert len(found) == 9
    assert not any(found.values()), found


@pytest.mark.parametrize(
    ("old", "new", "asked"),
    [
        ("self.out(h_BTF), state", "self.out(h_BTF.flip(1)), state", "causal"),
        ("self.out(h_BTF), state", "self.out(h_BTF - h_BTF.mean(0)), state", "sequences apart"),
        ("return y_BTW[:, 0], state", "return 2 * y_BTW[:, 0], state", "forward = steps"),
        ("self.out(h_BTF), state", "self.out(h_BTF), 0.9 * state", "prefill, then steps"),
        ("new_zeros(1, batch,", "new_zeros(2, batch,", "build"),
        ("return self.out(h_BTF), state", "return self.out(h_BTF), state, 1", "forward = prefill"),
        ("return 2 * time", "return 3 * time", "operations"),
        ("return self.out(h_BTF), state", "return self.out(h_BTF.detach()), state", "gradients"),
        ("return GRU(", "return nn.GRU(width, width) or GRU(", "build"),
    ],
)
def test_what_is_not_kept_of_the_contract_is_said(tmp_path, old, new, asked):
    assert old in GRU
    (mixer,) = mixers_of(written(tmp_path, GRU.replace(old, new)), {}, offered={})
    assert checked(own_mixer(mixer), width=16)[asked]
    with pytest.raises(ValueError, match=r"gru\.py: gru: .*; `python -m workflow check .*` tells all"):
        entrants(str(tmp_path / "gru.py"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('Literal["gru"]', 'Literal["lstm"]', "the name lstm is taken by a built-in architecture: give it another one"),
        ('Literal["gru"]', 'Literal["Gru 2"]', "is not of small letters, digits and hyphens"),
        ('Literal["gru"]', "str", "GRUSpec says no name: give it the field"),
        (
            "PositiveInt = 64",
            "PositiveInt",
            "gru: hidden has no value: say hidden=..., or give the field a usual value",
        ),
        ("(MixerSpec)", "", "there is no specification of a mixer in it: define a class that inherits models.mixer"),
        ("def build", "def make", "GRUSpec has no build"),
        ("def step", "def advance", "Can't instantiate abstract class GRU"),
        ("class GRU(", "class GRU)", ": unmatched ')'"),
        ("from torch import nn", "from torch import nn\nimport nowhere_to_be_found", "ModuleNotFoundError"),
        (
            "from torch import nn",
            "from torch import nn\nimport models.layers",
            "line 5 imports models.layers: a mixer is",
        ),
        (
            "from torch import nn",
            "from torch import nn\nfrom workflow import plans",
            "line 5 imports workflow: a mixer",
        ),
        ("from torch import nn", "from torch import nn\nimport beside", "it imports beside, which lies beside it"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line_and_is_not_kept(tmp_path, store, old, new, said):
    assert old in GRU
    (tmp_path / "beside.py").touch()
    path = written(tmp_path, GRU.replace(old, new, 1))
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        entrants(str(path))
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    assert "Can't" in said or not list(store.glob("*.py"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{folder}/none.py", "none.py: there is no such file"),
        ("{folder}/gru.py hiden=3", "gru: hiden: Extra inputs are not permitted"),
        ("{folder}/gru.py name=lstm", "the name lstm is taken"),
        ("{folder}/gru.py name=gro", "there is no mixer gro in the file, which has gru"),
        ("{folder}/gru.py {folder}/gru.py hidden=2", "two mixers are called gru: give one of them another name"),
    ],
)
def test_a_line_that_names_what_is_not_there_is_refused(tmp_path, line, said):
    written(tmp_path)
    with pytest.raises(ValueError, match=re.escape(said)):
        entrants(line.format(folder=tmp_path))


def test_fields_are_set_behind_the_file(tmp_path):
    (mixer,) = entrants(f"{written(tmp_path)} hidden=8")
    assert mixer["hidden"] == 8


def test_a_run_is_named_after_what_the_file_says_and_not_after_where_it_lies(tmp_path):
    first = run_id(run_with(gru(tmp_path)))
    (tmp_path / "elsewhere").mkdir()
    assert run_id(run_with(gru(tmp_path / "elsewhere"))) == first
    edited = GRU.replace("batch_first=True", "batch_first=True, bias=True")
    assert edited != GRU
    assert run_id(run_with(gru(tmp_path, edited))) != first


def test_a_run_is_named_after_what_the_file_imports(tmp_path):
    mixer = gru(tmp_path, GRU.replace("from models.layers", "from models.mamba import MambaSpec\nfrom models.layers"))
    assert ROOT / "models" / "mamba.py" in _deciding_files(run_with(mixer))
    assert ROOT / "models" / "mamba.py" not in _deciding_files(run_with(gru(tmp_path)))


def test_a_run_is_read_back_as_it_was_written_also_inside_a_hybrid(tmp_path):
    mixer = gru(tmp_path)
    for network in (mixer, {"name": "hybrid", "pattern": [{"name": "lstm", "hidden": 8}, mixer]}):
        run = run_with(network)
        assert RunFile.model_validate_json(RunFile(run=run).model_dump_json()).run == run
        assert run.network.build(16)(torch.zeros(1, 4, dtype=torch.int64)).shape == (1, 4, 16)


@pytest.mark.parametrize(
    "experiment", ["recall", "cost", "gates", "stability", "transfer", "scaling-law", "native-cost"]
)
def test_an_entrant_more_leaves_every_other_run_and_control_as_it_was(tmp_path, experiment):
    before, after = plan(experiment, scale="smoke"), plan(experiment, scale="smoke", own=[gru(tmp_path)])
    mine = dict(own_rows(after))
    rest = [run for run in after.runs if run.id not in mine]
    assert rest == list(before.runs)
    assert before._replace(runs=()) == after._replace(runs=())
    assert bool(mine) == (experiment not in ("scaling-law", "native-cost"))


def test_an_entrant_is_tuned_and_confirmed_as_all_are(tmp_path):
    found = plan("recall", scale="quick", own=[gru(tmp_path)])

    def settings(name: str, role: str) -> list[str]:
        rows = [run.run for run in found.runs if run.role == role and run.run.network.mixer.name == name]
        rates = [run.optimizer.learning_rate if role == "tune" else 1.0 for run in rows]
        return [
            run.model_copy(
                update={
                    "network": None,
                    "optimizer": run.optimizer.model_copy(update={"learning_rate": rate}),
                }
            ).model_dump_json(warnings=False)
            for run, rate in zip(rows, rates, strict=True)
        ]

    for role, count in (("tune", 3), ("confirm", 9)):
        assert settings("gru", role) == settings("slstm", role)
        assert len(settings("gru", role)) == count


def test_another_process_trains_it_from_the_kept_copy(tmp_path, store):
    run = run_with(gru(tmp_path), **{"optimizer.steps": 4, "evaluation.every_steps": 2})
    (tmp_path / "gru.py").unlink()
    write_runs({run_id(run): run}, results=tmp_path)
    folder = tmp_path / "runs" / run_id(run)
    command = [sys.executable, "-m", "workflow.training", str(folder)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert read_result(folder / "result.json").status == "finished"
    (copy,) = (tmp_path / "models").glob("*.py")
    assert copy.read_text(encoding="utf-8") == GRU
    (kept,) = store.glob("*.py")
    kept.write_text(GRU + "\n# edited", encoding="utf-8")
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert "was edited: a kept mixer is never changed" in told.stderr
    kept.unlink()
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert f"{kept} is missing, the mixer that this run is of" in told.stderr
    with pytest.raises(ValueError, match="is missing"):
        kept_file(kept.stem)


def test_it_is_profiled_in_processes_of_its_own(tmp_path):
    run = run_with(gru(tmp_path), kind="profiling")
    write_runs({run_id(run): run}, results=tmp_path)
    folder = tmp_path / "runs" / run_id(run)
    command = [sys.executable, "-m", "workflow.profiling", str(folder)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert read_result(folder / "result.json").status == "finished"


def test_it_is_never_stacked(tmp_path):
    runs = [run_with(gru(tmp_path), seed=seed) for seed in (1, 2)]
    choice = chosen(runs, learning_rates=[0.1, 0.1], policy="always", device=torch.device("cpu"), records=tmp_path)
    assert not choice.stack
    assert choice.why == "a mixer from a file of your own is trained in turn"


def test_it_has_a_look_that_no_other_has(tmp_path):
    found = plan_of(
        synthetic.RECALL, experiment="recall", scale="quick", own=[gru(tmp_path), *entrants(mine(tmp_path))]
    )
    _, estimated, measured = tables_of(found, tmp_path / "with")
    specs = estimated[estimated["network.mixer.name"].notna()].drop_duplicates("network.mixer.name")
    styles = [look.style for look in looks(specs, ["network.mixer.name"])]
    assert {"gru", "mine"} < {style.label for style in styles}
    assert len({style.colour for style in styles}) == len({style.marker for style in styles}) == len(styles)
    own = [style for style in styles if style.label in ("gru", "mine")]
    assert not {style.colour for style in own} & {style.colour for style in STYLES.values()}
    assert cited(measured) == cited(without_own(measured))


def mine(folder: Path) -> str:
    """A line that names mLSTM under another name: it has all fields by which claims choose."""
    fields = json.dumps(
        {"input": "exp", "normaliser": True, "input_from": "token", "forget_from": "token"}
        | {"input_bias": [0.0, 0.1], "forget_bias": [3.0, 6.0], "cap": None}
    ).replace(" ", "")
    return f"{written(folder, MINE, 'mine.py')} heads=1 key_dim=64 chunk=16 kernel=torch 'gates={fields}'"


UNNAMED = """
family: recall
claims:
  - id: more-keys-recall-more
    statement: More keys recall more.
    source: a test
    scope: whatever has keys
    estimand:
      kind: contrast
      experiment: recall
      metric: accuracy
      where: {task.pairs: most}
      plus: [{network.mixer.key_dim: most}]
      minus: [{network.mixer.key_dim: least}]
    claimed: {above: 0}
"""


def test_no_verdict_hangs_on_it(tmp_path):
    claims = [*(claim for claim in all_claims() if claim.experiment == "recall"), *claims_of(UNNAMED, "test")]
    judged = []
    for folder, own in (("without", ()), ("with", entrants(mine(tmp_path)))):
        found = plan_of(synthetic.RECALL, experiment="recall", scale="quick", own=own)
        lost = {id: "diverged" for id, role in own_rows(found) if role == "confirm"}
        tables_of(found, tmp_path / folder, ended=lost)
        behaved = pd.DataFrame({"control": ["oracle"], "behaved": ["yes"]})
        write_table(behaved, tmp_path / folder / "quick" / "recall" / "controls.csv")
        tables = claimed(tmp_path / folder / "quick" / "recall")
        judged.append(verdicts(tuple(claims), {"recall": tables}, archive={}))
    without, beside = judged
    assert without.iloc[-1]["verdict"] != "not evaluable", without.iloc[-1]["reason"]
    pd.testing.assert_frame_equal(without, beside)


def test_no_crossing_of_others_hangs_on_it(tmp_path):
    found = []
    for folder, own in (("without", []), ("with", [gru(tmp_path)])):
        planned = plan_of(COST, experiment="cost", scale="quick", own=own)
        _, estimated, measured = tables_of(planned, tmp_path / folder)
        known = lines(estimated)
        write_table(crossovers(known, samples(measured)), tmp_path / f"{folder}.csv")
        keys = {
            line.key for line in known if line.fields["network.mixer.name"] != "gru"
        }  # by which times are resampled
        found.append((keys, read_table(tmp_path / f"{folder}.csv")))
    (keys, before), (keys_beside, beside) = found
    assert is_own(beside).any()
    assert keys == keys_beside
    others = without_own(beside).reset_index(drop=True)
    pd.testing.assert_frame_equal(before, others, check_like=True, check_dtype=False)


def test_snakemake_says_in_one_line_what_is_wrong_with_the_file(tmp_path):
    command = [str(Path(sys.executable).parent / "snakemake"), "-n", "--config", "scale=smoke", f"results={tmp_path}"]
    told = subprocess.run(
        [*command, f"model={tmp_path}/none.py"], cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ
    )
    assert told.returncode == 1
    assert f"error: {tmp_path}/none.py: there is no such file" in told.stderr
    assert "Traceback" not in told.stderr
