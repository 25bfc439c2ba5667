"""Puts an ONNX graph together node by node and runs it on ONNX Runtime: feature networks of metrics need no torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import ModelError


class Graph:
    """A graph in the making; names of tensors are strings. Raises ModelError where ``onnx`` is missing."""

    def __init__(self, name: str) -> None:
        try:
            import onnx
        except ImportError as error:
            raise ModelError(f"{name} needs the package onnx: pip install onnx") from error
        self._onnx: Any = onnx
        self._name = name
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def constant(self, value: NDArray[Any]) -> str:
        name = f"constant{len(self._constants)}"
        self._constants.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """One node; returns the name of its output."""
        output = output or f"{operator.lower()}{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def session(self, inputs: dict[str, list[str | int]], outputs: list[str], threads: int) -> Any:
        """An ONNX Runtime session; ``inputs``: shapes (a string is a free dimension) of uint8 tensors."""
        try:
            import onnxruntime
        except ImportError as error:
            raise ModelError(f"{self._name} needs ONNX Runtime: pip install onnxruntime") from error
        helper, kinds = self._onnx.helper, self._onnx.TensorProto
        graph = helper.make_graph(
            self._nodes,
            self._name,
            [helper.make_tensor_value_info(name, kinds.UINT8, shape) for name, shape in inputs.items()],
            [helper.make_tensor_value_info(name, kinds.FLOAT, None) for name in outputs],
            self._constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
