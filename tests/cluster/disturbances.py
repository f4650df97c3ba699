"""A pipeline on SLURM that is disturbed again and again: do its results equal those of one that was left alone?

    python -m tests.cluster.disturbances --kills 20 --cancels 20 --preemptions 5 --requeues 5 recall documents

Needs root and SLURM's programs (`tests/cluster/slurm.py`). Takes as long as the experiments do at `smoke`, and some
seconds for every disturbance.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.cluster.slurm import Slurm, missing
from tests.test_pipeline import measured

ROOT = Path(__file__).parent.parent.parent
_PATIENCE = 1800.0  # seconds until something is held to hang
_LONGEST_PAUSE = 8.0  # seconds that a job has run before it is disturbed, at most


class Pipeline:
    """A submitter, called again until it has ended well, and the results it leaves."""

    def __init__(self, cluster: Slurm, results: Path, experiments: tuple[str, ...]):
        self._cluster, self._results, self._experiments = cluster, results, experiments
        self.calls = 0
        self.submit()

    def submit(self) -> None:
        """Starts it; what it says is in `submitter.log`."""
        self.calls += 1
        with (self._results / "submitter.log").open("a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                command(self._results, self._experiments, "--profile", "profiles/slurm"),
                cwd=ROOT,
                env=self._cluster.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ended(self) -> bool:
        """Returns whether all is done; a call that ended badly, as one whose jobs were cancelled too often, is made again."""
        if self.process.poll() in (None, 0):
            return self.process.returncode == 0
        self.submit()
        return False

    def kill(self) -> None:
        """Kills the submitter; its jobs stay with SLURM."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def said(self) -> str:
        """Returns the end of what the submitter has said."""
        return (self._results / "submitter.log").read_text(encoding="utf-8")[-3000:]


def command(results: Path, experiments: tuple[str, ...], *more: str) -> list[str]:
    """Returns the call of the pipeline at `smoke`.

    In turn: what is trained as one program is the same to rounding only, and which is faster is measured anew.
    """
    snakemake = str(Path(sys.executable).parent / "snakemake")
    return [snakemake, *experiments, *more, "--config", "scale=smoke", "stack=never", "gpu=1", f"results={results}"]


def here(results: Path, experiments: tuple[str, ...]) -> Path:
    """Leaves the results of the same pipeline without a cluster, and returns their folder."""
    subprocess.run(command(results, experiments), cwd=ROOT, capture_output=True, check=True)
    return results


def running(cluster: Slurm) -> list[str]:
    """Returns the numbers of the jobs that run."""
    return cluster.call("squeue", "-h", "-o", "%i", "--states=RUNNING").split()


def disturb(kind: str, pipeline: Pipeline, cluster: Slurm, rng: random.Random) -> bool:
    """Waits for a job that runs, and some time more, and disturbs; returns False if all was done before."""
    deadline = time.monotonic() + _PATIENCE
    while not (jobs := running(cluster)):
        if pipeline.ended():
            return False
        if time.monotonic() > deadline:
            raise TimeoutError(pipeline.said())
        time.sleep(0.2)
    time.sleep(rng.uniform(0.0, _LONGEST_PAUSE))
    job = rng.choice(jobs)
    if kind == "kill":
        pipeline.kill()
        pipeline.submit()
    elif kind == "cancel":
        cluster.call("scancel", job, check=False)
    elif kind == "preemption":  # as a scheduler that takes the node away
        cluster.call("scancel", "--full", "--signal=TERM", job, check=False)
    else:
        cluster.call("scontrol", "requeue", job, check=False)
    return True


def finish(pipeline: Pipeline) -> None:
    """Waits until all is done; TimeoutError where it is not in time."""
    deadline = time.monotonic() + _PATIENCE
    while not pipeline.ended():
        if time.monotonic() > deadline:
            raise TimeoutError(pipeline.said())
        time.sleep(0.5)


def disturbed(
    cluster: Slurm, results: Path, experiments: tuple[str, ...], kinds: list[str], rng: random.Random
) -> Counter[str]:
    """Leaves the results of a pipeline that met the disturbances, one after the other, and returns how many of each."""
    met: Counter[str] = Counter()
    pipeline = Pipeline(cluster, results, experiments)
    try:
        for kind in kinds:
            if not disturb(kind, pipeline, cluster, rng):
                break
            met[kind] += 1
        finish(pipeline)
    finally:
        if pipeline.process.poll() is None:
            pipeline.kill()
    return met + Counter({"calls": pipeline.calls})


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Disturb a pipeline on SLURM, and compare its results with undisturbed ones."
    )
    parser.add_argument("experiments", nargs="+", help="names of experiments")
    for kind in ("kill", "cancel", "preemption", "requeue"):
        parser.add_argument(f"--{kind}s", type=int, default=0, help=f"how often: {kind}")
    parser.add_argument("--seed", type=int, default=0, help="decides order and moments")
    arguments = parser.parse_args()
    if missing():
        sys.exit(f"error: {missing()}")
    rng = random.Random(arguments.seed)
    kinds = [
        kind for kind in ("kill", "cancel", "preemption", "requeue") for _ in range(getattr(arguments, f"{kind}s"))
    ]
    rng.shuffle(kinds)
    experiments = tuple(arguments.experiments)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("here", "there"):
            (Path(folder) / name).mkdir()
        started = time.monotonic()
        undisturbed = measured(here(Path(folder) / "here", experiments))
        local = time.monotonic() - started
        with Slurm(Path(folder) / "slurm", cores=os.cpu_count() or 1, gpus=2) as cluster:
            met = disturbed(cluster, Path(folder) / "there", experiments, kinds, rng)
        there = measured(Path(folder) / "there")
    wrong = [id for id, was in undisturbed.items() if there.get(id) != was]
    print(
        f"{dict(met)}; {len(undisturbed)} runs, of which {len(wrong)} differ from the undisturbed; {local:.0f} s here,"
    )
    print(f"{time.monotonic() - started - local:.0f} s disturbed on SLURM")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
