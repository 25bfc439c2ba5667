"""OpenVINO on the CPU: the default where there is no GPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import openvino
from numpy.typing import NDArray

from vidpred_ros.engines.base import Arrays, as_numpy, check_inputs
from vidpred_ros.errors import EngineError

HINTS = {"fp32": "f32", "bf16": "bf16"}


class OpenvinoEngine:
    """Runs an exported file. Outputs are copies: the request's own memory is used again by the next call.

    ``shapes`` fix inputs by name that the file leaves open.
    """

    name = "openvino"

    def __init__(self, path: Path, precision: str, shapes: Mapping[str, tuple[int, ...]] = {}) -> None:
        hints = {"INFERENCE_PRECISION_HINT": HINTS[precision], "PERFORMANCE_HINT": "LATENCY"}
        try:
            core = openvino.Core()
            model = core.read_model(path)
            if shapes:
                model.reshape({name: list(shape) for name, shape in shapes.items()})
            self._request = core.compile_model(model, "CPU", hints).create_infer_request()
        except Exception as error:  # noqa: BLE001 - the library has its own kinds for a damaged file
            raise EngineError(f"{path} is no usable ONNX file ({error}); delete it and it is made again") from None
        self.precision = precision
        info = model.rt_info["framework"] if "framework" in model.rt_info else {}  # noqa: SIM401 - RTMap has no get
        self.metadata = {name: value.astype(str) for name, value in info.items()}
        self.inputs = {port.any_name: tuple(port.shape) for port in model.inputs}
        self.outputs = {port.any_name: tuple(port.partial_shape.get_max_shape()) for port in model.outputs}

    def infer(self, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
        wrong = check_inputs(self.inputs, arrays)
        if wrong:
            raise EngineError(f"openvino: {wrong}")
        results = self._request.infer(as_numpy(arrays), share_inputs=True)
        # by order: while it compiles, a port may take the name of a layer beside its own
        return dict(zip(self.outputs, results.to_tuple(), strict=True))

    def close(self) -> None:
        self._request = None
