"""A pass of a torch graph on an NVIDIA GPU, recorded once as a CUDA graph: what is launched again costs one call.

Follows https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs: buffers that stay where they are, a few passes on a stream
of its own before the recording, in which cuDNN chooses its algorithms and memory is allocated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from vidpred_ros.engines.base import Arrays

#: Passes before the recording.
WARM_UP = 3


class RecordedPass:
    """``run``, tensors by name to tensors by name, with inputs like ``zeros``. Raises RuntimeError for what cannot be recorded."""

    def __init__(self, run: Callable[[Sequence[Tensor]], dict[str, Tensor]], zeros: Mapping[str, Tensor]) -> None:
        self._given = {name: zero.pin_memory() for name, zero in zeros.items()}
        self._inputs = {name: zero.cuda() for name, zero in zeros.items()}
        inputs = list(self._inputs.values())
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(WARM_UP):
                run(inputs)
        torch.cuda.current_stream().wait_stream(beside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):  # other threads may use CUDA meanwhile
            self._outputs = run(inputs)
        self._results = {name: torch.empty(o.shape, dtype=o.dtype, pin_memory=True) for name, o in self._outputs.items()}

    def __call__(self, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
        """Arrays in, fresh arrays out."""
        for name, given in self._given.items():
            given.numpy()[...] = arrays[name]
            self._inputs[name].copy_(given, non_blocking=True)
        self._graph.replay()
        for name, result in self._results.items():
            result.copy_(self._outputs[name], non_blocking=True)
        torch.cuda.synchronize()
        return {name: result.numpy().copy() for name, result in self._results.items()}
