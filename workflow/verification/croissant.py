"""The tables of a result set -> croissant.json, by which programs that read data sets find and type their columns.

Croissant 1.1 (http://mlcommons.org/croissant/1.1): a file and a record set per table, a field per column.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from workflow.files import write
from workflow.table import read_table
from workflow.verification.columns import description, kind
from workflow.verification.sums import files_of, sha256

NAME = "croissant.json"
TITLE = "xLSTM on trial"
AUTHORS = "The authors of xLSTM on trial"
LICENCE = "https://spdx.org/licenses/MIT"

_TABLES = {
    "measurements.csv": "Every number of every run",
    "estimates.csv": "Means, medians and counts over runs, with intervals",
    "scaling.csv": "How cost grows with length",
    "crossovers.csv": "Where the costs of two networks cross",
    "laws.csv": "How the loss falls with parameters, tokens and compute",
    "controls.csv": "Whether the controls behaved",
    "verdicts.csv": "Whether the claims hold",
}
_TYPES = {"text": "sc:Text", "integer": "sc:Integer", "number": "sc:Float", "boolean": "sc:Boolean"}
_LANGUAGE = {"@container": "@language"}
# What readers of Croissant 1.1 ask of the context: its own terms, and those of schema.org for all else.
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": _LANGUAGE,
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": _LANGUAGE,
} | {
    term: f"cr:{term}"
    for term in (
        "arrayShape citeAs column containedIn equivalentProperty extract field fileObject fileProperty fileSet format "
        "includes isArray isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace "
        "samplingRate separator source subField transform"
    ).split()
}


def leave_croissant(home: Path, *, experiments: list[str], date: str) -> None:
    """Leaves the description of the tables in the folder of a result set, published at this date."""
    places = [place for place in files_of(home, experiments=experiments) if Path(place).name in _TABLES]
    places = [place for place in places if Path(place).parts[:-1] in {(), *((name,) for name in experiments)}]
    tables = {place: read_table(home / place) for place in places}
    described = {
        "@context": dict(sorted(_CONTEXT.items())),
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": f"{TITLE}, scale {home.name}",
        "description": "Measurements, estimates and verdicts of xLSTM, Transformers and state space models, by one protocol.",
        "license": LICENCE,
        "creator": {"@type": "Organization", "name": AUTHORS},
        "version": "1.0.0",
        "datePublished": date,
        "distribution": [_file(place, home=home) for place in tables],
        "recordSet": [_records(place, table) for place, table in tables.items()],
    }
    write(home / NAME, json.dumps(described, indent=1, ensure_ascii=False) + "\n")


def _file(place: str, *, home: Path) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": place,
        "name": place,
        "description": _told(place),
        "contentUrl": place,
        "encodingFormat": "text/csv",
        "contentSize": f"{(home / place).stat().st_size} B",
        "sha256": sha256(home / place),
    }


def _records(place: str, table: pd.DataFrame) -> dict[str, Any]:
    set_id = place.removesuffix(".csv")
    return {
        "@type": "cr:RecordSet",
        "@id": set_id,
        "name": set_id,
        "description": _told(place),
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{set_id}/{column}",
                "name": column,
                "description": description(column),
                "dataType": _TYPES[kind(table[column])],
                "source": {"fileObject": {"@id": place}, "extract": {"column": column}},
            }
            for column in table.columns
        ],
    }


def _told(place: str) -> str:
    path = Path(place)
    of = f", experiment {path.parent.name}" if path.parent.name else ""
    return f"{_TABLES[path.name]}{of}"
