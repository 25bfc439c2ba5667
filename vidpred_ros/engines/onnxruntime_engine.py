"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from vidpred_ros.engines.base import Arrays, as_numpy, check_inputs
from vidpred_ros.engines.streaming import HostStream, states_alone
from vidpred_ros.errors import EngineError

DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8, "tensor(int8)": np.int8}


class OnnxruntimeEngine:
    """Runs an exported file in the precision that it is written in.

    ``shapes`` fix inputs by name that the file leaves open. Not to give ``forecasts`` is to make a streaming graph's states alone.
    """

    name = "onnxruntime"

    def __init__(
        self, path: Path, precision: str = "fp32", shapes: Mapping[str, tuple[int, ...]] = {}, forecasts: bool = True
    ) -> None:
        self._path = path
        self._short: OnnxruntimeEngine | None = None
        try:
            model = str(path) if forecasts else states_alone(path)
            self._session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 - the library has its own kinds for a damaged file
            raise EngineError(f"{path} is no usable ONNX file ({error}); delete it and it is made again") from None
        self.precision = precision
        self.metadata = dict(self._session.get_modelmeta().custom_metadata_map)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        self.inputs = {port.name: tuple(port.shape) for port in inputs} | dict(shapes)
        self.outputs = {port.name: tuple(port.shape) for port in outputs}
        self.dtypes = {port.name: np.dtype(DTYPES.get(port.type, np.float32)) for port in (*inputs, *outputs)}

    def infer(self, arrays: Mapping[str, NDArray[Any]], into: Mapping[str, NDArray[Any]] | None = None) -> Arrays:
        wrong = "it is closed" if self._session is None else check_inputs(self.inputs, self.dtypes, arrays)
        if wrong:
            raise EngineError(f"onnxruntime: {wrong}")
        binding = self._session.io_binding()
        for name, array in as_numpy(arrays).items():
            binding.bind_cpu_input(name, array)
        for name in self.outputs:
            if into and name in into:
                array = into[name]
                binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
            else:
                binding.bind_output(name)
        self._session.run_with_iobinding(binding)
        made = zip(self.outputs, binding.get_outputs(), strict=True)
        return {name: into[name] if into and name in into else value.numpy() for name, value in made}

    def stream(self) -> HostStream:
        if self._short is None:
            self._short = OnnxruntimeEngine(self._path, self.precision, forecasts=False)
        return HostStream(self, self._short)

    def close(self) -> None:
        if self._short is not None:  # streams know it too
            self._short.close()
        self._session = self._short = None
