"""The folder that holds fetched and prepared data, and how to write there: whole or not at all, one process at a time."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BUILDING = ".building-"  # what the names of unfinished folders begin with


def data_folder() -> Path:
    """Returns `results/data` of this checkout, or the folder that the environment variable TRIAL_DATA names."""
    other = os.environ.get("TRIAL_DATA")
    return Path(other).absolute() if other else Path(__file__).parent.parent / "results" / "data"


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Holds the lock of this name: every other process waits here, so that one fetches and the others find."""
    locks = data_folder() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with open(locks / name, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def building(parent: Path) -> Iterator[Path]:
    """Yields an empty folder in `parent` that vanishes after the block unless `settle` gave it its place."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=BUILDING, dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def settle(folder: Path, target: Path) -> None:
    """Puts a folder where `target` is, or was: no reader ever finds a part of it there."""
    folder.chmod(0o755)
    if target.exists():
        target.rename(folder / ".replaced")
    folder.rename(target)
    shutil.rmtree(target / ".replaced", ignore_errors=True)


def write(target: Path, content: bytes) -> None:
    """Writes the file at once: no reader ever sees a part of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, part = tempfile.mkstemp(prefix=".writing-", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.chmod(part, 0o644)
        os.replace(part, target)
    finally:
        Path(part).unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
