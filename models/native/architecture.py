"""The contract of a published architecture: its own residual blocks, and what stands before and after them."""

from abc import ABC, abstractmethod
from typing import NamedTuple, Self

from pydantic import BaseModel, ConfigDict
from torch import nn

from models.block import Block


class Ends(NamedTuple):
    """What stands around the blocks: the last norm, the standard deviations of embedding and head, the logits' soft cap."""

    norm: nn.Module
    embedding_deviation: float
    head_deviation: float
    logit_cap: float | None


class ArchitectureSpec(BaseModel, ABC):
    """Parameters of one architecture: complete, frozen, strict. A subclass adds `name: Literal[...]` and its own fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @abstractmethod
    def block(self, width: int, *, index: int, depth: int) -> Block:
        """Returns block `index` of `depth`, its weights drawn as published; ValueError, with the remedy, if it cannot be."""

    @abstractmethod
    def ends(self, width: int) -> Ends:
        """Returns what stands around the blocks."""

    def at(self, index: int) -> Self:
        """Returns the architecture of block `index`: itself, as it is no hybrid."""
        return self
