from hypothesis import strategies as st

from tasks.state.anbn import AnBn
from tasks.state.counting import Counting
from tasks.state.parity import Parity
from tasks.state.word_problem import WordProblem
from tests.tasks.rows import Row

ROWS = {
    Parity: Row(
        Parity(name="parity", minimum_length=3, maximum_length=20, labels="dense"),
        {"name": "recall", "minimum_length": 4, "maximum_length": 21, "labels": "final"},
        {"name": 1, "minimum_length": 3.5, "maximum_length": "20", "labels": True},
        37,
        {"train": "99f677601038a249", "validation": "1ca5ae5b1000abc2", "test": "6eaab687a4fa54c7"},
    ),
    WordProblem: Row(
        WordProblem(name="word-problem", group="S3", minimum_length=3, maximum_length=20, labels="dense"),
        {"name": "parity", "group": "A5", "minimum_length": 4, "maximum_length": 21, "labels": "final"},
        {"name": 1, "group": 3, "minimum_length": 3.0, "maximum_length": [20], "labels": None},
        37,
        {"train": "4b3c9a0249bf12b2", "validation": "829b8f22165471cf", "test": "fb8d993d5871526d"},
    ),
    AnBn: Row(
        AnBn(name="anbn", letters=2, minimum_length=8, maximum_length=31, edit=2),
        {"name": "parity", "letters": 3, "minimum_length": 9, "maximum_length": 33, "edit": 1},
        {"name": 1, "letters": "2", "minimum_length": 8.5, "maximum_length": [31], "edit": None},
        37,
        {"train": "6a44904908f756ed", "validation": "e83f31dd34bd4fa2", "test": "10a67995cfaf0302"},
    ),
    Counting: Row(
        Counting(name="counting", length=40, symbols=4, queries=2, maximum_count=12),
        {"name": "parity", "length": 41, "symbols": 5, "queries": 3, "maximum_count": 11},
        {"name": 1, "length": "40", "symbols": 4.5, "queries": None, "maximum_count": [12]},
        61,
        {"train": "533ed7aba69bb6a7", "validation": "8fce23f084d21682", "test": "c1357620cf3cedc6"},
    ),
}


def _tracking(minimum: int, span: int, labels: str, group: str) -> Parity | WordProblem:
    fields = {"minimum_length": minimum, "maximum_length": minimum + span, "labels": labels}
    return Parity(name="parity", **fields) if group == "S2" else WordProblem(name="word-problem", group=group, **fields)


def _anbn(letters: int, edit: int, minimum: int, span: int) -> AnBn:
    shortest = 2 * edit + 2 + minimum
    return AnBn(name="anbn", letters=letters, minimum_length=shortest, maximum_length=shortest + span, edit=edit)


def _counting(spare: int, others: int, queries: int, maximum_count: int) -> Counting:
    return Counting(
        name="counting",
        length=queries * (maximum_count + 1) + spare,
        symbols=queries + others,
        queries=queries,
        maximum_count=maximum_count,
    )


SPECS = st.one_of(
    st.builds(
        _tracking,
        st.integers(5, 30),
        st.integers(1, 40),
        st.sampled_from(["dense", "final"]),
        st.sampled_from(["S2", "S3", "S5", "A5", "A4xZ5", "Z60"]),
    ),
    st.builds(_anbn, st.integers(2, 5), st.integers(1, 4), st.integers(2, 20), st.integers(0, 30)),
    st.builds(_counting, st.integers(4, 30), st.integers(2, 5), st.integers(1, 4), st.integers(2, 9)),
)
