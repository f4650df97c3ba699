"""Language modelling: real text, scored in bits per byte whatever the tokens are."""

import lzma
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from tasks.draws import Split, stream
from tasks.language.corpora import Corpus, read
from tasks.language.documents import beginning
from tasks.language.memory_map import SPLITS
from tasks.language.ngrams import counts, probabilities
from tasks.language.tokenization import Tokenizer
from tasks.language.tokens import read_token_bytes, read_tokens
from tasks.language.windows import Across, Windows, Within
from tasks.task import IGNORE, Batch, TextTask

_ORDERS = 6  # the reference byte models see 0 to 5 bytes of context
_FITTED, _SCORED = 16_000_000, 4_000_000  # bytes of train and of test text the references read, at most


class LanguageModeling(TextTask):
    """Predict the next token of real text. Tokens may be bytes or pieces of text; the score is per byte all the same.

        bytes, length 8, the document "Fellow-Citizens" and then "Madam", E the end of a document, `documents`:

        reset    tokens     F   e   l   l   o   w   -   C        M   a   d   a   m   E   E   E
                 targets    e   l   l   o   w   -   C   i        a   d   a   m   .   .   .   .

        carry    tokens     i   z   e   n   s   E   M   a
                 targets    z   e   n   s   E   M   a   d

    With `reset` a row is a window within one document, so nothing crosses from one to another, whatever the architecture;
    one shorter than the window is a row filled up on the right. With `carry` a row is a window of the split's documents in
    a fixed random order, joined by E, and what was read before an E is there to be used. E is the token after those of
    the tokenizer; it stands for no byte, but predicting it costs bits. How likely each target is: `tasks.language.windows`.
    No document is in two splits. Nothing is read before the first batch.
    """

    name: Literal["language-modeling"]
    corpus: Corpus
    corpus_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    tokenizer: Tokenizer
    documents: Literal["reset", "carry"]
    length: Annotated[int, Field(ge=1)]

    @property
    def vocabulary_size(self) -> int:
        return self.tokenizer.vocabulary_size + 1

    @property
    def end(self) -> int:
        """The token between documents, and of the right of a row that a document does not fill."""
        return self.tokenizer.vocabulary_size

    def draw(self, rng: np.random.Generator, size: int) -> Batch:
        return self._rows("train", rng, size)

    def batch(self, split: Split, index: int, size: int) -> Batch:
        """Returns windows of the split's own documents."""
        return self._rows(split, stream(split, index), size)

    def _rows(self, split: Split, rng: np.random.Generator, size: int) -> Batch:
        tokens_BS, inside_BS = _windows(self, split).draw(rng, size)
        targets_BT = np.where(inside_BS[:, 1:], tokens_BS[:, 1:], IGNORE)
        return Batch(torch.from_numpy(tokens_BS[:, :-1].copy()), torch.from_numpy(targets_BT))

    @property
    def token_bytes_N(self) -> Tensor:
        return torch.from_numpy(np.append(read_token_bytes(self.corpus, self.corpus_sha256, self.tokenizer), 0))

    def at(self, point: Mapping[str, Any]) -> Self:
        other = super().at(point)
        for split in SPLITS:
            _windows(other, split)
        return other

    def references(self, size: int) -> dict[str, float]:
        """Returns bits per byte of the test text, or of its first 4 MB, whatever `size`, the tokenizer and the windows.

        `order_k` is a byte model of k bytes of context fitted on the train documents, or on their first 16 MB; `xz`
        compresses the test text alone.
        """
        return dict(_yardsticks(self.corpus, self.corpus_sha256))


@lru_cache(maxsize=4)
def _yardsticks(corpus: Corpus, sha256: str) -> dict[str, float]:
    splits = read(corpus, sha256)
    train, test = beginning(splits["train"], _FITTED), beginning(splits["test"], _SCORED)
    models = [counts(train, order) for order in range(_ORDERS)]
    scores = {
        f"order_{order}": -np.log2(probability_N).mean().item()
        for order, probability_N in enumerate(probabilities(models, test))
    }
    text = test.text_N.tobytes()
    return scores | {"xz": 8 * len(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)) / len(text)}


@lru_cache(maxsize=64)
def _windows(task: LanguageModeling, split: Split) -> Windows:
    """Returns what a task's rows of a split are drawn from; ValueError where the split has too little text for one."""
    documents = read_tokens(task.corpus, task.corpus_sha256, task.tokenizer)[split]
    if task.documents == "reset":
        most = int(documents.lengths_D.max()) - 1
        held = f"fits no {split} document of"
    else:
        most = int(documents.lengths_D.sum()) + len(documents.lengths_D) - 1
        held = f"exceeds the {split} documents of"
    if task.length > most:
        raise ValueError(f"length {task.length} {held} {task.corpus!r}: lower it to at most {most}")
    if task.documents == "reset":
        return Within(documents, length=task.length, end=task.end)
    return Across(documents, split, length=task.length, end=task.end)
