"""The three places that name versions say the same."""

import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = {
    canonicalize_name(requirement.name): requirement
    for requirement in map(Requirement, (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines())
}


def locked_version(name: str) -> str:
    (specifier,) = LOCK[canonicalize_name(name)].specifier
    assert specifier.operator == "==", f"{name} is not pinned"
    return specifier.version


@pytest.mark.parametrize("stated", PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"])
def test_the_lock_satisfies_the_project(stated):
    requirement = Requirement(stated)
    assert requirement.specifier.contains(locked_version(requirement.name))


def test_the_lock_is_complete_and_holds_nothing_else():
    needed: set[str] = set()
    waiting = [Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        extras = requirement.extras or {""}
        if not any(
            requirement.marker is None or requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras)
        ):
            continue
        if name in needed and not requirement.extras:
            continue
        needed.add(name)
        try:
            inner = distribution(name).requires or []
        except PackageNotFoundError:
            pytest.fail(f"{name} is needed but not installed: requirements.lock lacks it")
        for line in map(Requirement, inner):
            if line.marker is None or any(line.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(line)
    # Torch for CUDA brings drivers of its own; a CPU build does not. Neither belongs in a lock for both.
    bundled = {name for name in needed if name.startswith(("nvidia-", "cuda-")) or name in {"triton", "setuptools"}}
    assert needed - bundled - {"pip"} == set(LOCK)


def test_what_is_installed_is_what_is_locked():
    for name in LOCK:
        assert distribution(name).version.split("+")[0] == locked_version(name), name


def test_conda_users_get_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip == ["--requirement requirements.lock"]
    assert f"python{PROJECT['requires-python']}" in environment["dependencies"]


def test_torch_is_the_version_the_project_is_tested_with():
    assert locked_version("torch") == "2.13.0"
