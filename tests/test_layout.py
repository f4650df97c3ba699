"""The shape of the repository: what may import what, and what every specification promises."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from models.hybrid import HybridSpec
from models.mixer import MixerSpec
from models.native.architecture import ArchitectureSpec
from models.network import NativeNetworkSpec, SharedNetworkSpec
from tasks.task import Task
from workflow.spec import Spec

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {"models": {"models"}, "tasks": {"tasks"}, "workflow": {"models", "tasks", "workflow"}}


def python_files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_imports_go_one_way(folder):
    for path in python_files(folder):
        assert imported(path) & set(MAY_IMPORT) <= MAY_IMPORT[folder], path


def test_modules_are_imported_by_their_full_name():
    """The digest of a run's code follows `from tasks.x import y`; only registries are imported from the packages themselves."""
    registries = {"models": {"Mixer", "Architecture"}, "tasks": {"AnyTask"}}
    for folder in ("models", "tasks"):
        for path in python_files(folder):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    assert not {alias.name.split(".")[0] for alias in node.names} & set(MAY_IMPORT), path
                if isinstance(node, ast.ImportFrom) and node.module in registries:
                    assert {alias.name for alias in node.names} <= registries[node.module], path


@pytest.mark.parametrize(
    "module",
    ["claims.__main__", "estimates", "figures", "paper.__main__", "report.__main__", "scaling.__main__", "tables"],
)
def test_who_reads_tables_starts_without_torch(module):
    program = f"import sys, workflow.{module}; assert not {{'torch', 'models', 'tasks'}} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_no_module_hides_one_of_the_standard_library():
    for folder in MAY_IMPORT:
        assert not {path.stem for path in python_files(folder)} & sys.stdlib_module_names


def subclasses(base: type) -> list[type[BaseModel]]:
    """With those that inherit them; what a reader's own file, or the README, defines is theirs."""
    ours = [cls for cls in base.__subclasses__() if cls.__module__.partition(".")[0] in {*MAY_IMPORT, "tests"}]
    return [base, *(inner for cls in ours for inner in subclasses(cls))]


def test_specs_are_frozen_strict_and_closed():
    specs = [spec for base in (MixerSpec, ArchitectureSpec, HybridSpec, Task, Spec) for spec in subclasses(base)]
    specs += [SharedNetworkSpec, NativeNetworkSpec]
    for spec in specs:
        config = spec.model_config
        assert config["frozen"], spec
        assert config["strict"], spec
        assert config["extra"] == "forbid", spec


def test_fields_that_decide_a_result_have_no_default_but_to_be_absent():
    """What is absent stands in no record and changes no run's name, so none reads otherwise than it was written."""
    from workflow.runs import (
        EvaluationSpec,
        OptimizerSpec,
        Pretraining,
        ProfilingRun,
        ReferenceRun,
        Selected,
        TrainingRun,
    )

    runs = [
        TrainingRun,
        ProfilingRun,
        ReferenceRun,
        OptimizerSpec,
        EvaluationSpec,
        Pretraining,
        Selected,
        SharedNetworkSpec,
        NativeNetworkSpec,
    ]
    models = [spec for base in (MixerSpec, ArchitectureSpec, HybridSpec) for spec in subclasses(base)]
    for spec in runs + models + subclasses(Task):
        for name, field in spec.model_fields.items():
            absent = field.default is None and field.exclude_if is not None and field.exclude_if(None)
            assert field.is_required() or absent, (spec, name)


def test_nothing_else_lies_at_the_top():
    tracked = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True).stdout
    top = {line.split("/")[0] for line in tracked.splitlines()}
    folders = {"models", "tasks", "workflow", "config", "profiles", "results", "tests", ".ci"}
    files = {"README.md", "LICENSE", "Makefile", "Snakefile", "environment.yml", "pyproject.toml", "requirements.lock"}
    files |= {"Dockerfile", ".dockerignore", ".snakemake-workflow-catalog.yml"}
    assert top <= folders | files | {".gitignore"}
