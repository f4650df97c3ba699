"""The published settings of state tracking, as tasks. Longer tests are the same tasks at other lengths."""

from tasks.state.anbn import AnBn
from tasks.state.parity import Parity
from tasks.state.tracking import StateTracking
from tasks.state.word_problem import WordProblem

PRESETS: dict[str, StateTracking | AnBn] = {
    # xLSTM (Beck et al. 2024, arXiv:2405.04517): sizes 3 to 40, of which the last is the answer's place, tested at 40 to 256.
    "xlstm/parity": Parity(name="parity", minimum_length=2, maximum_length=39, labels="final"),
    # Grazzi et al. (2025, arXiv:2411.12537): length 32, tested to 500.
    "grazzi/S5": WordProblem(name="word-problem", group="S5", minimum_length=32, maximum_length=32, labels="dense"),
    # "On Subquadratic Architectures" (2026, arXiv:2606.12364): only the lengths are theirs, to 128, tested at 2048.
    "2606.12364/anbn": AnBn(name="anbn", letters=2, minimum_length=4, maximum_length=128, edit=1),
} | {
    # Merrill et al. (2024, arXiv:2404.08819): all lengths from 2, tested at the longest.
    f"merrill/{group}/{length}": WordProblem(
        name="word-problem", group=group, minimum_length=2, maximum_length=length, labels="dense"
    )
    for group in ("A5", "A4xZ5", "Z60")
    for length in range(6, 21)
}
