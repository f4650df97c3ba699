"""What `snakemake --config KEY=VALUE` may say. `python -m workflow.configuration` writes what is told of it elsewhere anew."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import Field, PositiveInt, ValidationError

from workflow.files import write
from workflow.planfile import first_problem
from workflow.spec import Spec

SCHEMA = Path(__file__).parent / "schemas" / "config.schema.yaml"
README = Path(__file__).parent.parent / "config" / "README.md"

_ROWS = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)


class Configuration(Spec):
    """What a call of the workflow may decide; nothing here enters the specification of a run of `reproduce-all`."""

    scale: Literal["smoke", "quick", "paper"] = Field(
        default="quick",
        description="The size of everything: `smoke` shows that it runs, `quick` is for a laptop, `paper` for GPUs.",
    )
    results: str = Field(default="results", description="The folder that results are kept in and looked for.")
    also: str = Field(default="", description="Experiments apart that join the others, by name, blanks between them.")
    model: str = Field(
        default="",
        description="Files with mixers of your own, blanks between them, each with fields to set, as in `hidden=32`.",
    )
    stack: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="Whether runs that differ in learning rate and seed only are one program; `never` is to the last bit.",
    )
    rerun: int = Field(default=0, ge=0, description="How many training runs `verify` does again, the cheapest first.")
    reference: str = Field(
        default="results/reference/{scale}",
        description="The result set that `compare` sets a fresh one against; `{scale}` stands for the scale.",
    )
    memory_mb: PositiveInt | None = Field(
        default=None,
        description="The memory in MB that a cohort of runs asks a cluster for at first; else 3000, 4000 or 32000, by scale.",
    )
    minutes: PositiveInt | None = Field(
        default=None,
        description="The minutes that a cohort of runs asks a cluster for; else 20, 120 or 1440, by scale.",
    )
    gpu: int = Field(default=0, ge=0, description="The GPUs that each job that runs networks asks a cluster for.")
    container: str = Field(
        default="",
        description="The image that `--sdm apptainer` runs jobs in, as in `docker://HOST/NAME:TAG` or a `.sif` file.",
    )


def configuration(stated: Mapping[str, Any]) -> Configuration:
    """Returns the configuration; ValueError in one line that names the key and the remedy if a key or a value is wrong."""
    known = list(Configuration.model_fields)
    for key in stated:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            remedy = f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}"
            raise ValueError(f"unknown key {key!r} in --config: {remedy}")
    try:
        return Configuration.model_validate(dict(stated))
    except ValidationError as error:
        problem = error.errors()[0]
        if problem["type"] != "literal_error":
            raise ValueError(f"--config {first_problem(error)}") from None
        (key,) = problem["loc"]
        choices = get_args(Configuration.model_fields[key].annotation)
        named = f"choose one of {', '.join(choices)}, as in --config {key}={choices[0]}"
        raise ValueError(f"unknown {key} {stated[key]!r}: {named}") from None


def schema() -> str:
    """Returns the JSON schema of the configuration, in YAML, as the catalogue of Snakemake workflows reads it."""
    stated = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Configuration.model_json_schema()
    for field in stated["properties"].values():
        del field["title"]
    head = "# Written by `python -m workflow.configuration`, from workflow/configuration.py.\n"
    return head + yaml.safe_dump(stated, sort_keys=False, width=120)


def table() -> str:
    """Returns the keys as rows of Markdown."""
    rows = ["| key | default | what it decides |", "|---|---|---|"]
    for key, field in Configuration.model_fields.items():
        default = "none" if field.default in ("", None) else f"`{field.default}`"
        rows.append(f"| `{key}` | {default} | {field.description} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    write(SCHEMA, schema())
    write(README, _ROWS.sub(lambda _: table(), README.read_text(encoding="utf-8"), count=1))
