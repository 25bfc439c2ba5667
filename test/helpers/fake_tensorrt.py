"""A test double of TensorRT's Python module: its parser reads ONNX, its engines run it with ONNX Runtime. No GPU ever ran it.

A plan is the ONNX file with a word before it. ``execute_async_v3`` puts a run into FakeCuda's stream that reads and writes the
addresses which the context has at that moment. It keeps us to what NVIDIA asks of callers: device memory and every address set, a
first run outside of a capture, one context for each captured graph. test_tensorrt_rtx.py holds its names against the real module.
"""

from __future__ import annotations

import ctypes
from enum import IntEnum
from importlib.machinery import ModuleSpec
from math import prod
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime

from helpers.fake_cuda import ALIGNMENT, FakeCuda

MAGIC = b"a plan of the double\n"
#: Bytes that a network computes in.
SCRATCH = 1000


class ILogger:
    class Severity(IntEnum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4


class IProgressMonitor:
    pass


def refuse(logger: Any, reason: str) -> None:
    """What pybind11 does where TensorRT returns no object."""
    logger.log(ILogger.Severity.ERROR, reason)
    raise TypeError("pybind11::init(): factory function returned nullptr")


class NetworkDefinitionCreationFlag(IntEnum):
    STRONGLY_TYPED = 1


class BuilderFlag(IntEnum):
    TF32 = 1
    REQUIRE_USER_ALLOCATION = 2


class ExecutionContextAllocationStrategy(IntEnum):
    STATIC = 0
    USER_MANAGED = 2


class TensorIOMode(IntEnum):
    INPUT = 1
    OUTPUT = 2


class NetworkDefinition:
    def __init__(self, flags: int) -> None:
        self.flags = flags
        self.onnx = b""


class ParserError:
    def __init__(self, node: onnx.NodeProto | None, reason: str) -> None:
        self._node, self._reason = node, reason

    def desc(self) -> str:
        return self._reason

    def node_name(self) -> str:
        return "" if self._node is None else self._node.name

    def node_operator(self) -> str:
        return "" if self._node is None else self._node.op_type


class OnnxParser:
    """Like the real one it refuses what is no ONNX, and uint8 anywhere but at a port with a Cast beside it. Like that of TensorRT
    10 and 11.1 it takes the modes of grid sampling that it does not know, those of opset 20, for "nearest"."""

    def __init__(self, network: NetworkDefinition, logger: Any) -> None:
        self._network = network
        self._errors: list[ParserError] = []

    def parse(self, model: bytes, path: str) -> bool:
        try:
            proto = onnx.load_from_string(model)
        except Exception:  # noqa: BLE001 - protobuf's own kinds
            self._errors.append(ParserError(None, "Failed to parse the ONNX model."))
            return False
        graph = proto.graph
        narrow = {port.name for port in graph.input if port.type.tensor_type.elem_type == onnx.TensorProto.UINT8}
        for node in graph.node:
            if narrow.intersection(node.input) and node.op_type != "Cast":
                self._errors.append(ParserError(node, f"{node.name}: first input has type\nUInt8"))
            for attribute in node.attribute:
                if node.op_type == "GridSample" and attribute.name == "mode":
                    attribute.s = {b"bilinear": b"linear", b"bicubic": b"cubic"}.get(attribute.s, b"nearest")
        self._network.onnx = proto.SerializeToString()
        return not self._errors

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> ParserError:
        return self._errors[index]


class BuilderConfig:
    def __init__(self) -> None:
        self.flags = {BuilderFlag.TF32}
        self.progress_monitor: Any = None

    def set_flag(self, flag: BuilderFlag) -> None:
        self.flags.add(flag)

    def clear_flag(self, flag: BuilderFlag) -> None:
        self.flags.discard(flag)


class Builder:
    #: What a build logs as an error when it fails; None: it succeeds.
    failure: str | None = None
    #: What is logged when there is none to be had; None: there is.
    absence: str | None = None
    builds = finished = 0

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        if self.absence is not None:
            refuse(logger, self.absence)

    def create_network(self, flags: int = 0) -> NetworkDefinition:
        return NetworkDefinition(flags)

    def create_builder_config(self) -> BuilderConfig:
        return BuilderConfig()

    def build_serialized_network(self, network: NetworkDefinition, config: BuilderConfig) -> bytes | None:
        assert network.flags == 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED and BuilderFlag.TF32 not in config.flags
        type(self).builds += 1
        monitor = config.progress_monitor
        monitor.phase_start("Building engine", None, 2)
        for step in range(2):
            monitor.phase_start("Timing tactics", "Building engine", 4)
            for tactic in range(4):
                if not monitor.step_complete("Timing tactics", tactic):
                    return None
            monitor.phase_finish("Timing tactics")
            if not monitor.step_complete("Building engine", step):
                return None
        monitor.phase_finish("Building engine")
        type(self).finished += 1
        if self.failure is not None:
            self._logger.log(ILogger.Severity.ERROR, self.failure)
            return None
        capturable = b"1" if BuilderFlag.REQUIRE_USER_ALLOCATION in config.flags else b"0"
        return MAGIC + capturable + network.onnx


class Runtime:
    cuda: FakeCuda
    context: type[ExecutionContext]
    #: As of ``Builder``; ``failure`` is of reading a plan.
    failure: str | None = None
    absence: str | None = None

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        if self.absence is not None:
            refuse(logger, self.absence)

    def deserialize_cuda_engine(self, plan: bytes) -> CudaEngine | None:
        failure = self.failure or (None if plan.startswith(MAGIC) else "Magic tag does not match")
        if failure is not None:
            self._logger.log(ILogger.Severity.ERROR, failure)
            return None
        engine = CudaEngine(plan[len(MAGIC) + 1 :], self.cuda, self.context)
        engine.capturable = plan[len(MAGIC)] == ord("1")
        return engine


class CudaEngine:
    device_memory_size_v2 = SCRATCH
    capturable = False

    def __init__(self, model: bytes, cuda: FakeCuda, context: type[ExecutionContext]) -> None:
        graph = onnx.load_from_string(model).graph
        self.session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        self.ports = {port.name: port for port in [*graph.input, *graph.output]}
        self.inputs = [port.name for port in graph.input]
        self.cuda, self._context = cuda, context

    @property
    def num_io_tensors(self) -> int:
        return len(self.ports)

    def get_tensor_name(self, index: int) -> str:
        return list(self.ports)[index]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        dims = self.ports[name].type.tensor_type.shape.dim
        return tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in dims)

    def get_tensor_dtype(self, name: str) -> int:
        return int(self.ports[name].type.tensor_type.elem_type)

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self.inputs else TensorIOMode.OUTPUT

    def create_execution_context(self, strategy: ExecutionContextAllocationStrategy) -> ExecutionContext:
        assert strategy == ExecutionContextAllocationStrategy.USER_MANAGED
        return self._context(self)

    def array(self, name: str, address: int) -> np.ndarray[Any, Any]:
        """The memory of a port at an address."""
        shape, dtype = self.get_tensor_shape(name), nptype(self.get_tensor_dtype(name))
        nbytes = prod(shape) * np.dtype(dtype).itemsize
        assert self.cuda.whole(address, nbytes, "device"), f"{name} is not in device memory"
        return np.ctypeslib.as_array((ctypes.c_ubyte * nbytes).from_address(address)).view(dtype).reshape(shape)


class ExecutionContext:
    def __init__(self, engine: CudaEngine) -> None:
        self._engine = engine
        self._addresses: dict[str, int] = {}
        self._memory: tuple[int, int] | None = None
        self._ran = self._captured = False

    def set_device_memory(self, memory: int, size: int) -> None:
        assert self._engine.cuda.whole(memory, size, "device") and size >= SCRATCH
        self._memory = (memory, size)

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return name in self._engine.ports and memory % ALIGNMENT == 0

    def execute_async_v3(self, stream_handle: int) -> bool:
        stream, engine = self._engine.cuda.streams[stream_handle], self._engine
        if self._memory is None or self._addresses.keys() != engine.ports.keys():
            return False
        if stream.captured is not None:
            if not self._ran or self._captured:
                return False
            self._captured = True
        addresses = dict(self._addresses)  # those of now, whatever is set later

        def run() -> None:
            feed = {name: engine.array(name, addresses[name]).copy() for name in engine.inputs}
            names = [name for name in engine.ports if name not in engine.inputs]
            self._ran = True
            for name, result in zip(names, engine.session.run(names, feed), strict=True):
                engine.array(name, addresses[name])[...] = result

        engine.cuda.enqueue(stream, run)
        return True


class RtxExecutionContext(ExecutionContext):
    """TensorRT for RTX can tell beforehand whether a run can be captured."""

    def is_stream_capturable(self, stream: int) -> bool:
        return self._engine.capturable


def nptype(dtype: int) -> Any:
    return onnx.helper.tensor_dtype_to_np_dtype(dtype).type


def make_module(name: str, version: str, cuda: FakeCuda) -> ModuleType:
    """The module ``tensorrt`` or ``tensorrt_rtx`` on a FakeCuda."""
    module: Any = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)  # torch looks at that of every module
    module.__version__ = version
    module.ILogger, module.IProgressMonitor, module.OnnxParser = ILogger, IProgressMonitor, OnnxParser
    module.NetworkDefinitionCreationFlag, module.BuilderFlag = NetworkDefinitionCreationFlag, BuilderFlag
    module.ExecutionContextAllocationStrategy, module.TensorIOMode = ExecutionContextAllocationStrategy, TensorIOMode
    module.nptype, module.bfloat16, module.fp8 = nptype, onnx.TensorProto.BFLOAT16, onnx.TensorProto.FLOAT8E4M3FN
    context = RtxExecutionContext if name == "tensorrt_rtx" else ExecutionContext
    module.Builder = type("Builder", (Builder,), {})
    module.Runtime = type("Runtime", (Runtime,), {"cuda": cuda, "context": context})
    return module
