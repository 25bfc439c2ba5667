"""A TensorRT plan on the GPU, and steps of it: inputs to the GPU, the network, outputs back, captured as one CUDA graph.

Each captured graph has an execution context of its own, as NVIDIA asks
(https://docs.nvidia.com/deeplearning/tensorrt/latest/performance/optimization.html), and all contexts share the memory that the
network computes in, since one step runs at a time. TensorRT is used from 10.3 on, 11 and TensorRT for RTX alike.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.engines import cuda
from vidpred_ros.engines.base import Arrays
from vidpred_ros.engines.tensorrt_build import Library, logger_of, start
from vidpred_ros.errors import EngineError

log = logging.getLogger(__name__)
#: What TensorRT logs first when not the plan is at fault but the GPU: its memory, above all.
OF_THE_GPU = re.compile(r"out ?of ?memory|cuda (runtime|driver|error|failure|init)", re.IGNORECASE)


class UnreadablePlan(EngineError):
    """TensorRT does not read a plan: it is damaged, or of another version or another kind of GPU than its sidecar says."""


class Closable(Protocol):
    def close(self) -> None: ...


Made = TypeVar("Made", bound=Closable)


class Network:
    """A plan, deserialized, with its CUDA stream and its buffers. Not for two threads at a time.

    ``inputs``, ``outputs``: shapes by name; ``dtypes``: of both, bfloat16 and fp8, which NumPy has not, as bits. Raises UnreadablePlan,
    and EngineError when CUDA or TensorRT fails.
    """

    def __init__(self, plan: Path, library: Library) -> None:
        self.lib, self.plan = library, plan
        self.inputs: dict[str, tuple[int, ...]] = {}
        self.outputs: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, np.dtype[Any]] = {}
        self._owned: list[Closable] = []  # in the order in which they were made
        self._buffers: dict[str, _Buffer] = {}
        self._logger = logger_of(library)
        self._runtime = start("Runtime", library)
        try:
            self._engine = self._runtime.deserialize_cuda_engine(plan.read_bytes())
        except OSError as error:  # discarded by another process that could not read it
            raise UnreadablePlan(f"{plan} cannot be read: {error}") from None
        if self._engine is None:
            kind = EngineError if OF_THE_GPU.search("".join(self._logger.errors[:1])) else UnreadablePlan
            raise kind(f"{library} cannot read {plan}: {self._logger.last_errors()}")
        try:
            self._read_ports()
            self.stream = self.own(cuda.Stream())
            self._scratch = self.own(cuda.DeviceMemory(max(1, self._engine.device_memory_size_v2)))
        except BaseException:
            self.close()
            raise

    def _read_ports(self) -> None:
        trt = self.lib.module
        bits = {trt.bfloat16: np.uint16, trt.fp8: np.uint8}
        for index in range(self._engine.num_io_tensors):
            name = self._engine.get_tensor_name(index)
            shape = tuple(self._engine.get_tensor_shape(name))
            if -1 in shape:
                raise EngineError(f"{self.plan}: port {name} has the open shape {shape}; only fixed shapes run here")
            dtype = self._engine.get_tensor_dtype(name)
            self.dtypes[name] = np.dtype(bits[dtype] if dtype in bits else trt.nptype(dtype))
            side = self.inputs if self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT else self.outputs
            side[name] = shape

    def own(self, made: Made) -> Made:
        """Remember to close it with the network."""
        self._owned.append(made)
        return made

    def step(self, on_gpu: Mapping[str, int]) -> Step:
        """A step whose ports named in ``on_gpu`` lie at these addresses and stay there; the others are copied."""
        return self.own(Step(self, on_gpu))

    def buffer(self, name: str) -> _Buffer:
        """The two memories of a port that is copied, made when it is first asked for and used by all steps."""
        if name not in self._buffers:
            shape = self.inputs[name] if name in self.inputs else self.outputs[name]
            self._buffers[name] = self.own(_Buffer(shape, self.dtypes[name]))
        return self._buffers[name]

    def new_context(self) -> Any:
        """An execution context that computes in the memory that all share."""
        strategy = self.lib.module.ExecutionContextAllocationStrategy.USER_MANAGED
        context = self._engine.create_execution_context(strategy)
        if context is None:
            raise self.failure("cannot make an execution context")
        context.set_device_memory(self._scratch.address, self._scratch.nbytes)
        return context

    def failure(self, what: str) -> EngineError:
        return EngineError(f"{self.lib} {what} ({self.plan.name}): {self._logger.last_errors()}")

    def close(self) -> None:
        """Free all of it, last made first. What cannot be freed is logged: the rest still is."""
        while self._owned:
            try:
                self._owned.pop().close()
            except EngineError as error:
                log.warning("closing %s: %s", self.plan.name, error)
        self._buffers.clear()
        self._engine = self._runtime = None


class _Buffer:
    """A port's memory on the GPU and the pinned memory that it is copied from or to; zero at first."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.pinned = cuda.PinnedArray(shape, dtype)
        self.pinned.array[...] = 0
        try:
            self.device = cuda.DeviceMemory(max(1, self.pinned.nbytes))
        except EngineError:
            self.pinned.close()
            raise

    def close(self) -> None:
        self.device.close()
        self.pinned.close()


class Step:
    """One run of the network with fixed addresses, captured when it is made."""

    def __init__(self, network: Network, on_gpu: Mapping[str, int]) -> None:
        self._network = network
        self.inputs = [name for name in network.inputs if name not in on_gpu]
        self.outputs = [name for name in network.outputs if name not in on_gpu]
        addresses = {name: network.buffer(name).device.address for name in [*self.inputs, *self.outputs]}
        self._context = network.new_context()
        for name, address in {**addresses, **on_gpu}.items():
            if not self._context.set_tensor_address(name, address):
                raise network.failure(f"does not take an address for {name}")
        self._enqueue()  # TensorRT does on the first run what must not be in a capture
        network.stream.synchronize()
        self._graph = self._capture()

    @property
    def captured(self) -> bool:
        """Whether it runs as a CUDA graph."""
        return self._graph is not None

    def _enqueue(self) -> None:
        stream, network = self._network.stream, self._network
        for name in self.inputs:
            port = network.buffer(name)
            stream.to_device(port.device.address, port.pinned.address, port.pinned.nbytes)
        if not self._context.execute_async_v3(stream.address):
            raise network.failure("cannot run the network")
        for name in self.outputs:
            port = network.buffer(name)
            stream.to_host(port.pinned.address, port.device.address, port.pinned.nbytes)

    def _capture(self) -> cuda.Graph | None:
        network = self._network
        # TensorRT for RTX can tell; the other one fails when it comes to it
        ask = getattr(self._context, "is_stream_capturable", None)
        try:
            if ask is None or ask(network.stream.address):
                return network.stream.capture(self._enqueue)
            reason = "the network does something that cannot be captured"
        except EngineError as error:
            reason = str(error)
        log.warning("%s runs without a CUDA graph, which is slower: %s", network.plan.name, reason)
        return None

    def run(self, arrays: Mapping[str, NDArray[Any]], into: Mapping[str, NDArray[Any]] | None = None) -> Arrays:
        """Copy in what is not on the GPU, run, and return the outputs that do not stay there: those in ``into`` are written there,
        the others are fresh arrays."""
        network, into = self._network, into or {}
        for name in self.inputs:
            np.copyto(network.buffer(name).pinned.array, arrays[name], casting="no")
        if self._graph is None:
            self._enqueue()
        else:
            network.stream.launch(self._graph)
        network.stream.synchronize()
        results = {}
        for name in self.outputs:
            results[name] = into[name] if name in into else np.empty(network.outputs[name], network.dtypes[name])
            np.copyto(results[name], network.buffer(name).pinned.array, casting="no")
        return results

    def close(self) -> None:
        if self._graph is not None:
            self._graph.close()
        self._graph = self._context = None
