"""A run's place in its training, on disk."""

import os
import time
import warnings
from pathlib import Path
from typing import Any

import torch

_SECONDS_BETWEEN = 15.0


class Checkpoint:
    """The checkpoint file of one run. When it is written never changes a result, only how much a killed run repeats."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._saved = time.monotonic()
        self.resumed = 0

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """Returns what was saved, or None where there is nothing; a damaged file is reported and the run starts again."""
        if not self._path.exists():
            return None
        try:
            saved = torch.load(self._path, map_location=device, weights_only=True)
        except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
            warnings.warn(f"{self._path} is damaged ({error}); starting this run again", stacklevel=2)
            return None
        self.resumed = saved["resumed"] + 1
        return saved

    def due(self) -> bool:
        """Says whether the last one is old enough for another to be worth the time."""
        return time.monotonic() - self._saved >= _SECONDS_BETWEEN

    def save(self, content: dict[str, Any]) -> None:
        """Replaces the checkpoint at once: a reader, and a crash, see the old one or the new one."""
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        torch.save(content | {"resumed": self.resumed}, temporary)
        temporary.replace(self._path)
        self._saved = time.monotonic()

    def remove(self) -> None:
        """Deletes the checkpoint of a run that has its result."""
        self._path.unlink(missing_ok=True)
