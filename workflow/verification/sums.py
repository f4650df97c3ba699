"""SHA256SUMS: what every file of a result set, and every record it is made of, was when it was sealed.

    cd results/quick && sha256sum --check SHA256SUMS

A record never changes, so one that is not what an earlier seal says is not sealed again.
"""

import hashlib
from pathlib import Path

from workflow.files import write
from workflow.planfile import read_plan

NAME = "SHA256SUMS"

_NOT_OF_IT = (NAME, "comparison.csv")


def files_of(home: Path, *, experiments: list[str]) -> list[str]:
    """Returns the files of a result set, by their place in its folder: of these experiments, and of all together."""
    others = {path.parent for path in home.glob("*/plan.json")} - {home / name for name in experiments}
    found = [path for path in home.rglob("*") if path.is_file() and not others & set(path.parents)]
    places = [path.relative_to(home) for path in found]
    kept = [place for place in places if not any(part.startswith(".") for part in place.parts)]
    return sorted(place.as_posix() for place in kept if place.as_posix() not in _NOT_OF_IT)


def seal(home: Path, *, runs: Path, experiments: list[str]) -> None:
    """Leaves the sums; ValueError naming the records that are not what they were when they were sealed."""
    before = read_sums(home) if (home / NAME).exists() else {}
    planned = sorted({run.id for name in experiments for run in read_plan(home / name / "plan.json").runs})
    records = {f"../runs/{id}/{file}": runs / id / file for id in planned for file in ("result.json", "run.json")}
    found = {place: sha256(path) for place, path in records.items()}
    changed = [place for place, digest in found.items() if before.get(place, digest) != digest]
    if changed:
        raise ValueError(
            f"{len(changed)} records changed since they were sealed, {changed[0]} first: put back what they were, or delete "
            f"{home / NAME} to seal what they are now"
        )
    found |= {place: sha256(home / place) for place in files_of(home, experiments=experiments)}
    write(home / NAME, "".join(f"{digest}  {place}\n" for place, digest in sorted(found.items())))


def broken(home: Path) -> list[str]:
    """Returns which files are not what they were when they were sealed, a line each; ValueError if there is no seal."""
    found = []
    for place, digest in read_sums(home).items():
        if not (home / place).exists():
            found.append(f"{place}: is missing, and was there when it was sealed")
        elif sha256(home / place) != digest:
            found.append(f"{place}: stored SHA-256 {sha256(home / place)[:12]}, when it was sealed {digest[:12]}")
    return found


def read_sums(home: Path) -> dict[str, str]:
    """Returns the digests by place in the folder; ValueError if there are none or one is damaged."""
    if not (home / NAME).exists():
        raise ValueError(f"{home / NAME} is missing: python -m workflow.verification seal writes it")
    lines = (home / NAME).read_text(encoding="utf-8").splitlines()
    pairs = [line.split("  ", 1) for line in lines]
    if any(len(pair) != 2 or len(pair[0]) != 64 for pair in pairs):
        raise ValueError(f"{home / NAME} is damaged: a line is no digest and place")
    return {place: digest for digest, place in pairs}


def sha256(path: Path) -> str:
    """Returns the digest of a file's bytes; OSError if it is missing."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
