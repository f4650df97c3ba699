from typing import get_args

from hypothesis import strategies as st

from tasks.languages.arithmetic import ModularArithmetic
from tasks.languages.brackets import ModularArithmeticBrackets, SolveEquation
from tasks.languages.counting import Majority, MajorityCount, Set
from tasks.languages.language import Language
from tasks.languages.missing_duplicate import MissingDuplicate
from tasks.languages.regular import CycleNavigation, EvenPairs
from tasks.languages.stack import StackManipulation
from tasks.languages.strings import BucketSort, OddsFirst, Repetition, Reverse
from tests.tasks.rows import Row

# Of every field: its value in the row's spec, another value, and a value of another type.
LENGTHS = {"minimum_length": (7, 8, 7.5), "maximum_length": (30, 31, "30")}
SYMBOLS = {"symbols": (5, 4, "5")}
MODULUS = {"modulus": (5, 4, 5.0)}
CDES = {"source": ("cdes", "deletang", 1)}
XLSTM = {"source": ("xlstm", "deletang", None)}


def language(task: type[Language], **fields) -> Language:
    return task(name=get_args(task.model_fields["name"].annotation)[0], **fields)


def row(
    task: type[Language],
    fields: dict[str, tuple],
    digests: str,
    *,
    ceiling: float = 1.0,
    solved_by: tuple[str, ...] = (),
) -> Row:
    spec, other, wrong = ({key: values[turn] for key, values in (LENGTHS | fields).items()} for turn in range(3))
    by_split = dict(zip(("train", "validation", "test"), digests.split(), strict=True))
    return Row(
        language(task, **spec), other | {"name": "recall"}, wrong | {"name": 1}, 37, by_split, ceiling, solved_by
    )


ROWS = {
    BucketSort: row(BucketSort, SYMBOLS | CDES, "756ed5b8b302f84d 43b23612415b6fa0 6ddea572302e692c"),
    CycleNavigation: row(
        CycleNavigation, {"positions": (5, 4, "5")} | XLSTM, "bd305b315d3f8b88 52507f930f0e71cb 882826bbe56bc245"
    ),
    EvenPairs: row(EvenPairs, XLSTM, "6816d41cc8b3d014 bb401b328db71587 38dcebaf87783315", solved_by=("ends",)),
    Majority: row(Majority, SYMBOLS, "a1fe7c843ddcfa1c e052d6b314586e3e f7689961df740bcd"),
    MajorityCount: row(MajorityCount, SYMBOLS, "3c58fdd1617645fa 51f53e61075762c2 77b9460282fe0d55"),
    MissingDuplicate: row(MissingDuplicate, SYMBOLS | CDES, "df667e7cbf9e09b2 e6a74619793164b2 4c7262ba3aaf11a4"),
    ModularArithmetic: row(ModularArithmetic, MODULUS | XLSTM, "4b7159ee5e4b0c27 7587339623db51ec 7fa0fee92869752e"),
    ModularArithmeticBrackets: row(
        ModularArithmeticBrackets, MODULUS | CDES, "39f4450a3a916714 8fb32a1af4f97961 ce2078112f5bbc95"
    ),
    OddsFirst: row(OddsFirst, SYMBOLS | CDES, "ddde405e5936a720 c85952b0c3dfd291 bd86425827f72bfa"),
    Repetition: row(Repetition, SYMBOLS | CDES, "4f47e55f2d00aea6 9301e02d3ebffd86 ffaafee263384381"),
    Reverse: row(Reverse, SYMBOLS | CDES, "0ccdbf9408fe9816 9fe5f9cc0c2f92a9 9823c356f116781c"),
    Set: row(Set, SYMBOLS, "f71ca676f01b4123 bc5fc55eb20b1fd8 d7adceb138f3e0d3"),
    SolveEquation: row(
        SolveEquation, MODULUS | CDES, "75cf1f60d72ea24a b15d77fb1ef3437c 812b19e6763b04c4", ceiling=0.86
    ),
    StackManipulation: row(StackManipulation, SYMBOLS | CDES, "752b90d025f4d2f8 386ba35acf68784e e51e0c79a29e4a89"),
}

# Another source, for the tasks that have one: lengths, vocabulary and parameters are those of the row.
SOURCES = {
    BucketSort: ("deletang", "cdes"),
    CycleNavigation: ("xlstm", "deletang"),
    EvenPairs: ("xlstm", "deletang"),
    MissingDuplicate: ("deletang", "cdes"),
    ModularArithmetic: ("xlstm", "deletang"),
    ModularArithmeticBrackets: ("deletang", "cdes", "grazzi"),
    OddsFirst: ("deletang", "cdes"),
    Repetition: ("deletang", "cdes"),
    Reverse: ("deletang", "cdes"),
    SolveEquation: ("deletang", "cdes"),
    StackManipulation: ("deletang", "cdes"),
}


def spec(task: type[Language], source: str | None, **fields) -> Language:
    """Returns the row's spec in the layout of the source, with other fields."""
    return ROWS[task].spec.at(({"source": source} if source else {}) | fields)


VARIANTS = [(task, source) for task in ROWS for source in SOURCES.get(task, (None,))]


def _any(variant: tuple[type[Language], str | None], minimum: int, span: int, size: int) -> Language:
    task, source = variant
    sizes = {field: size for field in ("symbols", "modulus", "positions") if field in task.model_fields}
    return spec(task, source, minimum_length=minimum, maximum_length=minimum + span, **sizes)


# Short strings of few symbols are too few to be of every split: so some are longer.
SPECS = st.builds(_any, st.sampled_from(VARIANTS), st.integers(4, 30), st.integers(22, 40), st.integers(2, 12))
