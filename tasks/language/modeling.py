"""Byte-level language modelling: real text, the same unit for every architecture."""

import lzma
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from tasks.draws import Split, integers, stream
from tasks.language.corpora import Corpus, Documents, read
from tasks.language.ngrams import counts, probabilities
from tasks.task import Batch, TextTask

_ORDERS = 6  # the reference byte models see 0 to 5 bytes of context


class LanguageModeling(TextTask):
    """Predict the next byte of a document. Tokens are bytes, so no tokenizer enters the score, bits per byte.

        length 8, a document that contains "Fellow-Citizens": a window of 9 bytes

        tokens     F   e   l   l   o   w   -   C        70 101 108 108 111 119  45  67
        targets    e   l   l   o   w   -   C   i       101 108 108 111 119  45  67 105

    A window is drawn uniformly from all windows that lie within one document of the split; years, hence documents, are
    disjoint between splits. Documents of at most `length` bytes have none. Nothing is read before the first batch.
    """

    name: Literal["language-modeling"]
    corpus: Corpus
    corpus_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    length: Annotated[int, Field(ge=1)]

    @property
    def vocabulary_size(self) -> int:
        return 256

    def draw(self, rng: np.random.Generator, size: int) -> Batch:
        return self._windows("train", rng, size)

    def batch(self, split: Split, index: int, size: int) -> Batch:
        """Returns windows of the split's own documents."""
        return self._windows(split, stream(split, index), size)

    def _windows(self, split: Split, rng: np.random.Generator, size: int) -> Batch:
        documents = self._documents(split)
        windows_D = np.maximum(documents.lengths_D - self.length, 0)
        ends_D = np.cumsum(windows_D)
        window_B = integers(rng, ends_D[-1], (size,))
        document_B = np.searchsorted(ends_D, window_B, side="right")
        start_B = documents.starts_D[document_B] + window_B - (ends_D - windows_D)[document_B]
        bytes_BT = torch.from_numpy(documents.text_N[start_B[:, None] + np.arange(self.length + 1)].astype(np.int64))
        return Batch(bytes_BT[:, :-1].contiguous(), bytes_BT[:, 1:].contiguous())

    def _documents(self, split: Split) -> Documents:
        documents = read(self.corpus, self.corpus_sha256)[split]
        longest = int(documents.lengths_D.max())
        if self.length >= longest:
            raise ValueError(
                f"length {self.length} fits no {split} document of {self.corpus!r}: lower it to at most {longest - 1}"
            )
        return documents

    @property
    def token_bytes_N(self) -> Tensor:
        return torch.ones(256, dtype=torch.int64)

    def at(self, point: Mapping[str, Any]) -> Self:
        other = super().at(point)
        for split in ("train", "validation", "test"):
            other._documents(split)
        return other

    def references(self, size: int) -> dict[str, float]:
        """Returns bits per byte of the whole test text, whatever `size`.

        `order_k` is a byte model of k bytes of context fitted on the train documents, `xz` compresses the test text
        alone. Neither is confined to a window of `length`.
        """
        splits = read(self.corpus, self.corpus_sha256)
        models = [counts(splits["train"], order) for order in range(_ORDERS)]
        scores = {
            f"order_{order}": -np.log2(probability_N).mean().item()
            for order, probability_N in enumerate(probabilities(models, splits["test"]))
        }
        text = splits["test"].text_N.tobytes()
        return scores | {"xz": 8 * len(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)) / len(text)}
