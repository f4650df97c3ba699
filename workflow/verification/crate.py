"""A result set -> ro-crate-metadata.json, by which archives and their readers know what made which file.

Workflow Run Crate 0.5 (https://w3id.org/ro/wfrun/workflow/0.5): the Snakefile is the workflow, the reproduction of the result
set its run. A crate holds its workflow, so the Snakefile and its rules are copied beside the results.
"""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from workflow.files import write
from workflow.planfile import read_plan
from workflow.table import read_table
from workflow.verification.croissant import AUTHORS, LICENCE, TITLE, leave_croissant
from workflow.verification.sums import files_of, sha256

NAME = "ro-crate-metadata.json"

_WORKFLOW, _RULES = "Snakefile", "workflow/rules"
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
_FORMATS = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".pdf": "application/pdf",
    ".svg": "image/svg+xml",
    ".tex": "application/x-tex",
}
_SOFTWARE = {
    "python": ("Python", "https://www.python.org/"),
    "torch": ("PyTorch", "https://pytorch.org/"),
    "numpy": ("NumPy", "https://numpy.org/"),
}
_MACHINE = ("processor", "cores", "memory_bytes", "device", "driver", "threads", "system")

Entity = dict[str, Any]


def describe(home: Path, *, experiments: list[str], date: str, workflow: Path) -> None:
    """Leaves what describes a result set in its folder: croissant.json, the workflow, and the crate of all that is there.

    `workflow` is the folder of the Snakefile that made it.
    """
    if (home / _RULES).exists():
        shutil.rmtree(home / _RULES)  # of a workflow that had other rules
    for path in [workflow / _WORKFLOW, *sorted((workflow / _RULES).glob("*.smk"))]:
        copy = home / path.relative_to(workflow)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    leave_croissant(home, experiments=experiments, date=date)
    runs = _runs(home, experiments=experiments)
    files = [place for place in files_of(home, experiments=experiments) if place != NAME]
    graph = [
        {
            "@id": NAME,
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": [
                {"@id": "https://w3id.org/ro/crate/1.1"},
                {"@id": "https://w3id.org/workflowhub/workflow-ro-crate/1.0"},
            ],
        },
        _root(home.name, files=files, date=date),
        *(
            {"@id": uri, "@type": "CreativeWork", "name": name, "version": uri.rpartition("/")[2]}
            for uri, name in _PROFILES.items()
        ),
        {"@id": LICENCE, "@type": "CreativeWork", "name": "MIT License", "description": "MIT License"},
        {"@id": "#authors", "@type": "Organization", "name": AUTHORS},
        *_workflow(home, files=files, runs=runs),
        *_action(home.name, files=files, runs=runs, date=date),
        *_software(runs),
        *(_file(place, home=home) for place in files if place != _WORKFLOW),
    ]
    context = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
    write(home / NAME, json.dumps({"@context": context, "@graph": graph}, indent=1, ensure_ascii=False) + "\n")


def date_of(home: Path) -> str:
    """Returns the date that the crate in a folder states; ValueError if there is none or it is damaged."""
    path = home / NAME
    if not path.exists():
        raise ValueError(f"{path} is missing: python -m workflow.verification seal writes it")
    try:
        graph = json.loads(path.read_text(encoding="utf-8"))["@graph"]
        return next(entity["datePublished"] for entity in graph if entity["@id"] == "./")
    except (ValueError, KeyError, TypeError, StopIteration):
        raise ValueError(f"{path} is damaged: delete it and run python -m workflow.verification seal") from None


def last_run(home: Path, *, runs: Path, experiments: list[str]) -> str:
    """Returns the day on which the last of the runs ended, in UTC; OSError if one has no result."""
    planned = {run.id for name in experiments for run in read_plan(home / name / "plan.json").runs}
    newest = max((runs / id / "result.json").stat().st_mtime for id in planned)
    return datetime.fromtimestamp(newest, tz=UTC).date().isoformat()


def _all(ids: list[str]) -> Entity | list[Entity]:
    """Returns references to entities, a single one not in a list, as RO-Crate has it."""
    references = [{"@id": id} for id in ids]
    return references[0] if len(references) == 1 else references


def _runs(home: Path, *, experiments: list[str]) -> pd.DataFrame:
    """Returns a row per run, with where it was made."""
    tables = [read_table(home / name / "measurements.csv") for name in experiments]
    return pd.concat([table.drop_duplicates("run") for table in tables]).drop_duplicates("run")


def _root(scale: str, *, files: list[str], date: str) -> Entity:
    return {
        "@id": "./",
        "@type": "Dataset",
        "name": f"{TITLE}: results at scale {scale}",
        "description": "Tables, figures and a report on xLSTM, Transformers and state space models, and what made them.",
        "datePublished": date,
        "license": {"@id": LICENCE},
        "author": {"@id": "#authors"},
        "conformsTo": [{"@id": uri} for uri in _PROFILES],
        "mainEntity": {"@id": _WORKFLOW},
        "mentions": {"@id": "#reproduction"},
        "hasPart": [{"@id": place} for place in files],
    }


def _workflow(home: Path, *, files: list[str], runs: pd.DataFrame) -> list[Entity]:
    """Returns the workflow, its language and its parameters: what is planned and a scale in, files by kind out."""
    made = sorted(_outputs(files))
    commits = sorted(set(runs["provenance.commit"].fillna("unknown")))
    rules = [place for place in files if place.startswith(f"{_RULES}/")]
    main = {
        "@id": _WORKFLOW,
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
        "name": TITLE,
        "description": "From an experiment file to runs, measurements, estimates, verdicts, figures, tables and the report.",
        "version": ", ".join(commits),
        "license": {"@id": LICENCE},
        "conformsTo": {"@id": "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"},
        "encodingFormat": "text/plain",
        "sha256": sha256(home / _WORKFLOW),
        "programmingLanguage": {"@id": "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"},
        "hasPart": _all(rules),
        "input": [{"@id": "#parameter-scale"}, {"@id": "#parameter-plan.json"}],
        "output": _all([f"#parameter-{kind}" for kind in made]),
        "softwareRequirements": [{"@id": entity["@id"]} for entity in _software(runs)],
    }
    language = {
        "@id": "https://w3id.org/workflowhub/workflow-ro-crate#snakemake",
        "@type": "ComputerLanguage",
        "name": "Snakemake",
        "identifier": {"@id": "https://doi.org/10.1093/bioinformatics/bts480"},
        "url": {"@id": "https://snakemake.readthedocs.io"},
    }
    scale = _parameter("scale", kind="Text", of=["#scale"])
    plans = _parameter("plan.json", kind="File", of=[place for place in files if place.endswith("/plan.json")])
    return [main, language, scale, plans, *(_parameter(kind, kind="File", of=_outputs(files)[kind]) for kind in made)]


def _outputs(files: list[str]) -> dict[str, list[str]]:
    """Returns what the workflow makes, by kind: a name of a table, else of a folder, else of a file."""
    found: dict[str, list[str]] = {}
    for place in files:
        path = Path(place)
        if path.name == "plan.json" or place == _WORKFLOW or path.suffix == ".smk":
            continue
        inner = path.parts[1] if len(path.parts) > 2 else path.parts[0] if len(path.parts) == 2 else path.name
        kind = path.name if len(path.parts) == 2 and path.suffix == ".csv" else inner
        found.setdefault(kind, []).append(place)
    return found


def _parameter(name: str, *, kind: str, of: list[str]) -> Entity:
    return {
        "@id": f"#parameter-{name}",
        "@type": "FormalParameter",
        "name": name,
        "additionalType": kind,
        "conformsTo": {"@id": "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"},
        "workExample": _all(of),
    }


def _action(scale: str, *, files: list[str], runs: pd.DataFrame, date: str) -> list[Entity]:
    """Returns the reproduction, with the machines, without their names, and the time that it took."""
    columns = [f"provenance.{name}" for name in _MACHINE]
    machines = runs.groupby(columns, dropna=False, sort=True)["provenance.seconds"].agg(["size", "sum"]).reset_index()
    used = [
        {
            "@id": f"#machine-{number}",
            "@type": "PropertyValue",
            "name": f"machine {number}",
            "value": "; ".join(
                f"{name} {row[f'provenance.{name}']}" for name in _MACHINE if pd.notna(row[f"provenance.{name}"])
            ),
            "description": f"{row['size']} runs in {row['sum']:.0f} s",
        }
        for number, row in enumerate(machines.to_dict("records"), start=1)
    ]
    made = [place for places in _outputs(files).values() for place in places]
    action = {
        "@id": "#reproduction",
        "@type": "CreateAction",
        "name": f"snakemake reproduce-all --config scale={scale}",
        "description": f"{len(runs)} runs, {(runs['status'] == 'finished').sum()} of them finished.",
        "actionStatus": "http://schema.org/CompletedActionStatus",
        "endTime": date,
        "instrument": {"@id": _WORKFLOW},
        "object": [{"@id": "#scale"}, *({"@id": place} for place in files if place.endswith("/plan.json"))],
        "result": _all(sorted(made)),
        "resourceUsage": _all([entity["@id"] for entity in used]),
    }
    given = {"@id": "#scale", "@type": "PropertyValue", "name": "scale", "value": scale}
    return [action, given | {"exampleOfWork": {"@id": "#parameter-scale"}}, *used]


def _software(runs: pd.DataFrame) -> list[Entity]:
    found = []
    for column, (name, url) in _SOFTWARE.items():
        for version in sorted(set(runs[f"provenance.{column}"])):
            told = {"@id": f"{url}#{version}", "@type": "SoftwareApplication", "name": name, "url": {"@id": url}}
            found.append(told | {"softwareVersion": version})
    return found


def _file(place: str, *, home: Path) -> Entity:
    kinds = [kind for kind, places in _outputs([place]).items()]
    kinds += ["plan.json"] if place.endswith("/plan.json") else []
    path = home / place
    file = {
        "@id": place,
        "@type": "File",
        "name": place,
        "encodingFormat": _FORMATS.get(path.suffix, "text/plain"),
        "contentSize": str(path.stat().st_size),
        "sha256": sha256(path),
    }
    return file | ({"exampleOfWork": {"@id": f"#parameter-{kinds[0]}"}} if kinds else {})
