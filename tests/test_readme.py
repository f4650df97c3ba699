"""What the README shows works."""

import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from tasks import AnyTask
from workflow.catalogue import catalogue

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("example", re.findall(r"```python\n(.*?)```", README, re.DOTALL), ids=lambda text: text[:30])
def test_an_example_runs(example):
    exec(compile(example, "README.md", "exec"), {})


def test_every_extra_named_is_one():
    table = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
    named = set(re.findall(r"'\.\[([\w-]+)\]'", README))
    assert "display" in named
    assert named <= set(table["project"]["optional-dependencies"])


def test_every_file_and_folder_named_exists():
    named = set(re.findall(r"`((?:models|tasks|workflow|tests|config|profiles|results/reference)/[\w./-]*)`", README))
    assert named
    root = Path(__file__).parent.parent
    assert not {name for name in named if not (root / name).exists()}


def test_the_table_of_tasks_is_that_of_the_reference_results():
    root = Path(__file__).parent.parent
    told = (root / "tasks" / "README.md").read_text(encoding="utf-8")
    assert catalogue(root / "results" / "reference" / "quick") in told


def test_every_task_is_in_the_documentation():
    told = (Path(__file__).parent.parent / "tasks" / "README.md").read_text(encoding="utf-8")
    names = {get_args(task.model_fields["name"].annotation)[0] for task in get_args(get_args(AnyTask)[0])}
    assert not {name for name in names if f"`{name}`" not in told}
