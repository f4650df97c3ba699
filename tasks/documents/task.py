"""What the tasks on long documents share: the corpus, and examples of the documents of one split."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field

from tasks.documents.library import Library, library
from tasks.draws import Split, stream
from tasks.task import Batch, SyntheticTask

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class DocumentTask(SyntheticTask):
    """Tokens are bytes, 0 to 255, and marks from 256 on. No document is in two splits; none is read before a batch."""

    corpus: Literal["sotu"]
    corpus_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @abstractmethod
    def examples(self, split: Split, rng: np.random.Generator, size: int) -> Batch:
        """Returns fresh examples of the split's documents; ValueError, with the remedy, where these are too short."""

    def draw(self, rng: np.random.Generator, size: int) -> Batch:
        return self.examples("train", rng, size)

    def batch(self, split: Split, index: int, size: int) -> Batch:
        """Returns examples of the split's own documents."""
        return self.examples(split, stream(split, index), size)

    def at(self, point: Mapping[str, Any]) -> Self:
        other = super().at(point)
        for split in SPLITS:
            other.batch(split, 0, 1)
        return other

    @property
    def _library(self) -> Library:
        return library(self.corpus, self.corpus_sha256)
