"""A function of tensors as a CUDA graph, so that its thousands of small kernels start as one."""

from collections.abc import Callable

import torch
from torch import Tensor

_WARM_UP = 3  # calls before a capture, in which libraries choose their kernels
_GRAPHS = 8  # shapes that are captured; what comes in others runs as it is


class Replay:
    """On CUDA, captures `function` for each of its first shapes and replays it; elsewhere just calls it.

    The function must not wait for the device, nor depend on anything but its tensors and what it changes in place.
    """

    def __init__(self, function: Callable[..., Tensor], *, device: torch.device):
        self._function, self._captures = function, device.type == "cuda"
        self._calls: dict[tuple[object, ...], int] = {}
        self._graphs: dict[tuple[object, ...], tuple[torch.cuda.CUDAGraph, list[Tensor | None], Tensor]] = {}

    def __call__(self, *inputs: Tensor | None) -> Tensor:
        """Returns what the function does."""
        shapes = tuple(None if x is None else (x.shape, x.dtype) for x in inputs)
        if not self._captures or (shapes not in self._graphs and len(self._graphs) == _GRAPHS):
            return self._function(*inputs)
        calls = self._calls[shapes] = self._calls.get(shapes, 0) + 1
        if calls <= _WARM_UP:
            return self._warmed(*inputs)
        if shapes not in self._graphs:
            held = [None if x is None else x.clone() for x in inputs]
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):  # records, and computes nothing
                result = self._function(*held)
            self._graphs[shapes] = graph, held, result
        graph, held, result = self._graphs[shapes]
        for place, x in zip(held, inputs, strict=True):
            if place is not None:
                place.copy_(x, non_blocking=True)
        graph.replay()
        return result.clone()

    def _warmed(self, *inputs: Tensor | None) -> Tensor:
        """Calls the function on another stream, as a capture will."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            result = self._function(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
        return result
