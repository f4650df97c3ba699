"""xLSTM (Beck et al. 2024, arXiv 2405.04517): a stack of mLSTM and sLSTM blocks, initialised as in the released code."""

import math
import re
from typing import Annotated, Literal, Self

from pydantic import NonNegativeInt, StringConstraints, model_validator
from torch import nn

from models.block import Block, small_deviation
from models.native.architecture import ArchitectureSpec, Ends
from models.native.xlstm_mlstm import EPSILON, MLSTMBlockSpec
from models.native.xlstm_slstm import SLSTMBlockSpec


class XLSTMSpec(ArchitectureSpec):
    """xLSTM[a:b]: of a + b blocks a are mLSTM and b sLSTM, the latter those whose index, from 0, is in `slstm_at`.

    `mlstm` or `slstm` is none in a stack without such blocks. a and b are in lowest terms and taken at their word: the
    paper calls its models of 48 blocks with sLSTM at 3, 5, 7, 40, 42 and 44 xLSTM[7:1], and so they are, but also that of 24
    blocks with sLSTM at 3 and 20, which here is xlstm[11:1].
    """

    name: Literal["xlstm"]
    stack: Annotated[str, StringConstraints(pattern=r"^xlstm\[\d+:\d+\]$")]
    slstm_at: tuple[NonNegativeInt, ...]
    mlstm: MLSTMBlockSpec | None
    slstm: SLSTMBlockSpec | None

    @model_validator(mode="after")
    def _stack_fits_its_blocks(self) -> Self:
        mlstms, slstms = self.shares()
        divisor = math.gcd(mlstms, slstms)
        if divisor != 1:
            remedy = f"write xlstm[{mlstms // divisor}:{slstms // divisor}]" if divisor else "write xlstm[1:0]"
            raise ValueError(f"stack {self.stack} is not in lowest terms: {remedy}")
        for name, share, spec in (("mlstm", mlstms, self.mlstm), ("slstm", slstms, self.slstm)):
            if bool(share) != (spec is not None):
                remedy = f"describe them in {name}" if share else f"make {name} null"
                raise ValueError(f"stack {self.stack} has {'' if share else 'no '}{name} blocks: {remedy}")
        if list(self.slstm_at) != sorted(set(self.slstm_at)):
            raise ValueError(f"slstm_at {self.slstm_at} is not in rising order: sort it, each index once")
        return self

    def shares(self) -> tuple[int, int]:
        """Returns a and b of xlstm[a:b]."""
        mlstms, slstms = re.findall(r"\d+", self.stack)
        return int(mlstms), int(slstms)

    def block(self, width: int, *, index: int, depth: int) -> Block:
        self._require_stack_of(depth)
        if index in self.slstm_at:
            assert self.slstm
            return self.slstm.build(width, index=index, depth=depth)
        assert self.mlstm
        return self.mlstm.build(width, depth=depth)

    def _require_stack_of(self, depth: int) -> None:
        """ValueError, with the remedy, if a network of `depth` blocks with sLSTM at `slstm_at` is no such stack."""
        (mlstms, slstms), count = self.shares(), len(self.slstm_at)
        if count and self.slstm_at[-1] >= depth:
            raise ValueError(
                f"slstm_at {self.slstm_at} goes beyond depth={depth}: its indices run from 0 to {depth - 1}"
            )
        if count * (mlstms + slstms) != slstms * depth:
            divisor = math.gcd(depth, count)
            raise ValueError(
                f"depth={depth} with {count} sLSTM blocks is no {self.stack}: "
                f"write xlstm[{(depth - count) // divisor}:{count // divisor}], or change slstm_at"
            )

    def ends(self, width: int) -> Ends:
        deviation = small_deviation(width)
        return Ends(nn.LayerNorm(width, eps=EPSILON, bias=False), deviation, deviation, logit_cap=None)
