"""OpenVINO on the CPU: the default where there is no GPU."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from vidpred_ros.engines.base import Arrays, as_numpy, bf16_is_native, check_inputs
from vidpred_ros.engines.streaming import HostStream, delays_of, states_alone
from vidpred_ros.errors import EngineError

log = logging.getLogger(__name__)
HINTS = {"fp32": "f32", "bf16": "bf16"}
#: NumPy has no bfloat16; a state in it is handed on as it is.
BF16 = openvino.Type.bf16


class OpenvinoEngine:
    """Runs an exported file. Outputs are copies, unless ``into`` says where they go: then they are written there at once.

    ``shapes`` fix inputs by name that the file leaves open. Not to give ``forecasts`` is to make a streaming graph's states alone.
    """

    name = "openvino"

    def __init__(self, path: Path, precision: str, shapes: Mapping[str, tuple[int, ...]] = {}, forecasts: bool = True) -> None:
        self._path = path
        self._short: OpenvinoEngine | None = None
        floats = ("bf16" if bf16_is_native() else "fp32") if precision == "int8" else precision  # what is not int8
        hints = {"INFERENCE_PRECISION_HINT": HINTS[floats], "PERFORMANCE_HINT": "LATENCY"}
        try:
            core = openvino.Core()
            model = core.read_model(path if forecasts else states_alone(path))
            if shapes:
                model.reshape({name: list(shape) for name, shape in shapes.items()})
            info = model.rt_info["framework"] if "framework" in model.rt_info else {}  # noqa: SIM401 - RTMap has no get
            self.metadata = {name: value.astype(str) for name, value in info.items()}
            if hints["INFERENCE_PRECISION_HINT"] == "bf16":
                model = _keep_states_as_they_are(model, list(delays_of(self.metadata)))
            self._request = _compile(core, model, hints, fall_back=precision == "int8").create_infer_request()
        except Exception as error:  # noqa: BLE001 - the library has its own kinds for a damaged file
            raise EngineError(f"{path} is no usable ONNX file ({error}); delete it and it is made again") from None
        self.precision = precision
        self.inputs = {port.any_name: tuple(port.shape) for port in model.inputs}
        self.outputs = {port.any_name: tuple(port.partial_shape.get_max_shape()) for port in model.outputs}
        self._types = {port.any_name: port.element_type for port in (*model.inputs, *model.outputs)}
        self.dtypes = {name: np.dtype(np.uint16) if t == BF16 else t.to_dtype() for name, t in self._types.items()}
        # by order: while it compiles, a port may take the name of a layer beside its own
        self._own = {name: self._request.get_output_tensor(i) for i, name in enumerate(self.outputs)}
        self._at: dict[str, int] = {}  # where each output goes now, if not to memory of the request

    def infer(self, arrays: Mapping[str, NDArray[Any]], into: Mapping[str, NDArray[Any]] | None = None) -> Arrays:
        wrong = "it is closed" if self._request is None else check_inputs(self.inputs, self.dtypes, arrays)
        if wrong:
            raise EngineError(f"openvino: {wrong}")
        plain = as_numpy(arrays)
        for i, name in enumerate(self.inputs):
            self._request.set_input_tensor(i, self._tensor(name, plain[name]))
        for i, name in enumerate(self.outputs):
            self._point(i, name, (into or {}).get(name))
        self._request.infer()
        return {name: into[name] if into and name in into else own.data.copy() for name, own in self._own.items()}

    def _tensor(self, name: str, array: NDArray[Any]) -> openvino.Tensor:
        if self._types[name] == BF16:
            return openvino.Tensor(array, openvino.Shape(array.shape), BF16)
        return openvino.Tensor(array, shared_memory=True)

    def _point(self, i: int, name: str, array: NDArray[Any] | None) -> None:
        """Send an output to the array, or back to the request's own memory."""
        if array is not None:
            self._request.set_output_tensor(i, self._tensor(name, array))
            self._at[name] = i
        elif self._at.pop(name, None) is not None:
            self._request.set_output_tensor(i, self._own[name])

    def stream(self) -> HostStream:
        if self._short is None:
            self._short = OpenvinoEngine(self._path, self.precision, forecasts=False)
        return HostStream(self, self._short)

    def close(self) -> None:
        if self._short is not None:  # streams know it too
            self._short.close()
        self._request = self._short = None
        self._own = {}


def _compile(core: openvino.Core, model: openvino.Model, hints: dict[str, str], fall_back: bool) -> openvino.CompiledModel:
    """With ``fall_back`` in float32 where bfloat16 does not compile: seen with OpenVINO 2026.4 on networks of a few channels, with
    the first convolutions in float and the next in int8; never on a released model."""
    try:
        return core.compile_model(model, "CPU", hints)
    except RuntimeError as error:
        if not fall_back or hints["INFERENCE_PRECISION_HINT"] != "bf16":
            raise
        log.warning("OpenVINO cannot compile int8 beside bfloat16, so what is not int8 is float32 (%s)", " ".join(str(error).split()))
        return core.compile_model(model, "CPU", hints | {"INFERENCE_PRECISION_HINT": "f32"})


def _keep_states_as_they_are(model: openvino.Model, states: list[str]) -> openvino.Model:
    """The same with states in bfloat16, as the network leaves them: else each is converted to float and back for every frame."""
    if not states:
        return model
    ports, taken = openvino.preprocess.PrePostProcessor(model), {port.any_name for port in model.inputs}
    for name in states:
        if name.startswith("state") and model.output(name).element_type == openvino.Type.f32:  # those of convolutions
            ports.output(name).tensor().set_element_type(BF16)
            if f"past_{name}" in taken:
                ports.input(f"past_{name}").tensor().set_element_type(BF16)
    return ports.build()
