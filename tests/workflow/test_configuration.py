"""What `--config` may say is stated once; what is told of it elsewhere says the same."""

import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from workflow.configuration import README, SCHEMA, Configuration, configuration, schema, table
from workflow.planfile import SCALES

ROOT = Path(__file__).parent.parent.parent
SNAKEMAKE = str(Path(sys.executable).parent / "snakemake")
SNAKEFILES = [ROOT / "Snakefile", *sorted((ROOT / "workflow" / "rules").glob("*.smk"))]


def test_nothing_has_to_be_configured():
    assert configuration({}) == Configuration()
    assert configuration({"scale": "smoke", "rerun": 2}).rerun == 2


def test_the_scales_are_those_of_experiments():
    assert tuple(yaml.safe_load(schema())["properties"]["scale"]["enum"]) == SCALES


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ({"scael": "quick"}, "unknown key 'scael' in --config: did you mean scale?"),
        ({"zzz": 1}, "unknown key 'zzz' in --config: choose from scale, results, "),
        ({"scale": "big"}, "unknown scale 'big': choose one of smoke, quick, paper, as in --config scale=smoke"),
        ({"rerun": "many"}, "--config rerun: Input should be a valid integer"),
        ({"gpu": -1}, "--config gpu: Input should be greater than or equal to 0"),
        ({"results": None}, "--config results: Input should be a valid string"),
    ],
)
def test_what_is_wrong_is_one_line_with_the_remedy(stated, told):
    with pytest.raises(ValueError, match="config") as caught:
        configuration(stated)
    assert str(caught.value).startswith(told)
    assert "\n" not in str(caught.value)


def test_a_misspelt_key_is_one_line_before_any_job(tmp_path):
    command = [SNAKEMAKE, "--dry-run", "--config", "scael=quick", f"results={tmp_path}"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    errors = [line for line in (answer.stdout + answer.stderr).splitlines() if "Using workflow" not in line]
    assert errors == ["error: unknown key 'scael' in --config: did you mean scale?"]
    assert not list(tmp_path.iterdir())


def test_every_key_is_read_from_one_place():
    read = {key for path in SNAKEFILES for key in re.findall(r"CONFIGURATION\.(\w+)", path.read_text(encoding="utf-8"))}
    assert read <= set(Configuration.model_fields)
    for path in SNAKEFILES:
        assert not re.search(r"\bconfig(\.|\[)", path.read_text(encoding="utf-8")), path


def test_schema_and_documentation_are_those_of_the_model():
    assert SCHEMA.read_text(encoding="utf-8") == schema(), "run python -m workflow.configuration"
    assert table() in README.read_text(encoding="utf-8"), "run python -m workflow.configuration"


@pytest.mark.parametrize(("stated", "good"), [({}, True), ({"scale": "paper"}, True), ({"scael": "paper"}, False)])
def test_the_schema_judges_as_the_model_does(stated, good):
    validator = jsonschema.Draft202012Validator(yaml.safe_load(SCHEMA.read_text(encoding="utf-8")))
    assert validator.is_valid(stated) == good


def test_the_catalogue_finds_what_it_asks_for():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text(encoding="utf-8"))["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert set(usage["software-stack-deployment"]) == {"conda", "apptainer", "apptainer+conda"}
    told = (ROOT / "README.md").read_text(encoding="utf-8").lower()
    assert "snakemake" in told
    assert "workflow" in told


def test_the_snakefile_of_the_catalogue_makes_what_the_one_at_the_root_makes(tmp_path):
    jobs = []
    for snakefile in ("Snakefile", "workflow/Snakefile"):
        command = [SNAKEMAKE, "--dry-run", "--snakefile", snakefile, "--config", "scale=smoke", f"results={tmp_path}"]
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        stated = re.findall(r"^(\S+) +\d+$", answer.stdout + answer.stderr, re.MULTILINE)
        jobs.append(set(stated) - {"all", "reproduce-all"})
    assert jobs[0] == jobs[1]
    assert "seal" in jobs[0]
