from hypothesis import strategies as st

from tasks.mad.compression import Compression
from tasks.mad.fuzzy_recall import FuzzyRecall
from tasks.mad.in_context_recall import InContextRecall
from tasks.mad.memorization import Memorization
from tasks.mad.noisy_recall import NoisyRecall
from tasks.mad.selective_copying import MadSelectiveCopying
from tests.tasks.rows import Row

ROWS = {
    InContextRecall: Row(
        InContextRecall(name="mad-in-context-recall", length=40, vocabulary=16, labels="all", examples=None),
        {"name": "recall", "length": 42, "vocabulary": 17, "labels": "seen", "examples": 30},
        {"name": 1, "length": 40.0, "vocabulary": "16", "labels": True, "examples": "30"},
        56,
        {"train": "b3373227bcf9cb60", "validation": "29e77c450af7ee40", "test": "b17dc96834781f66"},
    ),
    NoisyRecall: Row(
        NoisyRecall(
            name="mad-noisy-recall",
            length=40,
            vocabulary=20,
            labels="seen",
            examples=None,
            noise_tokens=4,
            noise_fraction=0.3,
        ),
        {
            "name": "recall",
            "length": 42,
            "vocabulary": 21,
            "labels": "all",
            "examples": 30,
            "noise_tokens": 5,
            "noise_fraction": 0.4,
        },
        {
            "name": 1,
            "length": 40.0,
            "vocabulary": "20",
            "labels": None,
            "examples": 1.5,
            "noise_tokens": True,
            "noise_fraction": "0.3",
        },
        56,
        {"train": "ad8e0dd4e464a47b", "validation": "f0a1c45edaa11736", "test": "6feb1686b6c86a70"},
    ),
    FuzzyRecall: Row(
        FuzzyRecall(
            name="mad-fuzzy-recall",
            length=48,
            vocabulary=16,
            labels="all",
            examples=None,
            longest_key=3,
            longest_value=3,
        ),
        {
            "name": "recall",
            "length": 49,
            "vocabulary": 17,
            "labels": "seen",
            "examples": 30,
            "longest_key": 2,
            "longest_value": 2,
        },
        {
            "name": 1,
            "length": 48.0,
            "vocabulary": "16",
            "labels": ["all"],
            "examples": True,
            "longest_key": "3",
            "longest_value": None,
        },
        57,
        {"train": "3a692a1855bb91d0", "validation": "92044add01b00a7c", "test": "d1f8f346301f0216"},
    ),
    MadSelectiveCopying: Row(
        MadSelectiveCopying(name="mad-selective-copying", length=40, vocabulary=16, tokens_to_copy=8, examples=None),
        {"name": "recall", "length": 41, "vocabulary": 17, "tokens_to_copy": 9, "examples": 30},
        {"name": 1, "length": 40.0, "vocabulary": "16", "tokens_to_copy": True, "examples": [30]},
        57,
        {"train": "f5a22aae9193afe1", "validation": "e16748b1f71c35ce", "test": "1db6bd503117a472"},
    ),
    Compression: Row(
        Compression(name="mad-compression", length=24, vocabulary=16, examples=None),
        {"name": "recall", "length": 25, "vocabulary": 17, "examples": 30},
        {"name": 1, "length": 24.0, "vocabulary": "16", "examples": "30"},
        33,
        {"train": "9a3b2c77bb00eec6", "validation": "64e54bc987156449", "test": "d2d2c419ab36678f"},
    ),
    Memorization: Row(
        Memorization(name="mad-memorization", length=24, vocabulary=64, examples=None),
        {"name": "recall", "length": 26, "vocabulary": 65, "examples": 30},
        {"name": 1, "length": 24.0, "vocabulary": "64", "examples": 30.0},
        32,
        {"train": "29a63b9fb884e18a", "validation": "0f7428c93dc78e9d", "test": "ab0cc4cacae48436"},
        solved_by=("seen",),
    ),
}

_EXAMPLES = st.sampled_from([None, 1, 7, 300])
_PAIRS = {
    "length": st.integers(2, 40).map(lambda pairs: 2 * pairs),
    "labels": st.just("seen"),  # of all next tokens there is no oracle
    "examples": _EXAMPLES,
}


def _fuzzy(longest_key: int, longest_value: int, spare: int, extra: int, examples: int | None) -> FuzzyRecall:
    return FuzzyRecall(
        name="mad-fuzzy-recall",
        length=2 * (longest_key + longest_value) + 1 + spare,
        vocabulary=max(2 * longest_key + 1, 2 * longest_value, 5) + extra,
        labels="seen",
        examples=examples,
        longest_key=longest_key,
        longest_value=longest_value,
    )


SPECS = st.one_of(
    st.builds(InContextRecall, name=st.just("mad-in-context-recall"), vocabulary=st.integers(4, 40), **_PAIRS),
    st.builds(
        NoisyRecall,
        name=st.just("mad-noisy-recall"),
        vocabulary=st.integers(13, 40),
        noise_tokens=st.integers(1, 9),
        noise_fraction=st.floats(0, 0.999),
        **_PAIRS,
    ),
    st.builds(_fuzzy, st.integers(1, 4), st.integers(1, 4), st.integers(0, 40), st.integers(0, 20), examples=_EXAMPLES),
    st.builds(
        lambda copied, spare, vocabulary, examples: MadSelectiveCopying(
            name="mad-selective-copying",
            length=2 * copied + 2 + spare,
            vocabulary=vocabulary,
            tokens_to_copy=copied,
            examples=examples,
        ),
        st.integers(1, 20),
        st.integers(0, 40),
        st.integers(4, 40),
        _EXAMPLES,
    ),
    st.builds(
        Compression,
        name=st.just("mad-compression"),
        length=st.integers(2, 60),
        vocabulary=st.integers(3, 40),
        examples=_EXAMPLES,
    ),
    st.builds(
        Memorization,
        name=st.just("mad-memorization"),
        length=st.integers(1, 30).map(lambda keys: 2 * keys),
        vocabulary=st.integers(5, 400),
        examples=_EXAMPLES,
    ),
)
