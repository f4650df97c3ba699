"""Shows a task: its fields, one example, and what scores without a network.

python -m tasks.show                            every published setting by name
python -m tasks.show xlstm/parity               that one
python -m tasks.show '{"name": "parity", ...}'  any task, as an experiment writes it
"""

import argparse
import difflib
import sys

from pydantic import TypeAdapter, ValidationError

from tasks import AnyTask
from tasks.presets import PRESETS
from tasks.series.series import SeriesBatch
from tasks.task import IGNORE, Batch

_WIDE = 40  # positions shown, at most


def shown(task: AnyTask, *, examples: int) -> str:
    """Returns the fields, the first training example and the references."""
    fields = [f"{name}: {value}" for name, value in task.model_dump(mode="json").items()]
    lines = [", ".join(fields), "", *_example(task.batch("train", 0, 1)), ""]
    lines += [
        f"{score:8.4f}  {name}" for name, score in sorted(task.references(examples).items(), key=lambda at: at[1])
    ]
    return "\n".join([*lines, f"          {task.score.replace('_', ' ')} on {examples} test examples"])


def _example(batch: Batch | SeriesBatch) -> list[str]:
    width = batch.inputs.shape[1]
    if isinstance(batch, SeriesBatch):
        values = " ".join(f"{value:.2f}" for value in batch.values_BTC[0, :_WIDE, 0].tolist())
        return [f"values    {values}{' ...' if width > _WIDE else ''}"]
    last = int(batch.labelled_BT[0].nonzero().max()) + 1
    start = max(0, min(last, width) - _WIDE)  # where the answers are
    tokens, targets = (row[0, start : start + _WIDE].tolist() for row in (batch.tokens_BT, batch.targets_BT))
    cells = [
        [str(token), "." if target == IGNORE else str(target)] for token, target in zip(tokens, targets, strict=True)
    ]
    wide = [max(map(len, cell)) for cell in cells]
    said = [" ".join(cell[row].rjust(size) for cell, size in zip(cells, wide, strict=True)) for row in (0, 1)]
    before = "... " if start else ""
    return [f"tokens    {before}{said[0]}", f"targets   {before}{said[1]}"]


def main() -> None:
    parser = argparse.ArgumentParser(description="Show a task: an example, and what scores without a network.")
    parser.add_argument("task", nargs="?", help="a published setting, or a task as JSON; none: list the settings")
    parser.add_argument("--examples", type=int, default=1000, help="how many to score the references on")
    arguments = parser.parse_args()
    if arguments.task is None:
        print("\n".join(sorted(PRESETS)))
        return
    try:
        print(shown(_named(arguments.task), examples=arguments.examples))
    except ValidationError as error:
        problem = error.errors()[0]
        sys.exit(f"error: {'.'.join(map(str, problem['loc']))}: {problem['msg']}")
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


def _named(name: str) -> AnyTask:
    if name in PRESETS:
        return PRESETS[name]
    if not name.startswith("{"):
        near = ", ".join(difflib.get_close_matches(name, PRESETS, n=3)) or "python -m tasks.show lists all"
        raise ValueError(f"no setting is called {name!r}: {near}")
    return TypeAdapter(AnyTask).validate_json(name)


if __name__ == "__main__":
    main()
