"""A run's place in its training, on disk: the last two, each whole and proven by its digests, or not there."""

import hashlib
import json
import os
import shutil
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workflow.processes import led, processes

_SECONDS_BETWEEN = 15.0
_KEPT = 2
_INCOMING = ".incoming."
_SHARDS = ".metadata"  # what torch calls the list of shards


class Checkpoint:
    """The checkpoints of one run: `<step>/` holds the state and `manifest.json`, the SHA-256 of its files.

    When one is written never changes a result, only how much a killed run repeats. One that is damaged is told of and
    passed over for the one before it. Of several processes the first writes; those that hold shards write them side by
    side, to be read by any number of processes.
    """

    def __init__(self, folder: Path, *, check: Callable[[], None] = lambda: None) -> None:
        """`check` raises what keeps this process from adding another, such as that the run is no more its own."""
        self._folder = folder
        self.check = check
        self._saved = time.monotonic()
        self._told: set[int] = set()
        self.resumed = 0

    def steps(self) -> list[int]:
        """Returns the steps of the checkpoints that are whole, the last first; the same on all processes."""
        return led(self._steps)

    def _steps(self) -> list[int]:
        names = [path.name for path in self._folder.glob("[0-9]*")] if self._folder.exists() else []
        return [step for step in sorted(map(int, names), reverse=True) if self._intact(step)]

    def manifest(self, step: int) -> dict[str, Any]:
        """Returns what was said of the checkpoint of a step when it was saved."""
        return json.loads((self._path(step) / "manifest.json").read_text(encoding="utf-8"))

    def load(self, step: int, device: torch.device) -> dict[str, Any]:
        """Returns what was saved at a step of `steps`; of `shards` the folder, from which `read_shards` takes them."""
        self.resumed = self.manifest(step)["continuation"]
        path = self._path(step)
        content = torch.load(path / "state.pt", map_location=device, weights_only=True)
        return content | {"shards": path} if (path / _SHARDS).exists() else content

    def due(self) -> bool:
        """Says whether the last one is old enough for another to be worth the time."""
        return time.monotonic() - self._saved >= _SECONDS_BETWEEN

    def save(self, step: int, content: dict[str, Any], *, company: list[str]) -> None:
        """Adds a checkpoint at once, whole or not at all; OSError if the disk is full or may not be written.

        `company` are the runs, by name and in order, that were trained together with this one. All processes call it
        together; `shards` in the content are tensors by name, of which each has its part, or the folder of `load`.
        """
        whole = {name: value for name, value in content.items() if name != "shards"}

        def put(folder: Path) -> None:
            shards = content.get("shards", {})
            if isinstance(shards, Path):
                led(partial(_copy_shards, shards, folder))
            elif shards:
                _write_shards(shards, folder)
            led(partial(_write_state, whole, folder / "state.pt"))

        self.write(step, company=company, put=put)

    def inherit(self, past: "Checkpoint", step: int, device: torch.device, *, company: list[str]) -> None:
        """Begins with a checkpoint of another run: who goes on from it has not been cut."""
        self.resumed = -1
        self.save(step, past.load(step, device), company=company)

    def write(self, step: int, *, company: list[str], put: Callable[[Path], None]) -> None:
        """Adds the checkpoint whose files `put` leaves in a folder."""
        incoming = led(self._incoming)
        try:
            put(incoming)
            led(partial(self.seal, incoming, step, company=company))
        except BaseException:
            if processes().leads:
                shutil.rmtree(incoming, ignore_errors=True)
            raise

    def _incoming(self) -> Path:
        """Returns an empty folder."""
        incoming = self._folder / f"{_INCOMING}{os.getpid()}"
        shutil.rmtree(incoming, ignore_errors=True)
        incoming.mkdir(parents=True)
        return incoming

    def seal(self, incoming: Path, step: int, *, company: list[str]) -> None:
        """Makes a folder of files the checkpoint of a step, and forgets those that are too old."""
        files = {path.name: _digest(path, through=True) for path in sorted(incoming.iterdir())}
        said = {"step": step, "continuation": self.resumed + 1, "company": company, "files": files}
        manifest = incoming / "manifest.json"
        manifest.write_text(json.dumps(said, indent=1), encoding="utf-8")
        _digest(manifest, through=True)
        self.check()
        self._forget(step)  # it was damaged, or holds the same
        incoming.rename(self._path(step))
        self._saved = time.monotonic()
        there = {int(path.name) for path in self._folder.glob("[0-9]*")}
        kept = sorted(old for old in there if old <= step)[-_KEPT:]  # what is beyond was damaged, or is made again
        for old in sorted(there.difference(kept)):
            self._forget(old)

    def _forget(self, step: int) -> None:
        """Deletes a checkpoint at once: one that is half deleted would pass for a damaged one."""
        if self._path(step).exists():
            outgoing = self._folder / f"{_INCOMING}{os.getpid()}.{step}"
            self._path(step).rename(outgoing)
            shutil.rmtree(outgoing, ignore_errors=True)

    def sweep(self) -> None:
        """Deletes what a killed process was writing."""
        for path in self._folder.glob(f"{_INCOMING}*"):
            shutil.rmtree(path, ignore_errors=True)

    def remove(self) -> None:
        """Deletes the checkpoints of a run that has its result."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, step: int) -> Path:
        return self._folder / f"{step:08}"

    def _intact(self, step: int) -> bool:
        path = self._path(step)
        try:
            files = self.manifest(step)["files"]
            damage = next((name for name, digest in files.items() if _digest(path / name) != digest), None)
            problem = f"{damage} is not what was written" if damage else None
        except (OSError, ValueError, KeyError, TypeError) as error:
            problem = str(error)
        if problem and step not in self._told:
            self._told.add(step)
            warnings.warn(f"{path} is damaged ({problem}); continuing from before it", stacklevel=3)
        return problem is None


def _digest(path: Path, *, through: bool = False) -> str:
    """Returns the SHA-256 of a file; `through` waits until it is on the disk."""
    with path.open("rb") as file:
        if through:
            os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_state(content: dict[str, Any], path: Path) -> None:
    """Writes a state; OSError where the disk refuses it, of which torch would make an error of its own."""
    try:
        with path.open("wb") as file:
            torch.save(content, file)
    except RuntimeError as error:
        refused = error.__context__
        if not isinstance(refused, OSError):
            raise
        raise OSError(refused.errno, refused.strerror, str(path)) from None


def _write_shards(tensors: dict[str, Tensor], folder: Path) -> None:
    """Writes this process's part of the tensors, as all others do at once; OSError if any could not."""
    import torch.distributed.checkpoint as dcp

    try:
        dcp.save(tensors, checkpoint_id=folder)
    except dcp.CheckpointException as error:  # of all processes, whoever failed
        raise next(iter(error.failures.values()))[0] from None


def _copy_shards(source: Path, folder: Path) -> None:
    for path in (source / _SHARDS, *source.glob("*.distcp")):
        shutil.copy(path, folder)


def read_shards(folder: Path, *, into: dict[str, Tensor]) -> None:
    """Fills the tensors, or this process's part of each, from shards that any number of processes wrote."""
    import torch.distributed.checkpoint as dcp

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # one process is enough to read
        dcp.load(into, checkpoint_id=folder, no_dist=processes().count == 1)
