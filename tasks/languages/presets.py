"""The published settings, as trained on: longer strings are these `at` other lengths.

Every source has lengths of 3 to 40, or 1 to 40, for training; the xLSTM paper and `cdes` test at 40 to 256, Delétang et
al. at 41 to 500. What they count differs: lengths here give strings of the sizes that the source has, as often. Two are
not as often: Grazzi et al. have the shortest expression three times as often as others, and of Delétang et al. those are
left out that are no strings of the language (below two tokens of missing-duplicate, below three of solve-equation).

The xLSTM paper's generators are public for cycle-navigation, even-pairs and modular-arithmetic. Its other tasks are here
in a layout of another source with as many tokens and as many answers as the paper's table says: of `deletang`
bucket-sort and stack-manipulation, of `cdes` the rest.
"""

from tasks.languages.arithmetic import ModularArithmetic
from tasks.languages.brackets import ModularArithmeticBrackets, SolveEquation
from tasks.languages.counting import Majority, MajorityCount, Set
from tasks.languages.language import Language
from tasks.languages.missing_duplicate import MissingDuplicate
from tasks.languages.regular import CycleNavigation, EvenPairs
from tasks.languages.stack import StackManipulation
from tasks.languages.strings import BucketSort, OddsFirst, Repetition, Reverse


def _lengths(minimum: int, maximum: int) -> dict[str, int]:
    return {"minimum_length": minimum, "maximum_length": maximum}


_TASKS: dict[str, tuple[Language, ...]] = {
    "xlstm": (
        BucketSort(name="bucket-sort", source="deletang", symbols=10, **_lengths(4, 41)),
        CycleNavigation(name="cycle-navigation", source="xlstm", positions=5, **_lengths(2, 39)),
        EvenPairs(name="even-pairs", source="xlstm", **_lengths(2, 39)),
        Majority(name="majority", symbols=63, **_lengths(3, 40)),
        MajorityCount(name="majority-count", symbols=63, **_lengths(3, 40)),
        MissingDuplicate(name="missing-duplicate", source="cdes", symbols=9, **_lengths(4, 41)),
        ModularArithmetic(name="modular-arithmetic", source="xlstm", modulus=5, **_lengths(2, 39)),
        ModularArithmeticBrackets(name="modular-arithmetic-brackets", source="cdes", modulus=5, **_lengths(3, 40)),
        OddsFirst(name="odds-first", source="cdes", symbols=10, **_lengths(4, 41)),
        Repetition(name="repetition", source="cdes", symbols=10, **_lengths(4, 41)),
        Reverse(name="reverse", source="cdes", symbols=10, **_lengths(4, 41)),
        StackManipulation(name="stack-manipulation", source="deletang", symbols=4, **_lengths(5, 42)),
        Set(name="set", symbols=126, **_lengths(4, 41)),
        SolveEquation(name="solve-equation", source="cdes", modulus=5, **_lengths(4, 40)),
    ),
    "deletang": (
        BucketSort(name="bucket-sort", source="deletang", symbols=5, **_lengths(2, 81)),
        CycleNavigation(name="cycle-navigation", source="deletang", positions=5, **_lengths(2, 41)),
        EvenPairs(name="even-pairs", source="deletang", **_lengths(2, 41)),
        MissingDuplicate(name="missing-duplicate", source="deletang", symbols=2, **_lengths(3, 41)),
        ModularArithmetic(name="modular-arithmetic", source="deletang", modulus=5, **_lengths(2, 41)),
        ModularArithmeticBrackets(name="modular-arithmetic-brackets", source="deletang", modulus=5, **_lengths(2, 41)),
        OddsFirst(name="odds-first", source="deletang", symbols=2, **_lengths(2, 81)),
        Repetition(name="repetition", source="deletang", symbols=2, **_lengths(3, 122)),
        Reverse(name="reverse", source="deletang", symbols=2, **_lengths(2, 81)),
        StackManipulation(name="stack-manipulation", source="deletang", symbols=2, **_lengths(3, 82)),
        SolveEquation(name="solve-equation", source="deletang", modulus=5, **_lengths(4, 41)),
    ),
    "cdes": (
        BucketSort(name="bucket-sort", source="cdes", symbols=5, **_lengths(4, 41)),
        CycleNavigation(name="cycle-navigation", source="xlstm", positions=5, **_lengths(3, 40)),
        EvenPairs(name="even-pairs", source="xlstm", **_lengths(3, 40)),
        Majority(name="majority", symbols=63, **_lengths(3, 40)),
        MajorityCount(name="majority-count", symbols=63, **_lengths(3, 40)),
        MissingDuplicate(name="missing-duplicate", source="cdes", symbols=2, **_lengths(4, 41)),
        ModularArithmetic(name="modular-arithmetic", source="xlstm", modulus=5, **_lengths(4, 41)),
        ModularArithmeticBrackets(name="modular-arithmetic-brackets", source="cdes", modulus=5, **_lengths(3, 40)),
        OddsFirst(name="odds-first", source="cdes", symbols=2, **_lengths(4, 41)),
        Repetition(name="repetition", source="cdes", symbols=2, **_lengths(4, 41)),
        Reverse(name="reverse", source="cdes", symbols=2, **_lengths(4, 41)),
        StackManipulation(name="stack-manipulation", source="cdes", symbols=2, **_lengths(4, 41)),
        Set(name="set", symbols=126, **_lengths(4, 41)),
        SolveEquation(name="solve-equation", source="cdes", modulus=5, **_lengths(4, 40)),
    ),
    "grazzi": (
        ModularArithmeticBrackets(name="modular-arithmetic-brackets", source="grazzi", modulus=5, **_lengths(3, 38)),
    ),
}

PRESETS: dict[str, Language] = {f"{source}/{task.name}": task for source, tasks in _TASKS.items() for task in tasks}
