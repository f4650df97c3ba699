"""A stack of unlike blocks: a pattern of mixers, or of architectures, repeated over the depth."""

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

S = TypeVar("S")


class HybridSpec(BaseModel, Generic[S]):
    """Block i is that of `pattern[i % len(pattern)]`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Literal["hybrid"]
    pattern: Annotated[tuple[S, ...], Field(min_length=2)]

    def at(self, index: int) -> S:
        """Returns what stands in block `index`."""
        return self.pattern[index % len(self.pattern)]
