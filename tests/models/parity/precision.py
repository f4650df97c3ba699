"""How an official implementation that computes in float32 inside is compared in float64."""

from typing import Any

import torch


class Doubled:
    """The module torch, but for float32, in whose place stands float64."""

    def __getattr__(self, name: str) -> Any:
        return torch.float64 if name in ("float", "float32") else getattr(torch, name)
