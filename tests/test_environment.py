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
RUN, TEST = PROJECT["dependencies"], PROJECT["optional-dependencies"]["test"]


def locked(path: str) -> dict[str, Requirement]:
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    return {canonicalize_name(requirement.name): requirement for requirement in map(Requirement, lines)}


RUN_LOCK, TEST_LOCK = locked("requirements.lock"), locked("tests/requirements.lock")
LOCK = RUN_LOCK | TEST_LOCK


def locked_version(name: str) -> str:
    (specifier,) = LOCK[canonicalize_name(name)].specifier
    assert specifier.operator == "==", f"{name} is not pinned"
    return specifier.version


@pytest.mark.parametrize("stated", RUN + TEST)
def test_the_locks_satisfy_the_project(stated):
    requirement = Requirement(stated)
    assert requirement.specifier.contains(locked_version(requirement.name))


def closure(stated: list[str]) -> set[str]:
    """The names of all that these need, as far as it is installed."""
    needed: set[str] = set()
    waiting = [Requirement(line) for line in stated]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        extras = requirement.extras or {""}
        if name in needed and not requirement.extras:
            continue
        needed.add(name)
        try:
            inner = distribution(name).requires or []
        except PackageNotFoundError:
            pytest.fail(f"{name} is needed but not installed: the locks lack it")
        for line in map(Requirement, inner):
            if line.marker is None or any(line.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(line)
    # Torch for CUDA brings drivers of its own; a CPU build does not. Neither belongs in a lock for both.
    return {name for name in needed if not name.startswith(("nvidia-", "cuda-"))} - {"pip", "setuptools"}


def test_the_locks_are_complete_and_hold_nothing_else():
    assert closure(RUN) - {"triton"} == set(RUN_LOCK)
    assert closure(RUN + TEST) == set(LOCK)
    assert not set(RUN_LOCK) & set(TEST_LOCK)


def test_what_is_installed_is_what_is_locked():
    for name in LOCK:
        assert distribution(name).version.split("+")[0] == locked_version(name), name


def test_conda_users_get_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    assert pip == lock, "the lines of requirements.lock belong into environment.yml"
    assert f"python{PROJECT['requires-python']}" in environment["dependencies"]


def test_torch_is_the_version_the_project_is_tested_with():
    assert locked_version("torch") == "2.13.0"


def test_every_folder_of_code_is_a_package_that_gets_installed():
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    folders = {
        path.parent.relative_to(ROOT) for top in ("models", "tasks", "workflow") for path in (ROOT / top).rglob("*.py")
    }
    assert set(table) == {".".join(folder.parts) for folder in folders}


def test_kernels_under_a_restrictive_licence_are_in_an_extra_of_their_own():
    extras = PROJECT["optional-dependencies"]
    assert not any(line.startswith("mlstm-kernels") for line in [*RUN, *extras["gpu"]])
    assert extras["nxai"] == [line for line in TEST if line.startswith("mlstm-kernels")]
