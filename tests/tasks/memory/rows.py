from hypothesis import strategies as st

from tasks.memory.copying import Copying
from tasks.memory.induction_heads import InductionHeads
from tasks.memory.mixture import RecallMixture
from tasks.memory.ngram_lookup import NgramLookup
from tasks.memory.recall import Recall
from tasks.memory.selective_copying import SelectiveCopying
from tests.tasks.rows import Row

ROWS = {
    Recall: Row(
        Recall(name="recall", length=32, vocabulary=40, pairs=4, fillers=3, power=0.01),
        {"name": "parity", "length": 34, "vocabulary": 41, "pairs": 5, "fillers": 4, "power": 0.3},
        {"name": 1, "length": 32.0, "vocabulary": "40", "pairs": True, "fillers": None, "power": "0.01"},
        48,
        {"train": "3c6f0ff4ab9c766e", "validation": "f6a86cd1ea16fa66", "test": "c61fed7ce06a44fe"},
    ),
    RecallMixture: Row(
        RecallMixture(
            name="recall-mixture",
            settings=((16, 2, 3.0), (32, 4, 1.0), (32, 8, 0.5)),
            vocabulary=120,
            fillers=3,
            power=0.01,
        ),
        {
            "name": "recall",
            "settings": ((16, 2, 1.0), (32, 4, 3.0), (32, 8, 0.5)),
            "vocabulary": 121,
            "fillers": 4,
            "power": 0.3,
        },
        {"name": 1, "settings": 3, "vocabulary": "120", "fillers": None, "power": "0.01"},
        48,
        {"train": "424c60674aff42ff", "validation": "6ffa6621b5ff5bc3", "test": "a2145419bc07b79d"},
    ),
    SelectiveCopying: Row(
        SelectiveCopying(name="selective-copying", length=40, vocabulary=16, data=6),
        {"name": "recall", "length": 41, "vocabulary": 17, "data": 7},
        {"name": 1, "length": 40.0, "vocabulary": "16", "data": True},
        57,
        {"train": "97a250426e2eac46", "validation": "e38126511430448a", "test": "5da2ee0d2952adfb"},
    ),
    InductionHeads: Row(
        InductionHeads(name="induction-heads", length=32, vocabulary=16),
        {"name": "recall", "length": 33, "vocabulary": 17},
        {"name": 1, "length": None, "vocabulary": 16.5},
        257,
        {"train": "591b71649dd2a700", "validation": "aa022d31eba0cf7c", "test": "970958e595316d3d"},
    ),
    Copying: Row(
        Copying(name="copying", letters=8, minimum_string=3, maximum_string=9, context=None),
        {"name": "recall", "letters": 9, "minimum_string": 4, "maximum_string": 10, "context": 30},
        {"name": 1, "letters": 8.0, "minimum_string": "3", "maximum_string": True, "context": "none"},
        64,
        {"train": "f275000155eaf8c6", "validation": "4b7ae9feb88ac71c", "test": "560f48bab1ebe023"},
    ),
    NgramLookup: Row(
        NgramLookup(
            name="ngram-lookup",
            key="suffix",
            ngram=2,
            answer=3,
            letters=8,
            minimum_string=6,
            maximum_string=12,
            context=None,
        ),
        {
            "name": "copying",
            "key": "prefix",
            "ngram": 3,
            "answer": 2,
            "letters": 9,
            "minimum_string": 7,
            "maximum_string": 13,
            "context": 50,
        },
        {
            "name": 1,
            "key": "infix",
            "ngram": 2.0,
            "answer": "3",
            "letters": None,
            "minimum_string": "6",
            "maximum_string": True,
            "context": "none",
        },
        64,
        {"train": "985494f8abee5456", "validation": "aec039dcb827589b", "test": "737e127b1b035514"},
    ),
}

RECALL = st.builds(
    lambda pairs, spare, extra, fillers, power: Recall(
        name="recall",
        length=4 * pairs + spare,
        vocabulary=2 * pairs + fillers + extra,
        pairs=pairs,
        fillers=fillers,
        power=power,
    ),
    st.integers(2, 20),
    st.integers(0, 40),
    st.integers(0, 60),
    st.integers(1, 9),
    st.floats(0.001, 3),
)

MIXTURE = st.builds(
    lambda settings, extra, fillers, power: RecallMixture(
        name="recall-mixture",
        settings=tuple((4 * pairs + spare, pairs, weight) for pairs, spare, weight in settings),
        vocabulary=20 + fillers + extra,
        fillers=fillers,
        power=power,
    ),
    st.lists(st.tuples(st.integers(2, 10), st.integers(0, 20), st.floats(0.1, 9)), min_size=1, max_size=4),
    st.integers(0, 60),
    st.integers(1, 9),
    st.floats(0.001, 3),
)

SELECTIVE_COPYING = st.builds(
    lambda data, spare, vocabulary: SelectiveCopying(
        name="selective-copying", length=2 * data + spare, vocabulary=vocabulary, data=data
    ),
    st.integers(2, 20),
    st.integers(0, 60),
    st.integers(4, 40),
)

INDUCTION_HEADS = st.builds(
    lambda length, vocabulary: InductionHeads(name="induction-heads", length=length, vocabulary=vocabulary),
    st.integers(3, 90),
    st.integers(3, 40),
)

COPYING = st.builds(
    lambda letters, string, span, spare: Copying(
        name="copying",
        letters=letters,
        minimum_string=string,
        maximum_string=string + span,
        context=None if spare is None else 2 * (string + span) + 2 + spare,
    ),
    st.integers(3, 26),
    st.integers(6, 12),
    st.integers(0, 12),
    st.none() | st.integers(0, 60),
)

NGRAM_LOOKUP = st.builds(
    lambda key, ngram, answer, letters, spare, span, context: NgramLookup(
        name="ngram-lookup",
        key=key,
        ngram=ngram,
        answer=answer,
        letters=letters,
        minimum_string=ngram + answer + spare,
        maximum_string=ngram + answer + spare + span,
        context=None if context is None else 2 * (ngram + answer) + spare + span + 3 + context,
    ),
    st.sampled_from(["prefix", "suffix"]),
    st.integers(1, 4),
    st.integers(1, 5),
    st.integers(3, 26),
    st.integers(4, 8),
    st.integers(0, 12),
    st.none() | st.integers(0, 60),
)

SPECS = st.one_of(RECALL, MIXTURE, SELECTIVE_COPYING, INDUCTION_HEADS, COPYING, NGRAM_LOOKUP)
