"""Mamba-2's own block (Dao and Gu 2024, arXiv 2405.21060, section 7): nothing but the mixer, behind an RMSNorm.

The weights start as in the authors' released code, by the rules of Mamba's (`models.native.mamba`).
"""

from typing import Literal

from pydantic import PositiveInt

from models.block import Block
from models.mamba import Kernel
from models.mamba2 import Mamba2
from models.native.architecture import ArchitectureSpec, Ends
from models.native.mamba import released, released_ends


class Mamba2ArchitectureSpec(ArchitectureSpec):
    """`heads` states of `state_dim` (128) x (expand * width / heads) (64), those of each of `groups` (1) sharing B and C.

    `expand` (2) and `chunk` (256) are as for the mixer, `convolution` is the kernel inside it (4).
    """

    name: Literal["mamba2"]
    heads: PositiveInt
    state_dim: PositiveInt
    expand: PositiveInt
    groups: PositiveInt
    convolution: PositiveInt
    chunk: PositiveInt
    kernel: Kernel

    def block(self, width: int, *, index: int, depth: int) -> Block:
        mixer = Mamba2(
            width,
            heads=self.heads,
            state_dim=self.state_dim,
            expand=self.expand,
            groups=self.groups,
            convolution=self.convolution,
            chunk=self.chunk,
            kernel=self.kernel,
        )
        return released(mixer, mixer.out, width=width, depth=depth)

    def ends(self, width: int) -> Ends:
        return released_ends(width)
