"""Document matching: are two pieces of text from one document?"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from tasks.documents.library import containing, pieces
from tasks.documents.profiles import Profile, byte_counts, distance, text, trigram_counts
from tasks.documents.task import DocumentTask
from tasks.documents.years import Negatives, Years, years_of
from tasks.draws import Split, integers
from tasks.task import IGNORE, Batch, Predictor, most_frequent

SEPARATOR, QUESTION, DIFFERENT, SAME = range(256, 260)

_BINS = 64


class DocumentMatching(DocumentTask):
    """Two pieces of `piece` bytes that do not overlap: of the same document, 259, or of different ones, 258?

    After the retrieval task of the Long Range Arena (Tay et al. 2021, arXiv:2011.04006, `lra_benchmarks/matching`),
    whose papers cannot be redistributed; here both pieces are read in one row, by one causal model:

        piece 64, negatives any: 256 separates the pieces, 257 asks

        tokens     c and a new creed, "Let's roll." In the sacrifice of soldiers, t
               256 behind. I was proud to work with members of both parties: Chairm 257
        targets    259 at the last token, none before

    `negatives` any takes the other piece from any other year, half-century from a year of the same half-century, so
    that neither the language nor the events of an age tell. No year is matched with itself, for some hold one message
    twice, spoken and written. Years are drawn uniformly, then a document, then two pieces in it; a negative takes one
    piece of either of two such draws. So each piece alone is distributed alike under both labels and tells nothing.
    """

    name: Literal["document-matching"]
    piece: Annotated[int, Field(ge=64)]  # shorter ones are often in several documents
    negatives: Negatives

    @property
    def vocabulary_size(self) -> int:
        return 260

    def examples(self, split: Split, rng: np.random.Generator, size: int) -> Batch:
        years = years_of(self.corpus, self.corpus_sha256, split, self.piece, self.negatives)
        shelf = self._library.documents
        year_B = integers(rng, len(years.firsts_Y), (size,))
        start_B, years_B = years.group_starts_Y[year_B], years.group_sizes_Y[year_B]
        other_B = start_B + (year_B - start_B + 1 + integers(rng, years_B - 1, (size,))) % years_B
        place_2B = self._placed(years, np.stack([year_B, other_B]), rng)
        same_B, late_B = rng.random((2, size)) < 0.5
        rows, late_B = np.arange(size), late_B.astype(np.int64)
        tokens_BT = np.empty((size, 2 * self.piece + 2), dtype=np.int64)
        tokens_BT[:, : self.piece] = pieces(shelf, place_2B[0, rows, late_B], self.piece)
        tokens_BT[:, self.piece] = SEPARATOR
        tokens_BT[:, self.piece + 1 : -1] = pieces(shelf, place_2B[(~same_B).astype(int), rows, 1 - late_B], self.piece)
        tokens_BT[:, -1] = QUESTION
        targets_BT = np.full_like(tokens_BT, IGNORE)
        targets_BT[:, -1] = np.where(same_B, SAME, DIFFERENT)
        return Batch(torch.from_numpy(tokens_BT), torch.from_numpy(targets_BT))

    def _placed(self, years: Years, year_2B: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Returns where two pieces begin in a document of each year, (2, B, 2), the earlier first, uniform over all pairs."""
        shelf = self._library.documents
        document_2B = years.document_E[years.firsts_Y[year_2B] + integers(rng, years.counts_Y[year_2B], year_2B.shape)]
        spare_2B = shelf.lengths_D[document_2B] - 2 * self.piece
        # Of (spare + 1)(spare + 2) equally likely draws, two give each earlier <= later.
        a_2B, b_2B = integers(rng, spare_2B + 1, year_2B.shape), integers(rng, spare_2B + 2, year_2B.shape)
        earlier_2B, later_2B = np.where(b_2B > a_2B, [a_2B, b_2B - 1], [b_2B, a_2B])
        return np.stack([earlier_2B, later_2B + self.piece], axis=2) + shelf.starts_D[document_2B][:, :, None]

    def at(self, point: Mapping[str, Any]) -> Self:
        """Returns the task with other fields; `length` is two pieces and two marks."""
        fields = dict(point)
        if (length := fields.pop("length", None)) is not None:
            if length < 130 or length % 2:
                raise ValueError(
                    f"length {length} is not two pieces of at least 64 bytes and two marks: make it even and 130 or more"
                )
            fields["piece"] = length // 2 - 1
        return super().at(fields)

    def predictors(self, sample: Batch) -> dict[str, Predictor]:
        """`histogram` and `trigrams` know how far the counts of bytes, of three bytes, of the two pieces are apart.

        The oracle looks up which documents the pieces are in; it errs where two documents share a whole piece.
        """

        def halves(tokens_BT: Tensor) -> tuple[Tensor, Tensor]:
            return tokens_BT[:, : self.piece], tokens_BT[:, self.piece + 1 : -1]

        def oracle(tokens_BT: Tensor) -> Tensor:
            found = [
                [containing(self.corpus, self.corpus_sha256, text(piece)) for piece in half]
                for half in halves(tokens_BT)
            ]
            same_B = torch.tensor([bool(first & second) for first, second in zip(*found, strict=True)])
            return torch.where(same_B, SAME, DIFFERENT)[:, None].expand_as(tokens_BT)

        def nearness(profile: Profile) -> Predictor:
            def binned(tokens_BT: Tensor) -> Tensor:
                distance_B = distance(profile, *halves(tokens_BT))
                return (distance_B * _BINS).long().clamp(max=_BINS - 1)[:, None].expand_as(tokens_BT)

            return most_frequent(sample, binned, _BINS)

        return {"oracle": oracle, "histogram": nearness(byte_counts), "trigrams": nearness(trigram_counts)}
