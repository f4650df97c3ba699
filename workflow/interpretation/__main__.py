"""Trains the networks of a scale and lays open what each does with the same inputs.

    python -m workflow.interpretation --scale quick --output results/quick/interpretation

Leaves `gates.csv`, of the first test input: `input`, `run`, `network.mixer.name`, `layer`, `head`, `position`, `source`,
`name`, `value`, `low`, `high`, `unit`; `summary.csv`, scores, and means over the first test batch by layer, head and kind of
token, with their `n`; `inputs.csv`, the tokens and what is due after each; and `runs/<run>/run.json`, which trains the
network again.
"""

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from models.network import Network
from tasks.task import Batch
from workflow import interruption
from workflow.files import write
from workflow.identity import run_id
from workflow.interpretation.records import dynamics_rows, reading, summary_rows
from workflow.interpretation.subjects import SUBJECTS, Subject, subjects
from workflow.interpretation.tokens import kind, shown
from workflow.interpretation.training import trained
from workflow.planfile import SCALES
from workflow.provenance import device
from workflow.results import Measurement
from workflow.runs import RunFile
from workflow.table import write_table

_COLUMNS = ("layer", "head", "position", "source", "name", "value", "low", "high", "unit")
_SUMMARY = ("layer", "head", "kind", "name", "value", "unit", "n")


def batch_of(subject: Subject) -> Batch:
    """Returns the first test batch of the subject's task, at the length that is looked at."""
    return subject.run.task.at_length(subject.length).batch("test", 0, subject.run.optimizer.batch_size)


def laid_open(subject: Subject, network: Network, scores: list[Measurement]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Returns the rows of `gates.csv` and of `summary.csv` of one network."""
    run, batch = subject.run, batch_of(subject)
    address = {"input": subject.input, "run": run_id(run), "network.mixer.name": run.network.mixer.name}
    gates = pd.concat(dynamics_rows(reading(network, Batch(*(x[:1] for x in batch)))), ignore_index=True)
    types = dict.fromkeys(_COLUMNS[:4], "Int64") | dict.fromkeys(("value", "low", "high"), "float32")  # as many digits
    gates = gates.reindex(columns=list(_COLUMNS)).astype(types)
    told = [
        {"name": row.name, "value": row.value, "unit": row.unit}
        for row in scores
        if row.name in ("steps", "parameters") or row.at == {"split": "test"}
    ]
    kinds = [kind(run.task, token) for token in range(run.task.vocabulary_size)]
    summary = pd.DataFrame([*told, *summary_rows(reading(network, batch), batch, kinds=kinds)])
    summary = summary.reindex(columns=list(_SUMMARY)).astype(dict.fromkeys(("layer", "head", "n"), "Int64"))
    asked = address | {"task.name": run.task.name, "seed": run.seed}
    return _under(gates, address), _under(summary, asked)


def _under(table: pd.DataFrame, address: dict[str, Any]) -> pd.DataFrame:
    """Returns the table with the same address in every row, first."""
    return table.assign(**address)[[*address, *table.columns]]


def work(asked: list[Subject], *, output: Path) -> None:
    """Leaves the tables of all subjects in the folder."""
    found = []
    for subject in asked:
        network, scores = trained(subject.run, checkpoints=output / "checkpoints")
        found.append(laid_open(subject, network, scores))
        text = RunFile(run=subject.run).model_dump_json(indent=1) + "\n"
        write(output / "runs" / run_id(subject.run) / "run.json", text)
    shutil.rmtree(output / "checkpoints", ignore_errors=True)
    inputs = {subject.input: subject for subject in asked}
    tokens = [shown(subject.run.task, batch_of(subject)).assign(input=name) for name, subject in inputs.items()]
    write_table(pd.concat(tokens, ignore_index=True), output / "inputs.csv")
    write_table(pd.concat([summary for _, summary in found], ignore_index=True), output / "summary.csv")
    write_table(pd.concat([gates for gates, _ in found], ignore_index=True), output / "gates.csv")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train networks and lay open what each does with the same inputs.")
    parser.add_argument("--scale", choices=SCALES, default="quick", help="how large the networks are")
    parser.add_argument("--subjects", type=Path, default=SUBJECTS, help="the file of networks and inputs, .yaml")
    parser.add_argument("--output", type=Path, required=True, help="the folder to leave the tables in")
    arguments = parser.parse_args()
    interruption.listen()
    if device().type == "cpu":
        torch.set_num_threads(1)
    try:
        work(subjects(arguments.subjects, scale=arguments.scale), output=arguments.output)
    except interruption.Interrupted:
        print("interrupted: the network that was training goes on from here", file=sys.stderr)
        sys.exit(interruption.EXIT_CODE)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
