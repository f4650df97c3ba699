"""Every benchmark script runs, at toy size, and prints its ratio."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
TOY = {
    "generation.py": ["--experiment", "recall", "--scale", "smoke", "--rounds", "1"],
    "labelled_positions.py": ["--vocabulary", "64", "--length", "16", "--pairs", "2", "--rounds", "1"],
    "fused_kernels.py": ["--width", "128", "--length", "32", "--batch", "1", "--rounds", "1"],
    "native_blocks.py": ["--width", "64", "--length", "64", "--batch", "1", "--rounds", "1"],
}


@pytest.mark.parametrize(
    "script", sorted(path.name for path in FOLDER.glob("*.py") if not path.name.startswith("test_"))
)
def test_a_benchmark_prints_a_ratio(script):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
        "TRITON_INTERPRET": "0"
    }
    command = [sys.executable, "-m", f"tests.benchmarks.{Path(script).stem}", *TOY[script]]
    told = subprocess.run(
        command, cwd=FOLDER.parent.parent, capture_output=True, text=True, env=environment, check=True
    )
    assert re.search(r"ratio \d+\.\d", told.stdout)
