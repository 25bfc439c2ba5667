"""A test double of cuda.bindings.runtime, as far as vidpred_ros.engines.cuda uses it. No GPU ever ran it.

Device memory is host memory at real addresses. What is put into a stream runs when the stream is synchronized and not before, so
that a missing wait is seen; a captured graph is the list of operations, with the addresses that they had then. Every copy must
lie within memory that is still allocated and of the kind that it names. test_tensorrt_rtx.py holds the names against the real
module where that is installed.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from enum import IntEnum
from itertools import count
from typing import Any

ALIGNMENT = 256


class cudaError_t(IntEnum):
    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    cudaErrorStreamCaptureUnsupported = 900
    cudaErrorStreamCaptureInvalidated = 901


class cudaMemcpyKind(IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2
    cudaMemcpyDeviceToDevice = 3


class cudaStreamCaptureMode(IntEnum):
    cudaStreamCaptureModeThreadLocal = 1


OK = cudaError_t.cudaSuccess
BAD = cudaError_t.cudaErrorInvalidValue
Operation = Callable[[], None]
#: Of each kind of copy: what the target and what the source must be.
SIDES = {1: ("device", "pinned"), 2: ("pinned", "device"), 3: ("device", "device")}


class Stream:
    def __init__(self, number: int) -> None:
        self.number = number
        self.queue: list[Operation] = []
        self.captured: list[Operation] | None = None
        self.invalid = False

    def __int__(self) -> int:
        return self.number


class FakeCuda:
    """Stands in for the module. ``launches`` counts graph launches, ``limit`` is how much device memory there is and ``most`` how much
    was ever in use, ``last_error`` what failed and nobody has asked for."""

    cudaError_t, cudaMemcpyKind, cudaStreamCaptureMode = cudaError_t, cudaMemcpyKind, cudaStreamCaptureMode
    cudaStreamNonBlocking = 1

    def __init__(self, limit: int = 1 << 30) -> None:
        self.limit, self.launches, self.most, self.last_error = limit, 0, 0, OK
        self.memory: dict[int, tuple[str, int, Any]] = {}  # address: kind, size, what keeps it
        self.streams: dict[int, Stream] = {}
        self.graphs: set[int] = set()
        self._numbers = count(1)

    @property
    def alive(self) -> int:
        """Allocations, streams and graphs that nobody has freed."""
        return len(self.memory) + len(self.streams) + len(self.graphs)

    def used(self, kind: str) -> int:
        return sum(size for what, size, _ in self.memory.values() if what == kind)

    def whole(self, address: int, nbytes: int, kind: str) -> bool:
        """Whether these bytes lie in one allocation of the kind."""
        return any(
            what == kind and start <= address and address + nbytes <= start + size
            for start, (what, size, _) in self.memory.items()
        )

    def enqueue(self, stream: Stream, operation: Operation) -> None:
        (stream.queue if stream.captured is None else stream.captured).append(operation)

    # the module's functions

    def cudaGetErrorString(self, error: cudaError_t) -> tuple[cudaError_t, bytes]:
        return OK, error.name.encode()

    def cudaGetLastError(self) -> tuple[cudaError_t]:
        error, self.last_error = self.last_error, OK
        return (error,)

    def _fail(self, error: cudaError_t) -> cudaError_t:
        self.last_error = error
        return error

    def cudaDriverGetVersion(self) -> tuple[cudaError_t, int]:
        return OK, 12060

    def _allocate(self, kind: str, size: int) -> tuple[cudaError_t, int | None]:
        if size <= 0 or self.used(kind) + size > self.limit:
            return self._fail(cudaError_t.cudaErrorMemoryAllocation), None
        buffer = (ctypes.c_ubyte * (size + ALIGNMENT))()
        address = -(-ctypes.addressof(buffer) // ALIGNMENT) * ALIGNMENT
        ctypes.memset(address, 0xAB, size)  # fresh memory is not zero
        self.memory[address] = (kind, size, buffer)
        self.most = max(self.most, self.used("device"))
        return OK, address

    def _free(self, kind: str, address: int) -> tuple[cudaError_t]:
        if address not in self.memory or self.memory[address][0] != kind:
            return (self._fail(BAD),)
        del self.memory[address]
        return (OK,)

    def cudaMalloc(self, size: int) -> tuple[cudaError_t, int | None]:
        if any(stream.captured is not None for stream in self.streams.values()):
            return self._fail(cudaError_t.cudaErrorStreamCaptureUnsupported), None
        return self._allocate("device", size)

    def cudaMallocHost(self, size: int) -> tuple[cudaError_t, int | None]:
        return self._allocate("pinned", size)

    def cudaFree(self, address: int) -> tuple[cudaError_t]:
        return self._free("device", address)

    def cudaFreeHost(self, address: int) -> tuple[cudaError_t]:
        return self._free("pinned", address)

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[cudaError_t, Stream]:
        assert flags == self.cudaStreamNonBlocking
        stream = Stream(next(self._numbers))
        self.streams[stream.number] = stream
        return OK, stream

    def cudaStreamDestroy(self, stream: Stream) -> tuple[cudaError_t]:
        return (OK if self.streams.pop(stream.number, None) else self._fail(BAD),)

    def cudaStreamSynchronize(self, stream: Stream) -> tuple[cudaError_t]:
        if stream.captured is not None:
            stream.invalid = True
            return (self._fail(cudaError_t.cudaErrorStreamCaptureUnsupported),)
        time.sleep(0.001)  # as the GPU works, other threads of the process go on
        while stream.queue:
            stream.queue.pop(0)()
        return (OK,)

    def cudaMemcpyAsync(
        self, target: int, source: int, nbytes: int, kind: cudaMemcpyKind, stream: Stream
    ) -> tuple[cudaError_t]:
        to, of = SIDES[kind]

        def copy() -> None:
            assert self.whole(target, nbytes, to) and self.whole(source, nbytes, of), f"{kind!r} outside of memory"
            ctypes.memmove(target, source, nbytes)

        self.enqueue(stream, copy)
        return (OK,)

    def cudaMemsetAsync(self, address: int, value: int, nbytes: int, stream: Stream) -> tuple[cudaError_t]:
        def fill() -> None:
            assert self.whole(address, nbytes, "device"), "memset outside of memory"
            ctypes.memset(address, value, nbytes)

        self.enqueue(stream, fill)
        return (OK,)

    def cudaStreamBeginCapture(self, stream: Stream, mode: cudaStreamCaptureMode) -> tuple[cudaError_t]:
        stream.captured, stream.invalid = [], False
        return (OK,)

    def cudaStreamEndCapture(self, stream: Stream) -> tuple[cudaError_t, Any]:
        captured, stream.captured = stream.captured, None
        if stream.invalid or captured is None:
            return self._fail(cudaError_t.cudaErrorStreamCaptureInvalidated), None
        return OK, self._graph(captured)

    def cudaGraphInstantiate(self, graph: Graph, flags: int) -> tuple[cudaError_t, Graph]:
        assert flags == 0 and graph.number in self.graphs
        return OK, self._graph(graph.operations)

    def _graph(self, operations: list[Operation]) -> Graph:
        graph = Graph(next(self._numbers), operations)
        self.graphs.add(graph.number)
        return graph

    def cudaGraphLaunch(self, graph: Graph, stream: Stream) -> tuple[cudaError_t]:
        if graph.number not in self.graphs:
            return (self._fail(BAD),)
        self.launches += 1
        stream.queue.extend(graph.operations)
        return (OK,)

    def cudaGraphDestroy(self, graph: Graph) -> tuple[cudaError_t]:
        self.graphs.discard(graph.number)
        return (OK,)

    cudaGraphExecDestroy = cudaGraphDestroy


class Graph:
    def __init__(self, number: int, operations: list[Operation]) -> None:
        self.number, self.operations = number, operations
