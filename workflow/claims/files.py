"""The files of claims beside this module, and what they said when a run was made.

A run records the digest of all claims (`provenance.claims`). Beside the runs, in results/claims, lies what that digest stands
for, a digest per claim; so a claim that was made or changed after its runs can be told, and no other claim suffers for it.
"""

import functools
import hashlib
import json
from pathlib import Path

import yaml
from pydantic import ValidationError

from workflow.claims.specs import Claim, ClaimsFile
from workflow.files import write
from workflow.planfile import first_problem

FOLDER = Path(__file__).parent
ARCHIVE = "claims"  # in the folder of results


@functools.cache
def all_claims() -> tuple[Claim, ...]:
    """Returns every claim of every file, in order; ValueError in one line that names the file and the claim."""
    found = [claim for path in sorted(FOLDER.glob("*.yaml")) for claim in claims_of(path.read_text("utf-8"), path.name)]
    twice = [claim.id for place, claim in enumerate(found) if claim.id in {other.id for other in found[:place]}]
    if twice:
        raise ValueError(f"two claims are called {twice[0]}")
    return tuple(found)


def claims_of(text: str, name: str) -> list[Claim]:
    """Returns the claims in the text of a file."""
    told = name
    try:
        file = ClaimsFile.model_validate_json(json.dumps(yaml.safe_load(text)))
        found = []
        for stated in file.claims:
            told = f"{name}, {stated.get('id', 'a claim without id')}"
            found.append(Claim.model_validate_json(json.dumps({"family": file.family} | stated)))
        return found
    except ValidationError as error:
        raise ValueError(f"claims in {told}: {first_problem(error)}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"claims in {name}: not YAML: {' '.join(str(error).split())}") from None


def digests(claims: tuple[Claim, ...]) -> dict[str, str]:
    """Returns what each claim says, as a digest by its name: two claims of one digest say the same."""
    return {claim.id: hashlib.sha256(claim.model_dump_json().encode()).hexdigest()[:16] for claim in claims}


def digest(said: dict[str, str]) -> str:
    """Returns one digest of all claims."""
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def standing() -> str:
    """Returns the digest of the claims as they stand."""
    return digest(digests(all_claims()))


def keep(results: Path) -> None:
    """Leaves what the claims say now in the folder of results, by its digest."""
    said = digests(all_claims())
    path = results / ARCHIVE / f"{digest(said)}.json"
    if not path.exists():
        write(path, json.dumps(said, indent=1) + "\n")


def kept(results: Path) -> dict[str, dict[str, str]]:
    """Returns, by digest of all, what each claim said; damaged records are no records."""
    found = {}
    for path in sorted((results / ARCHIVE).glob("*.json")):
        said = json.loads(path.read_text(encoding="utf-8"))
        if digest(said) == path.stem:
            found[path.stem] = said
    return found
