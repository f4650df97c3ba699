"""The published settings of long context, as tasks. RULER's grid is these `at` its lengths, 4096 to 131072, and depths.

One token stands for a key, a value or a word, so RULER's tasks whose keys or values are long strings, niah-single-3 and
niah-multikey-3, would be niah-single-2 and niah-multikey-2 again; qa-1 and qa-2 are of text and have no counterpart.
`noise`, a sentence repeated, is filler of one token, and essays are filler of many.
"""

from typing import Literal

from tasks.context.common_words import CommonWords
from tasks.context.frequent_words import FrequentWords
from tasks.context.haystack import Haystack
from tasks.context.listops import ListOps
from tasks.context.needle import Needle
from tasks.context.variable_tracking import VariableTracking
from tasks.context.word_counts import WordCounts


def _needle(
    *,
    fillers: int,
    hidden_keys: int = 1,
    values_per_key: int = 1,
    queries: int = 1,
    haystack: Literal["filler", "needles"] = "filler",
) -> Needle:
    return Needle(
        name="needle",
        length=4096,
        fillers=fillers,
        depth=None,
        key_tokens=1024,
        value_tokens=1024,
        hidden_keys=hidden_keys,
        values_per_key=values_per_key,
        queries=queries,
        haystack=haystack,
    )


def _listops(*, minimum_length: int, maximum_length: int, maximum_depth: int, maximum_arguments: int) -> ListOps:
    return ListOps(
        name="listops",
        minimum_length=minimum_length,
        maximum_length=maximum_length,
        maximum_depth=maximum_depth,
        maximum_arguments=maximum_arguments,
        digit_probability=0.75,
    )


PRESETS: dict[str, Haystack | WordCounts | ListOps] = {
    # RULER (Hsieh et al. 2024, arXiv:2404.06654, `synthetic.yaml`).
    "ruler/niah-single-1": _needle(fillers=1),
    "ruler/niah-single-2": _needle(fillers=1024),
    "ruler/niah-multikey-1": _needle(fillers=1024, hidden_keys=4),
    "ruler/niah-multikey-2": _needle(fillers=1024, haystack="needles"),
    "ruler/niah-multivalue": _needle(fillers=1024, values_per_key=4),
    "ruler/niah-multiquery": _needle(fillers=1024, hidden_keys=4, queries=4),
    "ruler/vt": VariableTracking(
        name="variable-tracking",
        length=4096,
        fillers=1,
        depth=None,
        names=1024,
        value_tokens=1024,
        chains=1,
        hops=4,
        asked="value",
    ),
    # Words for lengths to 12,500; RULER has 6 repeats and 1 instead of 30 and 3 at lengths below 4096.
    "ruler/cwe": CommonWords(
        name="common-words", length=4096, words=4096, common=10, common_repeats=30, uncommon_repeats=3
    ),
    "ruler/fwe": FrequentWords(name="frequent-words", length=4096, words=80, alpha=2.0, answers=3),
    # Long Range Arena (Tay et al. 2021, arXiv:2011.04006), and the same grammar in rows of 64 tokens.
    "lra/listops": _listops(minimum_length=501, maximum_length=1999, maximum_depth=10, maximum_arguments=10),
    "lra/listops-short": _listops(minimum_length=8, maximum_length=64, maximum_depth=4, maximum_arguments=5),
}
