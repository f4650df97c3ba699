"""Whether anything is lost or wrong when something fails under training: every kind of fault, many times, at random places.

    python -m tests.benchmarks.faults --injections 20

A cohort of four runs is trained undisturbed once, in turn and stacked, and then again and again with one fault each: after
that it is continued until it is done. A row tells how the processes ended that met the fault, and of the cohorts how many are
`lost` (a run without a result), `wrong` (a number that differs from the undisturbed one), or ended `unsaid`: with anything
but a named status, the exit code of an interruption, or one line that says what is wrong. All of these are to be 0.
"""

import argparse
import math
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.cohorts import PROCESSES, cohort, members, train
from tests.workflow.test_training import folder_of
from workflow.interruption import EXIT_CODE
from workflow.results import Result, read_result
from workflow.runs import TrainingRun
from workflow.serving import read_run
from workflow.training.choice import Policy

POLICIES: tuple[Policy, ...] = ("never", "always")
_STEPS = 40
_CLOSE = 1e-3  # relative, where a fault changes how many runs are stacked and with that the rounding
_CHECKPOINTS_BYTES = 150_000  # less than those of a run take
_SMALL, _LARGE = 16, 512  # sequences of a batch: of the large one a step's tensors, not the process, fill the memory
_MEMORY_BYTES = 100_000_000
_STACKS = (" together: asked for", " in turn: asked for")  # what a process tells of them


class Ended(NamedTuple):
    """How a process ended, and what it told that is not about its progress."""

    code: int
    told: list[str]

    @property
    def said(self) -> str:
        """Returns how it ended in a few words, and "unsaid: ..." if it was in none of the ways it may."""
        if self.code in (-signal.SIGKILL, -signal.SIGTERM):  # the latter by a process that has not begun
            return "killed"
        if self.code == -signal.SIGSEGV:
            return "crashed"
        told = [line for line in self.told if not line.endswith(": waiting until it is done")]
        if self.code == 0 and all("is damaged (" in line for line in told):
            return "passed over" if told else "done"
        if len(told) == 1 and self.code == EXIT_CODE and told[0].startswith("interrupted: "):
            return "interrupted"
        if len(told) == 1 and self.code == 1 and told[0].startswith("error: "):
            return told[0].split(": ")[-1].split(";")[0]
        return f"unsaid: exit code {self.code}, {told[-3:]}"


@dataclass
class Scene:
    """A cohort on its way through one fault."""

    folders: list[Path]
    policy: Policy
    batch_size: int
    rng: random.Random
    mounts: ExitStack
    endings: list[str] = field(default_factory=list)  # of the processes that met the fault, or continued after it
    expected: dict[int, str] = field(default_factory=dict)  # status, of runs that are not to end as undisturbed

    def process(self, *, memory_bytes: int | None = None) -> BaseProcess:
        """Returns a process that trains the cohort with a checkpoint at every step, in so much more memory than it has."""
        told = self.folders[0].parent.with_suffix(f".{len(self.endings)}")
        process = PROCESSES.Process(target=_trained, args=(self.folders, self.policy, told, memory_bytes))
        process.told = told
        process.start()
        return process

    def ended(self, process: BaseProcess) -> Ended:
        """Waits for the process and counts how it ended."""
        process.join()
        lines = process.told.read_text(encoding="utf-8").splitlines() if process.told.exists() else []
        process.told.unlink(missing_ok=True)
        told = [line for line in lines if not line.endswith(_STACKS) and not line.startswith("  ")]
        ended = Ended(process.exitcode, told)
        self.endings.append(ended.said)
        return ended

    def begin(self) -> None:
        """Trains until there are checkpoints, and kills the process at some moment after that."""
        process = self.process()
        while process.is_alive() and not self.checkpoints():
            time.sleep(0.002)
        process.join(self.moment() / 2)
        process.kill()
        self.ended(process)
        self.endings.clear()

    def moment(self) -> float:
        """Returns seconds, of the time that the cohort takes undisturbed."""
        return self.rng.uniform(0, undisturbed(self.policy, self.batch_size).seconds)

    def checkpoints(self) -> list[Path]:
        """Returns the newest checkpoint of every run that has any."""
        newest = (max(folder.glob("checkpoints/[0-9]*"), default=None) for folder in self.folders)
        return [path for path in newest if path is not None]

    def damaged(self) -> Path:
        """Returns the newest checkpoint of a run; RuntimeError if none is left."""
        for _ in range(10):
            for path in self.written():
                path.unlink()
            self.begin()
            if found := self.checkpoints():
                return self.rng.choice(found)
        raise RuntimeError("the cohort was through before it could be killed, ten times")

    def disk(self) -> Path:
        """Puts the cohort on a file system of its own."""
        return self.mounts.enter_context(_disk(self.folders[0].parent))

    def finish(self) -> None:
        """Continues the cohort to its end."""
        self.ended(self.process())

    def written(self) -> dict[Path, int]:
        """Returns the results that are there, and what the file system calls these very files."""
        return {path: path.stat().st_ino for folder in self.folders for path in folder.glob("result.json")}

    def results(self) -> list[Result | None]:
        return [read_result(path) if (path := folder / "result.json").exists() else None for folder in self.folders]


def _trained(folders: list[Path], policy: Policy, told: Path, memory_bytes: int | None) -> None:
    """Trains, in a process of its own that tells into a file, perhaps with little memory."""
    file = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, sys.stderr.fileno())
    if memory_bytes is not None:
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
        limit = pages * resource.getpagesize() + memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    train(folders, policy=policy, between_seconds=0.0)


class Undisturbed(NamedTuple):
    """What the cohort measures when nothing happens to it, and how long that takes."""

    results: list[Result]
    seconds: float


@contextmanager
def scene(policy: Policy, batch_size: int, rng: random.Random) -> Iterator[Scene]:
    """Holds a cohort of which nothing is trained yet."""
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as mounts:
        runs = members({"optimizer.steps": _STEPS, "optimizer.batch_size": batch_size})
        yield Scene(cohort(Path(scratch) / "cohort", runs), policy, batch_size, rng, mounts)


@cache
def undisturbed(policy: Policy, batch_size: int) -> Undisturbed:
    with scene(policy, batch_size, random.Random(0)) as calm:
        warm = PROCESSES.Process(target=int)  # the first one waits for torch
        warm.start()
        warm.join()
        started = time.monotonic()
        calm.finish()
        if calm.endings != ["done"]:
            raise RuntimeError(f"nothing was done to the cohort, and it ended with {calm.endings}")
        return Undisturbed([result for result in calm.results() if result], time.monotonic() - started)


def truncated(scene: Scene) -> None:
    path = scene.damaged() / "state.pt"
    os.truncate(path, scene.rng.randrange(path.stat().st_size))
    scene.finish()


def flipped(scene: Scene) -> None:
    path = scene.damaged() / "state.pt"
    content = bytearray(path.read_bytes())
    content[scene.rng.randrange(len(content))] ^= 1 << scene.rng.randrange(8)
    path.write_bytes(content)
    scene.finish()


def unlisted(scene: Scene) -> None:
    (scene.damaged() / "manifest.json").unlink()
    scene.finish()


def full_disk(scene: Scene) -> None:
    """Trains on a disk that is soon full, and goes on when there is room."""
    disk = scene.disk()
    room = shutil.disk_usage(disk).used + scene.rng.randrange(_CHECKPOINTS_BYTES)
    _mount("-o", f"remount,size={room}", disk)
    scene.finish()
    _mount("-o", "remount,size=64m", disk)
    scene.finish()


def read_only(scene: Scene) -> None:
    """Kills training, and goes on where nothing may be written, or no checkpoint; then where both may."""
    disk = scene.disk()
    scene.damaged()
    closed = [disk] if scene.rng.random() < 0.5 else [path.parent for path in scene.checkpoints()]
    for folder in closed:
        _mount("--bind", folder, folder)
        _mount("-o", "remount,bind,ro", folder)
    scene.finish()
    for folder in closed:
        subprocess.run(["umount", folder], check=True)
    scene.finish()


def two_writers(scene: Scene) -> None:
    """Trains in two processes at once, of which one may be killed; RuntimeError if a result was written twice."""
    first = scene.process()
    time.sleep(scene.moment() / 4)
    second = scene.process()
    if scene.rng.random() < 0.5:
        first.join(scene.moment())
        first.kill()
    scene.ended(first)
    written = scene.written()
    scene.ended(second)
    if written.items() - scene.written().items():
        raise RuntimeError("a result was written twice")
    scene.finish()


def out_of_memory(scene: Scene) -> None:
    scene.expected = dict.fromkeys(range(len(scene.folders)), "out_of_memory")
    scene.ended(scene.process(memory_bytes=scene.rng.randrange(_MEMORY_BYTES)))
    scene.finish()


def not_a_number(scene: Scene) -> None:
    """Trains one of the runs at a learning rate at which the loss is soon not finite."""
    place = scene.rng.randrange(len(scene.folders))
    run = read_run(scene.folders[place], kind=TrainingRun)
    rate = {"learning_rate": 10.0 ** scene.rng.uniform(30, 38)}
    folder_of(scene.folders[place], run.model_copy(update={"optimizer": run.optimizer.model_copy(update=rate)}))
    scene.expected = {place: "diverged"}
    scene.finish()


def preempted(scene: Scene) -> None:
    """Asks training to stop, again and again."""
    while not scene.endings or scene.endings[-1] in ("interrupted", "killed"):
        process = scene.process()
        process.join(scene.moment())
        process.terminate()
        scene.ended(process)


class Kind(NamedTuple):
    """A fault: what brings it about, and how a process ends, or a run, that has met it; empty where that needs no telling.

    `crashes`: whether a library may crash of it, as NumPy does at times when an index gets no memory.
    """

    inject: Callable[[Scene], None]
    met: str
    batch_size: int
    crashes: bool = False

    def unsaid(self, endings: list[str]) -> int:
        """Returns how many of the endings are none that this fault may bring about."""
        return sum(each.startswith("unsaid") or (each == "crashed" and not self.crashes) for each in endings)


KINDS = {
    "truncated checkpoint": Kind(truncated, "passed over", _SMALL),
    "flipped bit in a checkpoint": Kind(flipped, "passed over", _SMALL),
    "missing manifest": Kind(unlisted, "passed over", _SMALL),
    "full disk": Kind(full_disk, "No space left on device", _SMALL),
    "read-only folder": Kind(read_only, "Read-only file system", _SMALL),
    "two writers": Kind(two_writers, "", _SMALL),
    "out of memory": Kind(out_of_memory, "out_of_memory", _LARGE, crashes=True),
    "loss that is no number": Kind(not_a_number, "diverged", _SMALL),
    "SIGTERM": Kind(preempted, "interrupted", _SMALL),
}
MOUNTED = ("full disk", "read-only folder")  # kinds that need a file system of their own


class Verdict(NamedTuple):
    """What became of a cohort: how its processes ended, and what was lost, wrong or unsaid."""

    endings: list[str]
    met: bool
    lost: int
    wrong: int
    unsaid: int


def injected(name: str, *, policy: Policy, rng: random.Random) -> Verdict:
    """Returns what came of one fault."""
    kind = KINDS[name]
    with scene(policy, kind.batch_size, rng) as disturbed:
        kind.inject(disturbed)
        results = disturbed.results()
        endings = disturbed.endings + [r.status for r in results if r is not None and r.status != "finished"]
        wrong = sum(
            not _right(result, calm, disturbed.expected.get(place), policy=policy)
            for place, (result, calm) in enumerate(
                zip(results, undisturbed(policy, kind.batch_size).results, strict=True)
            )
        )
        met = not kind.met or kind.met in endings
        return Verdict(endings, met, results.count(None), wrong, kind.unsaid(endings))


def _right(result: Result | None, calm: Result, expected: str | None, *, policy: Policy) -> bool:
    """Returns whether a result is what it is to be: the bits of the undisturbed one, or the status of the fault."""
    if result is None or result.status == expected:
        return True
    if result.measurements == calm.measurements and result.status == calm.status:
        return True
    found, known = ([(row.name, row.at) for row in one.measurements] for one in (result, calm))
    regrouped = policy == "always" and expected is not None
    return (
        regrouped
        and found == known
        and all(
            math.isclose(mine.value, theirs.value, rel_tol=_CLOSE, abs_tol=_CLOSE)
            for mine, theirs in zip(result.measurements, calm.measurements, strict=True)
        )
    )


def can_mount() -> bool:
    """Returns whether this user may mount a file system here."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with _disk(Path(folder)):
                return True
        except (subprocess.CalledProcessError, FileNotFoundError):
            return False


@contextmanager
def _disk(folder: Path) -> Iterator[Path]:
    """Makes a folder a file system in memory, with what it held."""
    held = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    _mount("-t", "tmpfs", "-o", "size=64m", "tmpfs", folder)
    try:
        for path, content in held.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def _mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True, stderr=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--injections", type=int, default=20, help="of every kind, half of them into stacks")
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--seed", type=int, default=0, help="of the places")
    arguments = parser.parse_args()
    bad = 0
    for name in arguments.kinds:
        if name in MOUNTED and not can_mount():
            print(f"{name}: left out, because mounting a file system is not allowed here", flush=True)
            continue
        verdicts: list[Verdict] = []
        tries = 0
        while len(verdicts) < arguments.injections:
            rng = random.Random(f"{name} {arguments.seed} {tries}")
            verdict = injected(name, policy=POLICIES[len(verdicts) % 2], rng=rng)
            tries += 1
            verdicts += [verdict] if verdict.met or verdict.wrong or verdict.unsaid or verdict.lost else []
        lost, wrong, unsaid = (sum(getattr(one, what) for one in verdicts) for what in ("lost", "wrong", "unsaid"))
        bad += lost + wrong + unsaid
        endings = Counter(ending for one in verdicts for ending in one.endings)
        told = ", ".join(f"{count} {ending}" for ending, count in endings.most_common())
        print(f"{name}: {len(verdicts)} injections; {lost} lost, {wrong} wrong, {unsaid} unsaid; {told}", flush=True)
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
