"""The word problem of a group: permutations composed in the order read, where the order matters."""

from typing import Literal

from tasks.state.tracking import Group, StateTracking


class WordProblem(StateTracking):
    """Which element is the product so far? (Merrill et al. 2024, arXiv:2404.08819.)

        group S3, minimum_length 2, maximum_length 6, a sequence of 4 elements: pad 6

        elements           0 abc   1 acb   2 bac   3 bca   4 cab   5 cba   (where a, b and c go)

        tokens             1 2 5 5 6 6
        targets, dense     1 3 2 3 . .
        targets, final     . . . 3 . .

    The token read first is applied first: 1 swaps b and c, then 2 swaps a and b, which together is 3; in the other
    order it is 4. Composing the other way poses the same task with every element replaced by its inverse.

    A5, A4xZ5 and Z60 are Merrill et al.'s three groups of order 60: the products of A5 are NC1-complete, those of
    A4xZ5 are not commutative but solvable, those of Z60 are sums modulo 60. S5, of order 120, is that of Grazzi et al.
    (2025, arXiv:2411.12537). Permutations are numbered in lexicographic order; number 5 a + z of A4xZ5 is a in A4 and
    the turn z. Merrill et al. number them otherwise, read a token before the first element, and score whole sequences.
    """

    name: Literal["word-problem"]
    group: Literal["S3", "S5", "A5", "A4xZ5", "Z60"]

    @property
    def _group(self) -> Group:
        return self.group
