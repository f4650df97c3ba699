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
    "nanogpt_loop.py": ["--scale", "smoke", "--steps", "1", "--rounds", "1"],
    "native_blocks.py": ["--width", "64", "--length", "64", "--batch", "1", "--rounds", "1"],
    "overhead.py": ["--experiment", "recall", "--scale", "smoke"],
    "profiler.py": ["--length", "16", "--pairs", "3"],
    "trainer_loop.py": ["--scale", "smoke", "--steps", "1", "--rounds", "1"],
    "zoology_loop.py": ["--vocabulary", "64", "--length", "16", "--pairs", "2", "--batch", "4", "--rounds", "1"],
}


@pytest.mark.parametrize("script", sorted(TOY))
def test_a_benchmark_prints_a_ratio(script):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
        "TRITON_INTERPRET": "0"
    }
    command = [sys.executable, "-m", f"tests.benchmarks.{Path(script).stem}", *TOY[script]]
    told = subprocess.run(
        command, cwd=FOLDER.parent.parent, capture_output=True, text=True, env=environment, check=True
    )
    assert re.search(r"ratio \d+\.\d", told.stdout)


def test_every_benchmark_runs_here_but_those_that_only_count():
    scripts = {path.name for path in FOLDER.glob("*.py") if "__main__" in path.read_text(encoding="utf-8")}
    assert scripts - {"faults.py", "kills.py", "scale.py", "test_benchmarks.py"} == set(TOY)


@pytest.mark.parametrize(
    ("script", "remedy"),
    [
        (["zoology_loop", "--zoology", "."], "git clone https://github.com/HazyResearch/zoology"),
        (["nanogpt_loop", "--nanogpt", "."], "git clone https://github.com/karpathy/nanoGPT"),
    ],
)
def test_a_folder_that_is_no_checkout_of_a_peer_is_refused_with_where_to_clone_it_from(script, remedy):
    command = [sys.executable, "-m", f"tests.benchmarks.{script[0]}", *script[1:]]
    told = subprocess.run(command, cwd=FOLDER.parent.parent, capture_output=True, text=True, check=False)
    assert told.returncode == 2
    assert remedy in told.stderr.splitlines()[-1]
