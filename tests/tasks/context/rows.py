from hypothesis import strategies as st

from tasks.context.common_words import CommonWords
from tasks.context.frequent_words import FrequentWords
from tasks.context.listops import ListOps
from tasks.context.needle import Needle
from tasks.context.variable_tracking import VariableTracking
from tests.tasks.rows import Row

ROWS = {
    Needle: Row(
        Needle(
            name="needle",
            length=64,
            fillers=8,
            depth=None,
            key_tokens=16,
            value_tokens=32,
            hidden_keys=4,
            values_per_key=2,
            queries=2,
            haystack="filler",
        ),
        {
            "name": "recall",
            "length": 66,
            "fillers": 9,
            "depth": 0.5,
            "key_tokens": 17,
            "value_tokens": 33,
            "hidden_keys": 5,
            "values_per_key": 1,
            "queries": 3,
            "haystack": "needles",
        },
        {
            "name": 1,
            "length": "64",
            "fillers": 8.5,
            "depth": "0.5",
            "key_tokens": [16],
            "value_tokens": None,
            "hidden_keys": 4.5,
            "values_per_key": "2",
            "queries": None,
            "haystack": 1,
        },
        101,
        {"train": "07f90d01bbfdfa73", "validation": "95419f24bed8c36d", "test": "a79c33e086f96ebe"},
    ),
    VariableTracking: Row(
        VariableTracking(
            name="variable-tracking",
            length=64,
            fillers=8,
            depth=None,
            names=16,
            value_tokens=16,
            chains=2,
            hops=2,
            asked="variable",
        ),
        {
            "name": "recall",
            "length": 66,
            "fillers": 9,
            "depth": 0.5,
            "names": 17,
            "value_tokens": 17,
            "chains": 3,
            "hops": 3,
            "asked": "value",
        },
        {
            "name": 1,
            "length": "64",
            "fillers": 8.5,
            "depth": [0.5],
            "names": None,
            "value_tokens": "16",
            "chains": 2.5,
            "hops": None,
            "asked": 1,
        },
        101,
        {"train": "eff5ab741bf1b61e", "validation": "f1b06f3fd54e5bd0", "test": "fa066b709bdd0620"},
    ),
    CommonWords: Row(
        CommonWords(name="common-words", length=64, words=96, common=3, common_repeats=8, uncommon_repeats=2),
        {"name": "recall", "length": 66, "words": 97, "common": 2, "common_repeats": 9, "uncommon_repeats": 1},
        {
            "name": 1,
            "length": "64",
            "words": 96.5,
            "common": None,
            "common_repeats": [8],
            "uncommon_repeats": "1",
        },
        101,
        {"train": "b76bc8a9fb217afb", "validation": "9ee1cc69605ab1b6", "test": "3d201dc764f6ac15"},
    ),
    FrequentWords: Row(
        FrequentWords(name="frequent-words", length=64, words=24, alpha=1.0, answers=3),
        {"name": "recall", "length": 66, "words": 25, "alpha": 1.5, "answers": 2},
        {"name": 1, "length": "64", "words": 24.5, "alpha": "1.0", "answers": None},
        101,
        {"train": "cb72a06f3badf3a5", "validation": "68f185a433a74743", "test": "2930f1a15b243373"},
    ),
    ListOps: Row(
        ListOps(
            name="listops",
            minimum_length=8,
            maximum_length=40,
            maximum_depth=4,
            maximum_arguments=4,
            digit_probability=0.75,
        ),
        {
            "name": "recall",
            "minimum_length": 9,
            "maximum_length": 42,
            "maximum_depth": 5,
            "maximum_arguments": 5,
            "digit_probability": 0.7,
        },
        {
            "name": 1,
            "minimum_length": "8",
            "maximum_length": 40.5,
            "maximum_depth": None,
            "maximum_arguments": [4],
            "digit_probability": "0.75",
        },
        53,
        {"train": "56a3c9350c745a4a", "validation": "81219d221c695107", "test": "2c33323ca821325d"},
    ),
}


def _needle(keys: int, values: int, queries: int, spare: int, depth: float | None, haystack: str) -> Needle:
    asked = min(queries, keys)
    return Needle(
        name="needle",
        length=1 + asked * values + 2 * keys * values + spare,
        fillers=1 + spare,
        depth=depth,
        key_tokens=keys + 2,
        value_tokens=keys * values + 5,
        hidden_keys=keys,
        values_per_key=values,
        queries=asked,
        haystack=haystack,
    )


def _variable_tracking(chains: int, hops: int, spare: int, depth: float | None, asked: str) -> VariableTracking:
    assignments = chains * (hops + 1)
    return VariableTracking(
        name="variable-tracking",
        length=2 * assignments + hops + 2 + spare,
        fillers=3,
        depth=depth,
        names=assignments + 3,
        value_tokens=chains + 3,
        chains=chains,
        hops=hops,
        asked=asked,
    )


def _common_words(common: int, uncommon: int, repeats: int, more: int, spare: int) -> CommonWords:
    return CommonWords(
        name="common-words",
        length=common * (repeats + more + 1) + uncommon * repeats + spare % repeats,
        words=common + uncommon + spare,
        common=common,
        common_repeats=repeats + more,
        uncommon_repeats=repeats,
    )


def _frequent_words(answers: int, others: int, halves: int, spare: int) -> FrequentWords:
    return FrequentWords(
        name="frequent-words",
        length=answers * (answers + 3) + 2 * (answers + others) + spare,
        words=answers + others,
        alpha=1 + halves / 2,
        answers=answers,
    )


def _listops(minimum: int, span: int, depth: int, arguments: int, digit_probability: float) -> ListOps:
    return ListOps(
        name="listops",
        minimum_length=minimum,
        maximum_length=minimum + span,
        maximum_depth=depth,
        maximum_arguments=arguments,
        digit_probability=digit_probability,
    )


_DEPTHS = st.none() | st.floats(0, 1)
SPECS = st.one_of(
    st.builds(
        _needle,
        st.integers(1, 6),
        st.integers(1, 3),
        st.integers(1, 4),
        st.integers(4, 40),
        _DEPTHS,
        st.sampled_from(["filler", "needles"]),
    ),
    st.builds(
        _variable_tracking,
        st.integers(1, 4),
        st.integers(0, 5),
        st.integers(4, 30),
        _DEPTHS,
        st.sampled_from(["value", "variable"]),
    ),
    st.builds(
        _common_words, st.integers(1, 4), st.integers(1, 12), st.integers(1, 3), st.integers(1, 6), st.integers(3, 20)
    ),
    st.builds(_frequent_words, st.integers(1, 4), st.integers(1, 12), st.integers(0, 5), st.integers(8, 40)),
    st.builds(
        _listops, st.integers(6, 12), st.integers(10, 60), st.integers(3, 7), st.integers(4, 8), st.floats(0.5, 0.9)
    ),
)
