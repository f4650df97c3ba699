"""What describes a result set says what is there, names no machine, and passes the validators of both formats."""

import csv
import hashlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflow.synthetic import MADE, leave_results, recall_plan
from tests.workflow.test_figures import tables_of
from workflow.files import write
from workflow.table import read_table
from workflow.verification.columns import description, kind
from workflow.verification.crate import date_of, describe, last_run

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    results = tmp_path_factory.mktemp("results")
    leave_results(recall_plan(), results)
    tables_of(recall_plan(), results)
    home = results / "quick"
    write(home / "report.html", "<p>What was found</p>\n")
    write(home / "recall/figures/pairs.svg", "<svg/>\n")
    write(home / "verdicts.csv", "claim,verdict,p,n\nrecall,supported,0.01,3\n")
    describe(home, experiments=["recall"], date="2026-01-02", workflow=ROOT)
    return home


def graph_of(home: Path) -> dict[str, dict]:
    return {
        entity["@id"]: entity for entity in json.loads((home / "ro-crate-metadata.json").read_text("utf-8"))["@graph"]
    }


def referred(value) -> list[str]:
    """Returns every name that a part of the graph refers to."""
    if isinstance(value, dict):
        return [value["@id"]] if value.keys() == {"@id"} else [id for part in value.values() for id in referred(part)]
    return [id for part in value for id in referred(part)] if isinstance(value, list) else []


def test_everything_that_the_crate_refers_to_is_described_or_elsewhere(home):
    graph = graph_of(home)
    here = {id for entity in graph.values() for id in referred(entity) if not id.startswith("http")}
    assert here <= graph.keys()


def test_the_crate_holds_every_file_with_its_digest(home):
    graph = graph_of(home)
    files = {path.relative_to(home).as_posix(): path for path in home.rglob("*") if path.is_file()}
    files.pop("ro-crate-metadata.json")
    assert {part["@id"] for part in graph["./"]["hasPart"]} == files.keys()
    for place, path in files.items():
        assert graph[place]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    made = {part["@id"] for part in graph["#reproduction"]["result"]}
    assert {"report.html", "verdicts.csv", "recall/estimates.csv", "recall/figures/pairs.svg"} <= made
    assert "recall/plan.json" not in made


def test_the_crate_says_with_what_and_on_what_but_not_on_whose_machine(home):
    text = (home / "ro-crate-metadata.json").read_text(encoding="utf-8")
    assert MADE.machine not in text
    assert str(home) not in text
    assert MADE.processor in graph_of(home)["#machine-1"]["value"]
    assert f'"softwareVersion": "{MADE.torch}"' in text
    assert graph_of(home)["Snakefile"]["version"] == MADE.commit


def test_described_again_every_byte_is_the_same(home):
    names = ("ro-crate-metadata.json", "croissant.json")
    before = [(home / name).read_bytes() for name in names]
    describe(home, experiments=["recall"], date=date_of(home), workflow=ROOT)
    assert [(home / name).read_bytes() for name in names] == before


def test_a_result_set_is_dated_by_its_last_run(home):
    day = last_run(home, runs=home.parent / "runs", experiments=["recall"])
    assert len(day) == len("2026-01-02")
    assert date_of(home) == "2026-01-02"


def test_every_column_of_every_table_is_a_field_with_its_type(home):
    described = json.loads((home / "croissant.json").read_text(encoding="utf-8"))
    sets = {records["@id"]: records["field"] for records in described["recordSet"]}
    assert sets.keys() == {"recall/measurements", "recall/estimates", "verdicts"}
    for name, fields in sets.items():
        table = read_table(home / f"{name}.csv")
        assert [field["name"] for field in fields] == list(table.columns)
        assert all(len(field["description"]) > 10 for field in fields)
    types = {field["name"]: field["dataType"] for field in sets["recall/measurements"]}
    assert (types["value"], types["run"], types["seed"]) == ("sc:Float", "sc:Text", "sc:Float")
    told = {file["@id"]: file["sha256"] for file in described["distribution"]}
    assert told["verdicts.csv"] == hashlib.sha256((home / "verdicts.csv").read_bytes()).hexdigest()


def test_columns_say_what_they_hold():
    assert description("p_holm") == "P value after Holm's correction within the family"
    assert description("at.length") == "Address of the number: length"
    assert description("network.mixer.key_dim") == "Specification of the network: mixer, key dim"


def test_columns_without_a_number_are_text(home):
    table = read_table(home / "recall/measurements.csv")
    assert kind(table["detail"]) == "text"
    assert kind(table["value"]) == "number"


# The validator looks terms up on the web. What the two contexts say of the terms that a crate uses is served to it here.
_SERVED = """
import json, sys
from rocrate_validator import models, services
from rocrate_validator.utils import http

class Response:
    status_code, headers = 200, {"Content-Type": "application/ld+json"}
    text = sys.argv[2]

    def json(self):
        return json.loads(self.text)

http.HttpRequester.get = lambda self, url, **_: Response()
settings = services.ValidationSettings(
    rocrate_uri=sys.argv[1], profile_identifier="workflow-run-crate-0.5",
    requirement_severity=models.Severity.REQUIRED, offline=True,
)
result = services.validate(settings)
print("\\n".join(f"{issue.check.identifier} {issue.message}" for issue in result.get_issues()) or "passed")
"""


def context_of(graph: dict[str, dict]) -> dict:
    terms = {term for entity in graph.values() for term in entity if not term.startswith("@")}
    types = {
        term
        for entity in graph.values()
        for term in [entity["@type"]]
        for term in ([term] if isinstance(term, str) else term)
    }
    known = {
        "File": "http://schema.org/MediaObject",
        "ComputationalWorkflow": "https://bioschemas.org/ComputationalWorkflow",
        "FormalParameter": "https://bioschemas.org/FormalParameter",
        "input": "https://bioschemas.org/ComputationalWorkflow#input",
        "output": "https://bioschemas.org/ComputationalWorkflow#output",
        "conformsTo": "http://purl.org/dc/terms/conformsTo",
        "sha256": "https://w3id.org/ro/terms/workflow-run#sha256",
        "resourceUsage": "https://w3id.org/ro/terms/workflow-run#resourceUsage",
    }
    return {"@context": {term: f"http://schema.org/{term}" for term in terms | types} | known}


def validated(home: Path) -> str:
    command = [sys.executable, "-c", _SERVED, str(home), json.dumps(context_of(graph_of(home)))]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    return told.stdout.strip() or told.stderr


@pytest.mark.skipif(importlib.util.find_spec("rocrate_validator") is None, reason="roc-validator is not installed")
def test_the_crate_passes_the_validator_and_a_broken_one_does_not(home, tmp_path):
    assert validated(home) == "passed"
    text = (home / "ro-crate-metadata.json").read_text(encoding="utf-8")
    broken = text.replace('"additionalType": "File",', "").replace('"instrument"', '"agent"')
    for place in ("Snakefile", "report.html"):
        write(tmp_path / place, (home / place).read_text(encoding="utf-8"))
    write(tmp_path / "ro-crate-metadata.json", broken)
    assert "MUST have an additionalType" in validated(tmp_path)


@pytest.mark.skipif(importlib.util.find_spec("mlcroissant") is None, reason="mlcroissant is not installed")
def test_readers_of_croissant_find_the_tables(home):
    program = (
        "import sys, mlcroissant; data = mlcroissant.Dataset(jsonld=sys.argv[1]); "
        "assert not data.metadata.ctx.issues.errors; print(len(list(data.records(record_set='verdicts')))); "
        "print(len(list(data.records(record_set='recall/estimates'))))"
    )
    told = subprocess.run(
        [sys.executable, "-c", program, str(home / "croissant.json")], capture_output=True, text=True, check=False
    )
    with (home / "recall/estimates.csv").open(encoding="utf-8") as file:
        rows = len(list(csv.reader(file))) - 1
    assert told.stdout.split() == ["1", str(rows)], told.stderr
