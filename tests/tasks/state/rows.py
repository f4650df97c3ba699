from hypothesis import strategies as st

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
        {"name": "parity", "group": "S2", "minimum_length": 4, "maximum_length": 21, "labels": "final"},
        {"name": 1, "group": 3, "minimum_length": 3.0, "maximum_length": [20], "labels": None},
        37,
        {"train": "4b3c9a0249bf12b2", "validation": "829b8f22165471cf", "test": "fb8d993d5871526d"},
    ),
}


def _tracking(minimum: int, span: int, labels: str, group: str) -> Parity | WordProblem:
    fields = {"minimum_length": minimum, "maximum_length": minimum + span, "labels": labels}
    return Parity(name="parity", **fields) if group == "S2" else WordProblem(name="word-problem", group=group, **fields)


SPECS = st.builds(
    _tracking,
    st.integers(5, 30),
    st.integers(1, 40),
    st.sampled_from(["dense", "final"]),
    st.sampled_from(["S2", "S3"]),
)
