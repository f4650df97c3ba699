"""Published settings of the tasks of recall and memory, by source, task and setting.

`zoology/figure-2` and `zoology/mixture`, with its tests, are the source's data in distribution; `based/figure-2` is not
quite (see `RecallMixture`). No code of xLSTM's recall experiments was released: they are posed here as Zoology's figure
2, and their test lengths, 4096 to 8192, stand beside those of training. `xlstm/mqar/756-256` is left out, because 256
pairs do not fit into 756 tokens. Papers' other tests are the same tasks `at` other lengths.
"""

from tasks.memory.copying import Copying
from tasks.memory.induction_heads import InductionHeads
from tasks.memory.mixture import RecallMixture, Setting
from tasks.memory.recall import Recall
from tasks.memory.selective_copying import SelectiveCopying
from tasks.task import SyntheticTask


def _recall(length: int, pairs: int) -> Recall:
    return Recall(name="recall", length=length, vocabulary=8192, pairs=pairs, fillers=1, power=0.01)


_FIGURE_2 = ((64, 4), (128, 8), (256, 16), (512, 64))
_XLSTM = (
    *((64, 4), (128, 8), (256, 16)),
    *((length, pairs) for length in (756, 1024, 2048) for pairs in (48, 96, 256) if (length, pairs) != (756, 256)),
    *((length, pairs) for length in (4096, 6144, 8192) for pairs in (48, 96, 256)),
)
_MIXTURE_TESTS = ((64, 4), (64, 8), (64, 16), (128, 32), (256, 64), (512, 128), (1024, 256))
_MIXTURE = RecallMixture(
    name="recall-mixture",
    settings=(
        Setting(64, 4, 5.0),
        Setting(128, 8, 1.0),
        Setting(256, 16, 1.0),
        Setting(256, 32, 1.0),
        Setting(256, 64, 1.0),
    ),
    vocabulary=8192,
    fillers=1,
    power=0.01,
)
_BASED = _MIXTURE.at({"fillers": 2730})  # a third of the vocabulary

PRESETS: dict[str, SyntheticTask] = {
    **{f"zoology/figure-2/{length}-{pairs}": _recall(length, pairs) for length, pairs in _FIGURE_2},
    "zoology/mixture": _MIXTURE,
    "based/figure-2": _BASED,
    **{
        f"{name}/test-{length}-{pairs}": mixture.at({"length": length, "pairs": pairs})
        for name, mixture in (("zoology/mixture", _MIXTURE), ("based/figure-2", _BASED))
        for length, pairs in _MIXTURE_TESTS
    },
    **{f"xlstm/mqar/{length}-{pairs}": _recall(length, pairs) for length, pairs in _XLSTM},
    "mamba/selective-copying": SelectiveCopying(name="selective-copying", length=4096, vocabulary=17, data=16),
    "minhzou/selective-copying": SelectiveCopying(name="selective-copying", length=4128, vocabulary=16, data=16),
    "mamba/induction-heads": InductionHeads(name="induction-heads", length=256, vocabulary=16),
    "jelassi/copying": Copying(name="copying", letters=26, minimum_string=5, maximum_string=20, context=219),
}
