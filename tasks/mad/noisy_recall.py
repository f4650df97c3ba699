"""Noisy in-context recall: the values of keys that the context has shown, amid noise."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.mad.pairs import PairRecall


class NoisyRecall(PairRecall):
    """MAD's noisy in-context recall (Poli et al. 2024, arXiv:2403.17844, `mad/data/instances.py`): in-context recall in which
    a pair is noise with probability `noise_fraction`.

        length 12, vocabulary 8, noise_tokens 2: keys 0-2, values 3-5, noise 6-7

        tokens             0 5   7 7   0 5   1 5   7 6   0 5
        targets, seen      . .   . .   5 .   . .   . .   5 .
        targets, all       5 7   7 0   5 1   5 7   6 0   5 .

    `vocabulary` counts the noise tokens. One pair, drawn at random, never is noise: in MAD it may be the last one, which
    is the probe, and then a row of noise alone ends its generator with an error. Rows end as in `InContextRecall`.
    """

    name: Literal["mad-noisy-recall"]
    noise_tokens: Annotated[int, Field(ge=1)]
    noise_fraction: Annotated[float, Field(ge=0, lt=1)]

    @property
    def _noise_tokens(self) -> int:
        return self.noise_tokens

    @property
    def _noise(self) -> float:
        return self.noise_fraction
