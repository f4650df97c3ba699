"""Expressions with brackets: drawn level by level, all at once, and evaluated token by token, as a check of the other.

Digit d is token 1 + d; the other tokens are the modulus and the numbers below, blank is 0.
"""

import numpy as np

from tasks.draws import integers

PLUS, MINUS, TIMES, OPEN, CLOSE, EQUALS, UNKNOWN, ACT = range(1, 9)


def drawn(
    rng: np.random.Generator, size_B: np.ndarray, *, width: int, modulus: int, product: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Returns tokens_BT of an expression of each size, with blanks on its right, and values_B.

    The grammar is that of Delétang et al. (2023): d, -d, (d), (-d) are of sizes 1 to 4; larger is (left operator
    right), left of uniform size and right of what remains. Operators are + and -, and * where there are products.
    """
    shape = (len(size_B), width)
    tokens_BT = np.where(np.arange(width) < size_B[:, None], 1 + integers(rng, modulus, shape), 0)
    tokens = tokens_BT.reshape(-1)
    operators = modulus + PLUS + integers(rng, 3 if product else 2, shape).reshape(-1)
    splits = rng.random(shape).reshape(-1)

    def values(start_N: np.ndarray, size_N: np.ndarray) -> np.ndarray:
        """Writes an expression of each size from each start, its digits aside, and returns its value."""
        bracketed_N = size_N > 2
        tokens[start_N[bracketed_N]] = modulus + OPEN
        tokens[(start_N + size_N - 1)[bracketed_N]] = modulus + CLOSE
        digit_N = start_N + size_N // 2
        negative_N = (size_N == 2) | (size_N == 4)
        tokens[digit_N[negative_N] - 1] = modulus + MINUS
        value_N = np.where(negative_N, -1, 1) * (tokens[digit_N] - 1)
        larger_N = size_N > 4
        if larger_N.any():
            start_L, size_L = start_N[larger_N], size_N[larger_N]
            left_L = 1 + (splits[start_L] * (size_L - 4)).astype(np.int64)
            middle_L = start_L + 1 + left_L
            operator_L = operators[middle_L]
            tokens[middle_L] = operator_L
            starts, sizes = (start_L + 1, middle_L + 1), (left_L, size_L - left_L - 3)
            a_L, b_L = np.split(values(np.concatenate(starts), np.concatenate(sizes)), 2)
            added_L = a_L + np.where(operator_L == modulus + PLUS, b_L, -b_L)
            value_N[larger_N] = np.where(operator_L == modulus + TIMES, a_L * b_L, added_L)
        return value_N % modulus

    return tokens_BT, values(np.arange(len(size_B)) * width, size_B)


def evaluated(tokens_BT: np.ndarray, *, modulus: int) -> np.ndarray:
    """Returns values_BX of the expressions up to a blank or =, at X the value if the unknown is X."""
    rows = np.arange(len(tokens_BT))
    unknown_X = np.arange(modulus)
    depth_B = np.zeros(len(tokens_BT), dtype=np.int64)
    value_BDX = np.zeros((len(tokens_BT), tokens_BT.shape[1] // 2 + 2, modulus), dtype=np.int64)
    operator_BD = np.full(value_BDX.shape[:2], modulus + PLUS)
    negative_B, after_operand_B = np.zeros((2, len(tokens_BT)), dtype=bool)
    ends_BT = (tokens_BT == 0) | (tokens_BT == modulus + EQUALS)
    for token_B in np.where(np.logical_or.accumulate(ends_BT, axis=1), 0, tokens_BT).T:
        sign_B = (token_B > modulus) & (token_B <= modulus + TIMES)
        binary_B = sign_B & after_operand_B
        operator_BD[rows[binary_B], depth_B[binary_B]] = token_B[binary_B]
        negative_B |= sign_B & ~after_operand_B
        opened_B, closed_B = token_B == modulus + OPEN, token_B == modulus + CLOSE
        is_digit_B = (token_B > 0) & (token_B <= modulus)
        operand_BX = np.where(is_digit_B[:, None], token_B[:, None] - 1, unknown_X)
        operand_BX[closed_B] = value_BDX[rows[closed_B], depth_B[closed_B]]
        operand_BX = np.where(negative_B[:, None], -operand_BX, operand_BX)
        depth_B = depth_B + opened_B - closed_B
        value_BDX[rows[opened_B], depth_B[opened_B]] = 0
        operator_BD[rows[opened_B], depth_B[opened_B]] = modulus + PLUS
        is_operand_B = is_digit_B | closed_B | (token_B == modulus + UNKNOWN)
        at = rows[is_operand_B], depth_B[is_operand_B]
        value_BDX[at] = _combined(value_BDX[at], operator_BD[at][:, None] - modulus, operand_BX[is_operand_B]) % modulus
        negative_B &= ~is_operand_B
        after_operand_B = is_operand_B
    return value_BDX[:, 0]


def _combined(left: np.ndarray, operator: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.where(operator == TIMES, left * right, left + np.where(operator == PLUS, right, -right))
