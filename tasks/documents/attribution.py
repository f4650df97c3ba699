"""Document attribution: who wrote a piece of text, or when?"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from tasks.documents.classes import HALF_CENTURIES, PRESIDENTS, Label, classes, log_trigrams, shelf_of
from tasks.documents.library import containing, pieces
from tasks.documents.profiles import by_parts, byte_counts, text, trigram_counts
from tasks.documents.task import DocumentTask
from tasks.draws import Split, integers, permutations
from tasks.task import IGNORE, Batch, Predictor

QUESTION = 256
CLASSES = 257  # the token of the first class


class DocumentAttribution(DocumentTask):
    """Which of 36 presidents wrote the `length` - 1 bytes, or of which of 6 half-centuries are they?

    Made of this corpus as text classification is of film reviews in the Long Range Arena (Tay et al. 2021,
    arXiv:2011.04006), with as many classes as there are authors:

        length 65, label half-century: 256 asks, 257 is the class of 1750 to 1799, 258 to 1849, ... 262 from 2000 on

        tokens     that had triumphed over a depression and fascism. They understoo 256
        targets    262 at the last token, none before

    Classes are those of at least four messages. Each class's years are split by their hashes, an eighth rounded up to
    test, as many to validation, the others to train: every class is in every split, and a year's spoken and written
    versions in one. (Split by year alone, as for language modelling, 15 of 36 presidents are tested.) A class without a
    document of `length` - 1 bytes in each split is left out of all. Batches are stratified: of all classes as equally
    many examples as can be, and those of a class from as many equal parts of its windows.
    """

    name: Literal["document-attribution"]
    label: Label
    length: Annotated[int, Field(ge=65)]  # shorter pieces are often in several documents

    @property
    def vocabulary_size(self) -> int:
        return CLASSES + len(PRESIDENTS if self.label == "president" else HALF_CENTURIES)

    def examples(self, split: Split, rng: np.random.Generator, size: int) -> Batch:
        shelf = shelf_of(self.corpus, self.corpus_sha256, self.label, self.length - 1, split)
        present = len(shelf.present_C)
        turn_B = permutations(rng, size, 1)[0]
        class_B = permutations(rng, present, 1)[0][turn_B % present]
        part_B, parts_B = turn_B // present, (size - 1 - turn_B % present) // present + 1
        first_B, end_B = (shelf.counts_C[class_B] * part // parts_B for part in (part_B, part_B + 1))
        number_B = shelf.firsts_C[class_B] + first_B + integers(rng, end_B - first_B, (size,))
        tokens_BT = np.empty((size, self.length), dtype=np.int64)
        tokens_BT[:, :-1] = pieces(self._library.documents, shelf.windows.starts(number_B), self.length - 1)
        tokens_BT[:, -1] = QUESTION
        targets_BT = np.full_like(tokens_BT, IGNORE)
        targets_BT[:, -1] = CLASSES + shelf.present_C[class_B]
        return Batch(torch.from_numpy(tokens_BT), torch.from_numpy(targets_BT))

    def predictors(self, sample: Batch) -> dict[str, Predictor]:
        """`histogram` answers with the class whose mean histogram of bytes is nearest, `trigrams` is naive Bayes.

        That one counts three bytes in a row, in all the training documents. The oracle looks up which document the
        piece is in. Some quote others: of a piece in documents of several classes it takes the latest, and may err.
        """
        class_D = classes(self.corpus, self.corpus_sha256, self.label).class_D
        present_C = torch.from_numpy(
            shelf_of(self.corpus, self.corpus_sha256, self.label, self.length - 1, "train").present_C
        )

        def oracle(tokens_BT: Tensor) -> Tensor:
            found = [containing(self.corpus, self.corpus_sha256, text(row)) for row in tokens_BT[:, :-1]]
            answer_B = torch.tensor([max(class_D[list(documents)]) for documents in found])
            return (CLASSES + answer_B)[:, None].expand_as(tokens_BT)

        target_B = sample.targets_BT[:, -1] - CLASSES
        histogram_BF = by_parts(byte_counts, sample.tokens_BT[:, :-1])
        centroid_CF = torch.stack([histogram_BF[target_B == each].mean(0) for each in present_C])
        log_CF = log_trigrams(self.corpus, self.corpus_sha256, self.label)[present_C]

        def histogram(bytes_BP: Tensor) -> Tensor:
            return torch.cdist(byte_counts(bytes_BP), centroid_CF).nan_to_num(torch.inf).argmin(1)

        def trigrams(bytes_BP: Tensor) -> Tensor:
            return (trigram_counts(bytes_BP) @ log_CF.T).argmax(1)

        def answering(place_of: Callable[[Tensor], Tensor], tokens_BT: Tensor) -> Tensor:
            class_B = present_C[by_parts(place_of, tokens_BT[:, :-1])]
            return (CLASSES + class_B)[:, None].expand_as(tokens_BT)

        return {"oracle": oracle, "histogram": partial(answering, histogram), "trigrams": partial(answering, trigrams)}
