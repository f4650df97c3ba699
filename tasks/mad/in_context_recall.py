"""In-context recall: the values of keys that the context has shown."""

from typing import Literal

from tasks.mad.pairs import PairRecall


class InContextRecall(PairRecall):
    """MAD's in-context recall (Poli et al. 2024, arXiv:2403.17844, `mad/data/instances.py`, `multi_query` as in its settings).

    Pairs of a key and its value are drawn with replacement; each time a key is read again, its value is asked:

        length 10, vocabulary 6: keys 0-2, values 3-5

        tokens             1 4   2 5   1 4   0 4   2 5
        targets, seen      . .   . .   4 .   . .   5 .
        targets, all       4 2   5 1   4 0   4 2   5 .

    The last key is one that was shown, any of them as likely. MAD ends the row before the value of the last key, which
    here is its last token, without a label: so a row has `length` tokens. `labels` and `examples`: see `RecallTask` and
    `PooledTask`.
    """

    name: Literal["mad-in-context-recall"]

    @property
    def _noise_tokens(self) -> int:
        return 0

    @property
    def _noise(self) -> float:
        return 0.0
