"""Nested expressions of ListOps, grown, written and evaluated level by level for all rows of a batch at once."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tasks.draws import integers

MINIMUM, MAXIMUM, MEDIAN, SUM = range(10, 14)  # operators, which open a list; digits are tokens 0 to 9
CLOSE, PADDING = 14, 15
VOCABULARY = 16


class Level(NamedTuple):
    """The lists at one depth of every tree, in the order of trees, and within a tree from left to right."""

    tree_N: np.ndarray  # the tree of each list
    arguments_N: np.ndarray  # how many arguments each has
    nested_A: np.ndarray  # which arguments, those of all lists in order, are lists, found in order in the next level

    def of_trees(self, kept: np.ndarray) -> "Level":
        """Returns the lists of the kept trees, numbered anew."""
        kept_N = kept[self.tree_N]
        number = kept.cumsum() - 1
        nested_A = self.nested_A[np.repeat(kept_N, self.arguments_N)]
        return Level(number[self.tree_N[kept_N]], self.arguments_N[kept_N], nested_A)


def grown(
    rng: np.random.Generator, *, trees: int, depth: int, arguments: int, digit_probability: float, longest: int
) -> tuple[list[Level], np.ndarray]:
    """Returns the levels of trees whose root is a list, and their tokens (trees,). Growth ends beyond the longest."""
    tree_N = np.arange(trees)
    tokens = np.zeros(trees, dtype=np.int64)
    levels: list[Level] = []
    for level in range(1, depth):
        arguments_N = 2 + integers(rng, arguments - 1, tree_N.shape)
        owner_A = np.repeat(tree_N, arguments_N)
        nested_A = rng.random(owner_A.shape) >= digit_probability
        if level == depth - 1:
            nested_A[:] = False
        levels.append(Level(tree_N, arguments_N, nested_A))
        tokens += 2 * np.bincount(tree_N, minlength=trees) + np.bincount(owner_A[~nested_A], minlength=trees)
        tree_N = owner_A[nested_A & (tokens <= longest)[owner_A]]
        if not len(tree_N):
            break
    return levels, tokens


def joined(rounds: list[list[Level]]) -> list[Level]:
    """Returns the levels of the trees of all rounds, numbered through."""
    deepest = max(len(levels) for levels in rounds)
    parts: list[list[Level]] = [[] for _ in range(deepest)]
    trees = 0
    for levels in rounds:
        for together, level in zip(parts, levels, strict=False):
            together.append(level._replace(tree_N=trees + level.tree_N))
        trees += len(levels[0].tree_N)
    return [Level(*(np.concatenate(arrays) for arrays in zip(*level, strict=True))) for level in parts]


def written(rng: np.random.Generator, levels: list[Level], *, size: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns tokens (size, width) with padding on the right, and the value of each tree (size,), int64 both."""
    operators = [integers(rng, 4, level.tree_N.shape) + MINIMUM for level in levels]
    digits = [integers(rng, 10, level.nested_A.shape) for level in levels]
    lengths, values = [], []  # of the arguments of each level, from the deepest upwards
    length_N = value_N = np.zeros(0, dtype=np.int64)
    for level, operator_N, digit_A in zip(levels[::-1], operators[::-1], digits[::-1], strict=True):
        length_A, value_A = np.ones_like(digit_A), digit_A
        length_A[level.nested_A], value_A[level.nested_A] = length_N, value_N
        starts_N = level.arguments_N.cumsum() - level.arguments_N
        length_N = 2 + np.add.reduceat(length_A, starts_N)
        value_N = evaluated(operator_N, value_A, starts_N, level.arguments_N)
        lengths.append(length_A)
        values.append(value_A)
    tokens_BT = np.full((size, width), PADDING)
    position_N = np.zeros(size, dtype=np.int64)
    for level, operator_N, length_A, value_A in zip(levels, operators, lengths[::-1], values[::-1], strict=True):
        ends_A = length_A.cumsum()
        starts_N = level.arguments_N.cumsum() - level.arguments_N
        before_N = ends_A[starts_N] - length_A[starts_N]
        tokens_BT[level.tree_N, position_N] = operator_N
        tokens_BT[level.tree_N, position_N + 1 + np.add.reduceat(length_A, starts_N)] = CLOSE
        position_A = np.repeat(position_N + 1 - before_N, level.arguments_N) + ends_A - length_A
        flat_A = ~level.nested_A
        tokens_BT[np.repeat(level.tree_N, level.arguments_N)[flat_A], position_A[flat_A]] = value_A[flat_A]
        position_N = position_A[level.nested_A]
    return tokens_BT, value_N


def evaluated(operator_N: np.ndarray, value_A: np.ndarray, starts_N: np.ndarray, arguments_N: np.ndarray) -> np.ndarray:
    """Returns the value of every list; the median of an even number is the mean of the middle two, rounded down."""
    list_A = np.repeat(np.arange(len(operator_N)), arguments_N)
    sorted_A = np.sort(10 * list_A + value_A, kind="stable") % 10
    last_N = arguments_N - 1
    middle_N = (sorted_A[starts_N + last_N // 2] + sorted_A[starts_N + arguments_N // 2]) // 2
    sum_N = np.add.reduceat(value_A, starts_N) % 10
    return np.choose(operator_N - MINIMUM, [sorted_A[starts_N], sorted_A[starts_N + last_N], middle_N, sum_N])


def values_read(tokens_BT: Tensor, *, depth: int) -> Tensor:
    """Returns at every closing bracket the value of its list, read token by token with a stack of digit counts."""
    rows = torch.arange(len(tokens_BT))
    digits = torch.arange(10)
    depth_B = torch.zeros_like(rows)
    operator_BD = tokens_BT.new_zeros(len(rows), depth)
    count_BDV = tokens_BT.new_zeros(len(rows), depth, 10)
    values_BT = torch.zeros_like(tokens_BT)
    for time, token_B in enumerate(tokens_BT.T):
        opens_B = (token_B >= MINIMUM) & (token_B <= SUM)
        depth_B = depth_B + opens_B.long()
        operator_BD[rows[opens_B], depth_B[opens_B]] = token_B[opens_B]
        count_BDV[rows[opens_B], depth_B[opens_B]] = 0
        closes_B = token_B == CLOSE
        count_NV = count_BDV[rows[closes_B], depth_B[closes_B]]
        operator_N = operator_BD[rows[closes_B], depth_B[closes_B]]
        up_to_NV, all_N1 = count_NV.cumsum(1), count_NV.sum(1, keepdim=True)
        lower_N, upper_N = ((up_to_NV <= place).sum(1) for place in ((all_N1 - 1) // 2, all_N1 // 2))
        choices = torch.stack(
            [
                (up_to_NV == 0).sum(1),
                (up_to_NV < all_N1).sum(1),
                (lower_N + upper_N) // 2,
                (count_NV * digits).sum(1) % 10,
            ]
        )
        values_BT[closes_B, time] = choices.gather(0, (operator_N - MINIMUM)[None])[0]
        depth_B = depth_B - closes_B.long()
        given_B = closes_B | (token_B < 10)
        given_N = torch.where(closes_B, values_BT[:, time], token_B)[given_B]
        count_BDV[rows[given_B], depth_B[given_B], given_N] += 1
    return values_BT
