"""What the README shows works."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("example", re.findall(r"```python\n(.*?)```", README, re.DOTALL), ids=lambda text: text[:30])
def test_an_example_runs(example):
    exec(compile(example, "README.md", "exec"), {})


def test_every_file_and_folder_named_exists():
    named = set(re.findall(r"`((?:models|tasks|workflow|tests|results/reference)/[\w./-]*)`", README))
    assert named
    root = Path(__file__).parent.parent
    assert not {name for name in named if not (root / name).exists()}
