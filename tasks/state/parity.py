"""Parity: the smallest state to track, one bit."""

from typing import Literal

from tasks.state.tracking import Group, StateTracking


class Parity(StateTracking):
    """Is the number of ones so far even, 0, or odd, 1?

        minimum_length 3, maximum_length 6, a sequence of 4 bits: pad 2

        tokens             1 0 1 1 2 2
        targets, dense     1 1 0 1 . .
        targets, final     . . . 1 . .

    Parity is the word problem of S2, with 1 the swap. `final` is the task of Delétang et al. (2023, arXiv:2207.02098)
    and of the xLSTM paper; `dense` is easier to learn by far.
    """

    name: Literal["parity"]

    @property
    def _group(self) -> Group:
        return "S2"
