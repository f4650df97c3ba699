"""Networks of one specification as one program, by `torch.func.vmap`: what their functions need for that.

vmap reads the code of one member and runs every operation on all. It cannot do so with a gradient written by hand, and a loop
over time it would not shorten: these are given all members at once, on an axis E before the others.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Result = Tensor | tuple[Tensor, ...]


def is_stacked(x: Tensor) -> bool:
    """Returns whether x is one member's part of a stack, seen from within vmap."""
    return torch._C._functorch.is_batchedtensor(x)


def of_members(function: Callable[..., Result], *operands: Any) -> Result:
    """Returns, within vmap, one member's part of what `function` returns for all: its tensors, in and out, have E first."""
    return _OfMembers.apply(function, *operands)


class _OfMembers(torch.autograd.Function):
    """Calls a function in vmap's place, so that only `vmap` is ever run: the gradient is that of the function's operations."""

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Does nothing; vmap does not take a function without one."""

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], function: Callable[..., Result], *operands: Any) -> Any:
        parts = zip(operands, in_dims[1:], strict=True)
        return function(*(members_first(x, dim, members=info.batch_size) for x, dim in parts)), 0


def members_first(x: Any, dim: int | None, *, members: int) -> Any:
    """Returns a tensor with its axis E, which is `dim` or missing, before the others, and anything else as it is."""
    if not isinstance(x, Tensor):
        return x
    return x.expand(members, *x.shape) if dim is None else x.movedim(dim, 0)


def along_batch(function: Callable[..., Result], *operands: Any) -> Result:
    """Returns function(*operands), whose tensors, in and out, have B first: within vmap members are so many more sequences."""
    if not any(isinstance(x, Tensor) and is_stacked(x) for x in operands):
        return function(*operands)

    def of_all(x_EB: Tensor, *others: Any) -> Result:
        members = len(x_EB)
        result = function(*(x.flatten(0, 1) if isinstance(x, Tensor) else x for x in (x_EB, *others)))
        if isinstance(result, Tensor):
            return result.unflatten(0, (members, -1))
        return tuple(part.unflatten(0, (members, -1)) for part in result)

    return of_members(of_all, *operands)
