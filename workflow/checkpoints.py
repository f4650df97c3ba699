"""A run's place in its training, on disk: the last two, each whole and proven by its digests, or not there."""

import hashlib
import json
import os
import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

_SECONDS_BETWEEN = 15.0
_KEPT = 2
_INCOMING = ".incoming."


class Checkpoint:
    """The checkpoints of one run: `<step>/` holds the state and `manifest.json`, the SHA-256 of its files.

    When one is written never changes a result, only how much a killed run repeats. One that is damaged is told of and
    passed over for the one before it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._saved = time.monotonic()
        self._told: set[int] = set()
        self.resumed = 0

    def steps(self) -> list[int]:
        """Returns the steps of the checkpoints that are whole, the last first."""
        names = [path.name for path in self._folder.glob("[0-9]*")] if self._folder.exists() else []
        return [step for step in sorted(map(int, names), reverse=True) if self._intact(step)]

    def manifest(self, step: int) -> dict[str, Any]:
        """Returns what was said of the checkpoint of a step when it was saved."""
        return json.loads((self._path(step) / "manifest.json").read_text(encoding="utf-8"))

    def load(self, step: int, device: torch.device) -> dict[str, Any]:
        """Returns what was saved at a step of `steps`."""
        self.resumed = self.manifest(step)["resumed"] + 1
        return torch.load(self._path(step) / "state.pt", map_location=device, weights_only=True)

    def due(self) -> bool:
        """Says whether the last one is old enough for another to be worth the time."""
        return time.monotonic() - self._saved >= _SECONDS_BETWEEN

    def save(self, step: int, content: dict[str, Any], *, company: list[str]) -> None:
        """Adds a checkpoint at once, whole or not at all; OSError if the disk is full or may not be written.

        `company` are the runs, by name and in order, that were trained together with this one.
        """
        self.write(step, company=company, put=lambda folder: torch.save(content, folder / "state.pt"))

    def write(self, step: int, *, company: list[str], put: Callable[[Path], None]) -> None:
        """Adds the checkpoint whose files `put` leaves in a folder."""
        incoming = self._folder / f"{_INCOMING}{os.getpid()}"
        shutil.rmtree(incoming, ignore_errors=True)
        incoming.mkdir(parents=True)
        try:
            put(incoming)
            self.seal(incoming, step, company=company)
        except BaseException:
            shutil.rmtree(incoming, ignore_errors=True)
            raise

    def seal(self, incoming: Path, step: int, *, company: list[str]) -> None:
        """Makes a folder of files the checkpoint of a step, and forgets those that are too old."""
        files = {path.name: _digest(path, through=True) for path in sorted(incoming.iterdir())}
        said = {"step": step, "resumed": self.resumed, "company": company, "files": files}
        manifest = incoming / "manifest.json"
        manifest.write_text(json.dumps(said, indent=1), encoding="utf-8")
        _digest(manifest, through=True)
        shutil.rmtree(self._path(step), ignore_errors=True)  # of the same step: it was damaged, or holds the same
        incoming.rename(self._path(step))
        self._saved = time.monotonic()
        kept = sorted((int(path.name) for path in self._folder.glob("[0-9]*")), reverse=True)[:_KEPT]
        for path in self._folder.glob("[0-9]*"):
            if int(path.name) not in kept:
                shutil.rmtree(path, ignore_errors=True)

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
