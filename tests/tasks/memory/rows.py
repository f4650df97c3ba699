from hypothesis import strategies as st

from tasks.memory.recall import Recall
from tests.tasks.rows import Row

ROWS = {
    Recall: Row(
        Recall(name="recall", length=32, vocabulary=40, pairs=4, fillers=3, power=0.01),
        {"name": "parity", "length": 34, "vocabulary": 41, "pairs": 5, "fillers": 4, "power": 0.3},
        {"name": 1, "length": 32.0, "vocabulary": "40", "pairs": True, "fillers": None, "power": "0.01"},
        48,
        {"train": "3c6f0ff4ab9c766e", "validation": "f6a86cd1ea16fa66", "test": "c61fed7ce06a44fe"},
    ),
}

SPECS = st.builds(
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
