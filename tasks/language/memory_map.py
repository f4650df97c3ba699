"""Prepared documents on disk: a flat array and the documents' ends for every split, and a manifest that vouches for them.

A folder holds `<split>.bin`, `<split>-ends.bin` (int64) and `manifest.json`; all numbers are little-endian. Its digest is
what `cd <folder>; LC_ALL=C sha256sum *.bin | sha256sum` prints.
"""

import hashlib
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.draws import Split
from tasks.language.documents import Documents
from tasks.storage import sha256_of

SPLITS: tuple[Split, ...] = get_args(Split)
Width = Literal["<u1", "<u2", "<u4"]


class File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    bytes: int
    sha256: str


class Manifest(BaseModel):
    """What a prepared folder holds, and where that came from."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    source: str
    versions: dict[str, str]  # of the packages that read it
    width: Width  # of an element of the flat arrays
    files: dict[str, File]

    @property
    def sha256(self) -> str:
        return listing_digest({name: file.sha256 for name, file in self.files.items()})

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files.values())


def listing_digest(digests: Mapping[str, str]) -> str:
    """Returns the SHA-256 of what `LC_ALL=C sha256sum` prints of these files, so that it can be checked by hand."""
    listing = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(listing.encode()).hexdigest()


class Writer:
    """Appends documents to the splits of a folder; `finish` writes the manifest, without which the folder is nothing."""

    def __init__(self, folder: Path, width: Width) -> None:
        self._folder, self._width = folder, width
        self._files = {split: open(folder / f"{split}.bin", "wb") for split in SPLITS}  # noqa: SIM115
        self._ends = {split: array("q") for split in SPLITS}

    def append(self, split: Split, document_N: np.ndarray) -> None:
        self._files[split].write(document_N.astype(self._width).tobytes())
        self._ends[split].append(self.size(split) + len(document_N))

    def size(self, split: Split) -> int:
        """Returns the number of elements written so far."""
        return self._ends[split][-1] if self._ends[split] else 0

    def finish(self, *, source: str, versions: dict[str, str]) -> Manifest:
        """Returns the manifest, written beside the arrays; ValueError where a split has no document."""
        self.close()
        for split in SPLITS:
            if not self._ends[split]:
                raise ValueError(f"{source} has no {split} document with any text")
            np.array(self._ends[split], dtype="<i8").tofile(self._folder / f"{split}-ends.bin")
        files = {
            path.name: File(bytes=path.stat().st_size, sha256=sha256_of(path))
            for path in sorted(self._folder.glob("*.bin"))
        }
        manifest = Manifest(source=source, versions=versions, width=self._width, files=files)
        (self._folder / "manifest.json").write_text(manifest.model_dump_json(indent=2) + "\n")
        return manifest

    def close(self) -> None:
        for file in self._files.values():
            file.close()


def read_manifest(folder: Path) -> Manifest:
    """Returns the manifest of a prepared folder; ValueError where it, or the size of a file, is not as it was written."""
    try:
        manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    except (OSError, ValidationError):
        raise ValueError(f"{folder} is damaged, its manifest.json is no manifest: {_REMEDY}") from None
    if set(manifest.files) != {f"{split}{part}.bin" for split in SPLITS for part in ("", "-ends")}:
        raise ValueError(f"{folder} is damaged, its manifest.json lists other files: {_REMEDY}")
    for name, file in manifest.files.items():
        path = folder / name
        found = path.stat().st_size if path.is_file() else 0
        if found != file.bytes:
            raise ValueError(f"{path} is damaged, it has {found} bytes where {file.bytes} were written: {_REMEDY}")
    return manifest


def damages(folder: Path) -> list[str]:
    """Returns the files whose contents are no longer those that were written, by reading every byte."""
    files = read_manifest(folder).files
    return [name for name, file in files.items() if sha256_of(folder / name) != file.sha256]


def read_documents(folder: Path, manifest: Manifest) -> dict[Split, Documents]:
    """Returns the documents of every split as memory maps."""
    splits = {}
    for split in SPLITS:
        ends_D = np.fromfile(folder / f"{split}-ends.bin", dtype="<i8")
        starts_D = np.concatenate([[0], ends_D[:-1]])
        text_N = np.memmap(folder / f"{split}.bin", dtype=manifest.width, mode="r")
        if len(text_N) != ends_D[-1]:
            raise ValueError(f"{folder / f'{split}-ends.bin'} is damaged, its ends are of another text: {_REMEDY}")
        splits[split] = Documents(text_N, starts_D, ends_D - starts_D)
    return splits


_REMEDY = "delete the folder and prepare it again (python -m tasks.data prepare)"
