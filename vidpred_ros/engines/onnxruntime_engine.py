"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from vidpred_ros.engines.base import Arrays, as_numpy, check_inputs
from vidpred_ros.errors import EngineError


class OnnxruntimeEngine:
    """Runs an exported file in float32. ``shapes`` fix inputs by name that the file leaves open."""

    name = "onnxruntime"
    precision = "fp32"

    def __init__(self, path: Path, shapes: Mapping[str, tuple[int, ...]] = {}) -> None:
        try:
            self._session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 - the library has its own kinds for a damaged file
            raise EngineError(f"{path} is no usable ONNX file ({error}); delete it and it is made again") from None
        self.metadata = dict(self._session.get_modelmeta().custom_metadata_map)
        self.inputs = {port.name: tuple(port.shape) for port in self._session.get_inputs()} | dict(shapes)
        self.outputs = {port.name: tuple(port.shape) for port in self._session.get_outputs()}

    def infer(self, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
        wrong = check_inputs(self.inputs, arrays)
        if wrong:
            raise EngineError(f"onnxruntime: {wrong}")
        return dict(zip(self.outputs, self._session.run(None, as_numpy(arrays)), strict=True))

    def close(self) -> None:
        self._session = None
