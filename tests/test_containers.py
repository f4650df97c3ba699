"""What an image is made of is enough to run from a folder of its own; no image is built here."""

import fnmatch
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from workflow import provenance
from workflow.plans import experiment_names

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
IGNORED = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
KEPT = [line.removeprefix("!") for line in IGNORED if line.startswith("!")]
JOB = (ROOT / "profiles" / "kubernetes" / "job.yaml").read_text(encoding="utf-8")


def entrypoint() -> list[str]:
    """Returns the command of the image, with /app for where its sources lie."""
    return json.loads(re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE)[0])


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """Makes the folder that COPY makes of a checkout, by the rules of .dockerignore."""
    app = tmp_path_factory.mktemp("app")
    assert IGNORED[1] == "*"
    for name in KEPT:
        copied = app / name
        copied.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copied, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, copied)
    return app


def test_what_is_copied_is_there():
    sources = [line.split()[1:-1] for line in DOCKERFILE.splitlines() if line.startswith("COPY ")]
    assert sources == [["requirements.lock"], ["."]]
    assert all((ROOT / name).exists() for name in KEPT)
    assert not [
        name for name in ("tests", ".git", "results/quick") if any(fnmatch.fnmatch(name, kept) for kept in KEPT)
    ]


def test_what_is_installed_is_the_lock_of_the_project():
    installed = re.findall(r"--requirement (\S+)", DOCKERFILE)
    assert installed == ["/app/requirements.lock"]
    assert "requirements.lock" in KEPT


def test_an_image_runs_as_nobody_of_importance():
    assert re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE) == ["trial"]
    pod = yaml.safe_load(JOB)["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert f"--uid {pod['securityContext']['runAsUser']} " in DOCKERFILE


def test_the_command_of_a_pod_plans_its_experiment_from_a_folder_of_its_own(image, tmp_path):
    job = yaml.safe_load(JOB.replace("IMAGE", "trial:1").replace("SCALE", "smoke").replace("EXPERIMENT", "recall"))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    (cores,) = container["env"]
    assert (
        cores["valueFrom"]["resourceFieldRef"]["resource"].removeprefix("limits.") in container["resources"]["limits"]
    )
    arguments = [argument.replace(f"$({cores['name']})", "2") for argument in container["args"]]
    command = [part.replace("/app", str(image)) for part in entrypoint()] + arguments
    command[command.index("snakemake")] = str(Path(sys.executable).parent / "snakemake")
    told = subprocess.run([*command, "--dry-run"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "recall_measurements" in told.stdout + told.stderr
    assert (tmp_path / "results" / "smoke" / "recall" / "plan.json").exists()
    assert job["metadata"]["name"] == "trial-recall"


def test_a_pod_says_what_the_schema_of_kubernetes_allows():
    job = yaml.safe_load(JOB.replace("EXPERIMENT", "recall"))
    for version in ("1.29", kubernetes_validate.latest_version()):
        assert kubernetes_validate.validate(job, version, strict=True) in version
    job["spec"]["template"]["spec"]["restartPolcy"] = "Never"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, version, strict=True)


def test_volumes_are_mounted_where_the_image_works():
    pod = yaml.safe_load(JOB)["spec"]["template"]["spec"]
    mounted = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    assert mounted.keys() == {volume["name"] for volume in pod["volumes"]}
    assert mounted["work"] in re.findall(r"^WORKDIR (\S+)$", DOCKERFILE, re.MULTILINE)
    assert any(part.startswith(f"TRIAL_DATA={mounted['work']}/") for part in entrypoint())


def test_every_experiment_names_a_job_as_kubernetes_allows():
    assert all(re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", f"trial-{name}") for name in experiment_names())


def test_apptainer_without_an_image_is_one_line_that_says_how_to_name_one(tmp_path):
    snakemake = [str(Path(sys.executable).parent / "snakemake"), "recall", "--dry-run", "--sdm", "apptainer"]
    command = [*snakemake, "--config", "scale=smoke", f"results={tmp_path}"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    said = [line for line in told.stderr.splitlines() if line.startswith("error:")]
    assert said == ["error: --sdm apptainer needs an image to run jobs in: --config container=trial.sif"]


def test_a_result_of_an_image_records_the_commit_it_was_built_from(tmp_path, monkeypatch):
    assert 'echo "$COMMIT" > /app/COMMIT' in DOCKERFILE
    monkeypatch.setattr(provenance, "_ROOT", tmp_path)
    assert provenance._commit.__wrapped__() == ""
    (tmp_path / "COMMIT").write_text("0123456789ab+\n", encoding="utf-8")
    assert provenance._commit.__wrapped__() == "0123456789ab+"
