"""The few things of CUDA that an engine needs: memory on the device, pinned memory here, one stream, captured graphs.

On NVIDIA's cuda-bindings (https://nvidia.github.io/cuda-python/cuda-bindings/latest/module/runtime.html), without torch. All that
is allocated is freed by ``close()``, a second call of which does nothing. Every function raises EngineError that names the CUDA
call. Only the default device is used (CUDA_VISIBLE_DEVICES chooses it).
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vidpred_ros.engines.choice import cuda_bindings
from vidpred_ros.errors import EngineError

#: The kernel module's own version; absent in containers that hide /sys.
DRIVER_FILE = Path("/sys/module/nvidia/version")


def runtime() -> Any:
    """The module cuda.bindings.runtime. Raises EngineError with what to install."""
    try:
        return importlib.import_module("cuda.bindings.runtime")
    except ImportError as error:
        raise EngineError(f"TensorRT needs the Python package cuda-bindings ({error}): pip install {cuda_bindings()}") from None


def call(name: str, *arguments: Any) -> Any:
    """Call a function of the CUDA runtime and return its result. Raises EngineError when CUDA says that it failed."""
    error, *results = getattr(runtime(), name)(*arguments)
    if int(error) != 0:
        runtime().cudaGetLastError()  # or another library, which looks later, takes it for its own
        _, text = runtime().cudaGetErrorString(error)
        raise EngineError(f"CUDA: {name} failed: {text.decode() if isinstance(text, bytes) else text} (error {int(error)})")
    return results[0] if results else None


def driver_version() -> str:
    """Of the GPU's driver: the newest CUDA that it runs, and its own version where the system tells it: "12060 540.4.0"."""
    try:
        own = DRIVER_FILE.read_text().strip()
    except OSError:
        own = ""
    return f"{call('cudaDriverGetVersion')} {own}".strip()


class DeviceMemory:
    """Memory on the GPU, aligned to 256 bytes at least."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        self.address: int = int(call("cudaMalloc", nbytes))

    def close(self) -> None:
        if self.address:
            call("cudaFree", self.address)
        self.address = 0


class PinnedArray:
    """An array in page-locked memory, which the GPU reads and writes by itself. ``array`` must not outlive ``close()``."""

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.nbytes = prod(shape) * np.dtype(dtype).itemsize
        self.address: int = int(call("cudaMallocHost", max(1, self.nbytes)))
        memory = (ctypes.c_ubyte * self.nbytes).from_address(self.address)
        self.array: NDArray[Any] = np.ctypeslib.as_array(memory).view(dtype).reshape(shape)

    def close(self) -> None:
        if self.address:
            call("cudaFreeHost", self.address)
        self.address = 0


class Stream:
    """A queue of work for the GPU: what is put in runs in order, while this process goes on."""

    def __init__(self) -> None:
        # one that does not wait for the default stream, which other libraries in the process may use
        self._handle: Any = call("cudaStreamCreateWithFlags", runtime().cudaStreamNonBlocking)

    @property
    def address(self) -> int:
        """The handle as a number, as TensorRT takes it."""
        return int(self._handle)

    def to_device(self, target: int, source: int, nbytes: int) -> None:
        self._copy(target, source, nbytes, runtime().cudaMemcpyKind.cudaMemcpyHostToDevice)

    def to_host(self, target: int, source: int, nbytes: int) -> None:
        self._copy(target, source, nbytes, runtime().cudaMemcpyKind.cudaMemcpyDeviceToHost)

    def on_device(self, target: int, source: int, nbytes: int) -> None:
        self._copy(target, source, nbytes, runtime().cudaMemcpyKind.cudaMemcpyDeviceToDevice)

    def _copy(self, target: int, source: int, nbytes: int, kind: Any) -> None:
        call("cudaMemcpyAsync", target, source, nbytes, kind, self._handle)

    def zero(self, address: int, nbytes: int) -> None:
        call("cudaMemsetAsync", address, 0, nbytes, self._handle)

    def synchronize(self) -> None:
        """Wait until all that was put in has run."""
        call("cudaStreamSynchronize", self._handle)

    def capture(self, work: Callable[[], None]) -> Graph:
        """What ``work`` puts in, as a graph; nothing of it runs now. Other threads may use CUDA meanwhile."""
        mode = runtime().cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        call("cudaStreamBeginCapture", self._handle, mode)
        try:
            work()
        except BaseException:
            error, captured = runtime().cudaStreamEndCapture(self._handle)  # its own error is a consequence of the first
            if int(error) == 0:
                runtime().cudaGraphDestroy(captured)
            runtime().cudaGetLastError()
            raise
        return Graph(call("cudaStreamEndCapture", self._handle))

    def launch(self, graph: Graph) -> None:
        call("cudaGraphLaunch", graph.executable, self._handle)

    def close(self) -> None:
        if self._handle is not None:
            call("cudaStreamDestroy", self._handle)
        self._handle = None


class Graph:
    """A captured sequence of GPU work that is launched as one: a launch costs what one kernel costs, not what all do."""

    def __init__(self, captured: Any) -> None:
        try:
            self.executable: Any = call("cudaGraphInstantiate", captured, 0)
        finally:
            call("cudaGraphDestroy", captured)

    def close(self) -> None:
        if self.executable is not None:
            call("cudaGraphExecDestroy", self.executable)
        self.executable = None
