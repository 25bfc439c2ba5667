"""TensorRT on an NVIDIA GPU: TensorRT 10 and 11 and TensorRT for RTX, by one class. Imports no torch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from vidpred_ros.engines import cuda, plans
from vidpred_ros.engines.base import Arrays, Progress, cache_folder, check_inputs
from vidpred_ros.engines.choice import find_gpu
from vidpred_ros.engines.streaming import delays_of
from vidpred_ros.engines.tensorrt_build import Library, build, find_library, flags_text
from vidpred_ros.engines.tensorrt_network import Network, Step, UnreadablePlan
from vidpred_ros.errors import EngineError

#: Raises EngineError for arrays that are not of these shapes, or a closed engine.
Check = Callable[[Mapping[str, NDArray[Any]], Mapping[str, tuple[int, ...]]], None]


def open_tensorrt(path: Path, name: str, precision: str, progress: Progress | None = None) -> TensorrtEngine:
    """The engine of an exported file on this machine's GPU, from the cache or built now.

    ``name``: "tensorrt" or "tensorrt_rtx"; ``precision``: of the file. Raises EngineError when there is no GPU, the library is
    missing, or the engine cannot be built or run.
    """
    gpu, library = find_gpu(), find_library(name)
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # noqa: BLE001 - protobuf has its own kinds for a damaged file
        raise EngineError(f"{path} is no usable ONNX file ({error}); delete it and it is made again") from None
    key = plans.PlanKey(
        onnx_sha256=plans.sha256_of(path),
        library=str(library),
        gpu=gpu.name,
        compute_capability=gpu.capability,
        driver=cuda.driver_version(),
        precision=precision,
        shapes=", ".join(_shape_text(port) for port in [*model.graph.input, *model.graph.output]),
        flags=flags_text(library),
    )
    metadata = {entry.key: entry.value for entry in model.metadata_props}

    built: list[Path] = []

    def build_now(part: Path) -> None:
        build(path, part, library, progress)
        built.append(part)

    def ready() -> plans.Plan:
        return plans.ensure(cache_folder(), f"{path.stem}-{name}", key, metadata, build_now, progress)

    plan = ready()
    try:
        return TensorrtEngine(plan.path, plan.metadata, library, precision)
    except UnreadablePlan as error:
        if built:  # another one, minutes later, would be like it
            raise
        plans.discard(plan, str(error))
    plan = ready()
    return TensorrtEngine(plan.path, plan.metadata, library, precision)


def _shape_text(port: onnx.ValueInfoProto) -> str:
    dims = port.type.tensor_type.shape.dim
    return f"{port.name} {'x'.join(str(dim.dim_value) for dim in dims)}"


class TensorrtEngine:
    """Runs a plan. One step at a time: threads that share an engine wait for each other."""

    def __init__(self, plan: Path, metadata: Mapping[str, str], library: Library, precision: str) -> None:
        self.name, self.precision, self.metadata = library.name, precision, dict(metadata)
        self.plan = plan
        self._network = Network(plan, library)
        self.inputs, self.outputs, self.dtypes = self._network.inputs, self._network.outputs, self._network.dtypes
        self._step: Step | None = None
        self._spare: TensorrtStream | None = None
        self._closed = False
        self._lock = threading.Lock()
        try:  # now, while another engine can take this one's place if the GPU lacks memory
            if delays_of(metadata):
                self._spare = self._new_stream()
            else:
                self._step = self._network.step({})
        except BaseException:
            self.close()
            raise
        steps = self._spare.steps if self._spare else [self._step] if self._step else []
        self.captured = all(step.captured for step in steps)  # as CUDA graphs

    def infer(self, arrays: Mapping[str, NDArray[Any]], into: Mapping[str, NDArray[Any]] | None = None) -> Arrays:
        """Run once; the outputs named in ``into`` are written there. Raises EngineError for a missing, extra or ill-shaped
        input, and when the GPU fails."""
        with self._lock:
            self._check(arrays, self.inputs)
            if self._step is None:
                self._step = self._network.step({})
            return self._step.run(arrays, into)

    def stream(self) -> TensorrtStream:
        """A stream of frames, with no frame so far. Raises EngineError for a graph that does not stream."""
        if not delays_of(self.metadata):
            raise EngineError(f"{self._network.plan.name} does not stream")
        with self._lock:
            self._check({}, {})
            stream, self._spare = self._spare or self._new_stream(), None
            return stream

    def _new_stream(self) -> TensorrtStream:
        return TensorrtStream(self._network, delays_of(self.metadata), self._lock, self._check)

    def _check(self, arrays: Mapping[str, NDArray[Any]], shapes: Mapping[str, tuple[int, ...]]) -> None:
        wrong = "it is closed" if self._closed else check_inputs(shapes, self.dtypes, arrays)
        if wrong:
            raise EngineError(f"{self.name}: {wrong}")

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._network.close()
            self._step = self._spare = None


class TensorrtStream:
    """A stream of frames, or N in step, whose states stay on the GPU.

    Each state has a ring of slots, one more than the largest delay, and there is a captured step for each position in the
    rings, so that no address changes and nothing is copied but frames, flows and futures.
    """

    def __init__(self, network: Network, delays: Mapping[str, int], lock: threading.Lock, check: Check) -> None:
        self._network, self._lock, self._check = network, lock, check
        self._delays = dict(delays)
        self._slots = max(delays.values()) + 1
        self._cameras = next(network.inputs[f"past_{name}"][0] for name in delays)
        self._rings = {name: [self._slot(name) for _ in range(self._slots)] for name in delays}
        self.steps = [network.step(self._addresses(number)) for number in range(self._slots)]
        states = {f"past_{name}" for name in delays}
        self._inputs = {name: shape for name, shape in network.inputs.items() if name not in states}
        self._pass = 0
        self._zero(None)  # a step runs once while it is made

    def _slot(self, name: str) -> cuda.DeviceMemory:
        shape, dtype = self._network.outputs[name], self._network.dtypes[name]
        return self._network.own(cuda.DeviceMemory(int(np.prod(shape)) * dtype.itemsize))

    def _addresses(self, number: int) -> dict[str, int]:
        """Where the states of a pass lie: it reads the slots of earlier passes and writes slot ``number``."""
        past = {f"past_{name}": ring[(number - self._delays[name]) % self._slots] for name, ring in self._rings.items()}
        new = {name: ring[number] for name, ring in self._rings.items()}
        return {name: slot.address for name, slot in {**past, **new}.items()}

    def push(self, arrays: Mapping[str, NDArray[Any]], present: NDArray[np.bool_] | None = None) -> Arrays:
        """One pass: the inputs that are no states in, the outputs that are none out.

        ``present`` (N,), for a batch of cameras: the states of those that are absent stay as they were, and their outputs mean
        nothing. Raises EngineError as ``infer`` does.
        """
        with self._lock:
            self._check(arrays, self._inputs)
            results = self.steps[self._pass % self._slots].run(arrays)
            if present is not None:
                for camera in np.flatnonzero(~present):
                    self._move_along(int(camera))
            self._pass += 1
            return results

    def advance(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """A whole pass: on a GPU it takes less than the optical flow of the frame."""
        self.push(arrays)

    def _move_along(self, camera: int) -> None:
        """What earlier passes left stands one slot further on: for this camera there was no pass."""
        for name, ring in self._rings.items():
            for age in range(self._delays[name]):  # newest first, each over the one that has moved on
                newer, older = (ring[(self._pass - age - more) % self._slots] for more in (0, 1))
                row = newer.nbytes // self._cameras
                self._network.stream.on_device(newer.address + camera * row, older.address + camera * row, row)

    def clear(self, camera: int | None = None) -> None:
        """Forget all frames (of one camera). The zeros that stand in for them are gone from the states after 8 frames."""
        with self._lock:
            self._check({}, {})
            self._zero(camera)

    def _zero(self, camera: int | None) -> None:
        for ring in self._rings.values():
            for slot in ring:
                row = slot.nbytes // self._cameras
                start, nbytes = (0, slot.nbytes) if camera is None else (camera * row, row)
                self._network.stream.zero(slot.address + start, nbytes)
        self._network.stream.synchronize()
