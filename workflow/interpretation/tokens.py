"""The tokens of an input as a reader sees them."""

import pandas as pd

from tasks import AnyTask
from tasks.language.modeling import LanguageModeling
from tasks.memory.recall import Recall
from tasks.task import IGNORE, Batch

_MARKS = {" ": "␣", "\n": "↵"}
_FILLER, _ELSE, _END = "·", "·", "∎"


def shown(task: AnyTask, batch: Batch) -> pd.DataFrame:
    """Returns the first sequence: position, token, label, due (the token to predict) and due_label, empty where none is."""
    tokens, targets = batch.tokens_BT[0].tolist(), batch.targets_BT[0].tolist()
    due = [None if target == IGNORE else target for target in targets]
    return pd.DataFrame(
        {
            "position": range(len(tokens)),
            "token": tokens,
            "label": [label(task, token) for token in tokens],
            "due": pd.array(due, dtype="Int64"),
            "due_label": [None if token is None else label(task, token) for token in due],
        }
    )


def label(task: AnyTask, token: int) -> str:
    """Returns the token in a few letters: a byte of text as its letter, any other by its number."""
    if isinstance(task, LanguageModeling) and task.tokenizer.name == "bytes":
        letter = _ascii(token)
        if token == task.end:
            return _END
        return _MARKS.get(letter, letter if letter.isprintable() and letter else _ELSE)
    if isinstance(task, Recall) and token < task.fillers:
        return _FILLER
    return str(token)


def kind(task: AnyTask, token: int) -> str:
    """Returns what sort of token it is: of bytes space, letter or sign, of recall key, value or filler, else token."""
    if isinstance(task, LanguageModeling) and task.tokenizer.name == "bytes":
        letter = _ascii(token)
        return "space" if letter.isspace() else "letter" if letter.isalpha() else "sign"
    if isinstance(task, Recall):
        first_value = task.fillers + (task.vocabulary - task.fillers) // 2
        return "filler" if token < task.fillers else "key" if token < first_value else "value"
    return "token"


def _ascii(token: int) -> str:
    return chr(token) if token < 128 else ""
