"""Byte models of a few bytes of context, the yardsticks of byte-level language modelling."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tasks.language.corpora import Documents


class Counts(NamedTuple):
    """How often each n-gram, and each context, its bytes but the last, occurs; both packed in integers and sorted."""

    ngrams_G: np.ndarray
    occurrences_G: np.ndarray
    contexts_C: np.ndarray
    occurrences_C: np.ndarray
    continuations_C: np.ndarray  # the number of distinct bytes seen after the context


def counts(documents: Documents, order: int) -> Counts:
    """Returns the counts of the n-grams of `order` + 1 bytes that lie within one document."""
    ngrams_N = _ngrams(documents, order)[_positions(documents) >= order]
    ngrams_G, occurrences_G = np.unique(ngrams_N, return_counts=True)
    contexts_C, first_C = np.unique(ngrams_G >> 8, return_index=True)
    occurrences_C = np.add.reduceat(occurrences_G, first_C)
    return Counts(ngrams_G, occurrences_G, contexts_C, occurrences_C, np.diff(first_C, append=len(ngrams_G)))


def probabilities(models: Sequence[Counts], documents: Documents) -> Iterator[np.ndarray]:
    """Yields probability_N of each byte given the bytes before it in its document: none, up to 1, ... up to k of them.

    Interpolated Witten-Bell (Chen and Goodman 1999, section 2.4), with c the number of occurrences of a context, d that
    of its distinct continuations, and p_{-1} = 1/256:

        p_k(byte | context) = (c(context byte) + d(context) p_{k-1}(byte | shorter context)) / (c(context) + d(context))
    """
    probability_N = np.full(len(documents.text_N), 1 / 256)
    position_N = _positions(documents)
    for order, model in enumerate(models):
        inside = position_N >= order
        ngrams = _ngrams(documents, order)[inside]
        place, known = _find(model.contexts_C, ngrams >> 8)
        seen = np.where(known, model.occurrences_C[place], 0)
        distinct = np.where(known, model.continuations_C[place], 1)
        place, known = _find(model.ngrams_G, ngrams)
        again = np.where(known, model.occurrences_G[place], 0)
        probability_N[inside] = (again + distinct * probability_N[inside]) / (seen + distinct)
        yield probability_N.copy()


def _positions(documents: Documents) -> np.ndarray:
    """Returns position_N of each byte in its document."""
    return np.arange(len(documents.text_N)) - np.repeat(documents.starts_D, documents.lengths_D)


def _ngrams(documents: Documents, order: int) -> np.ndarray:
    """Returns ngram_N, each byte packed with the `order` before it; meaningless at the start of a document."""
    assert order < 8
    unsigned = np.min_scalar_type(256 ** (order + 1) - 1)  # the narrower, the faster sorted
    ngrams_N = documents.text_N.astype(unsigned)
    for back in range(1, order + 1):
        ngrams_N[back:] |= documents.text_N[:-back].astype(unsigned) << (8 * back)
    return ngrams_N


def _find(keys: np.ndarray, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns where each query stands in the sorted keys, and whether it does."""
    place = np.searchsorted(keys, queries).clip(max=len(keys) - 1)
    return place, keys[place] == queries
