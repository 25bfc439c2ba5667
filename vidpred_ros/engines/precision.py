"""An exported float32 graph written anew in another precision: half or fp8 (for TensorRT) or int8 (for all engines).

TensorRT 11 takes precision from the graph only, so the types are written in. Half: convolutions and what lies between them, and
in TensorRT's files of eight bits what is not in eight bits of these.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from vidpred_ros.engines.base import EIGHT_BITS
from vidpred_ros.engines.quantise import quantise
from vidpred_ros.errors import ModelError

HALVES = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16, "int8": TensorProto.FLOAT16, "fp8": TensorProto.FLOAT16}
#: ONNX allows convolutions in bfloat16 from this opset on; since 20 nothing else that we use changed in it.
BF16_OPSET = 22
#: Computed in half whatever comes in. TensorRT for RTX (1.7) builds no transposed convolution in bfloat16.
CONVOLUTIONS: dict[int, set[str]] = {
    TensorProto.FLOAT16: {"Conv", "ConvTranspose", "DequantizeLinear"},
    TensorProto.BFLOAT16: {"Conv"},
}
#: Computed in half where all that comes in is half already. What is in neither set stays in float32: grid sampling, soft-max,
#: arg-max, top-k, logarithms, reductions.
BETWEEN = {
    *("Relu", "LeakyRelu", "Sigmoid", "Tanh", "Clip", "Add", "Sub", "Mul", "Div", "Neg", "Max", "Min"),
    *("Gemm", "MatMul", "MaxPool", "AveragePool", "Resize", "Pad"),
    *("Concat", "Split", "Slice", "Gather", "Expand", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"),
    *("DepthToSpace", "SpaceToDepth", "Identity"),
}
#: Inputs that are float32 whatever an operator computes in.
ALWAYS_FLOAT = {"Resize": (1, 2)}


def retype(proto: onnx.ModelProto, precision: str, ranges: Mapping[str, float] | None = None) -> onnx.ModelProto:
    """A float32 graph of ``engines/export.py`` in ``precision``, one of ``base.PRECISIONS``; "fp32" as it is.

    fp16 and bf16: convolutions and what lies between them in half, weights too; flows, coordinates, sampling, soft-max,
    arg-max, top-k and reductions in float32. Ports keep their types, except ``past_X`` and ``X`` of a streaming state that half
    operators make and take. int8, uint8 and fp8: see ``quantise``; ``ranges`` are those of a model's int8.json. What is not in
    eight bits is in int8 and fp8 as in fp16; in uint8, which is for CPUs, it is float32. Raises ModelError for a weight that
    float16 does not hold.
    """
    if precision == "fp32":
        return proto
    if precision in EIGHT_BITS:
        made = quantise(proto, ranges or {}, precision)
    else:
        made = onnx.ModelProto.FromString(proto.SerializeToString())
    if precision in HALVES:
        _Half(made, HALVES[precision]).rewrite()
    if precision == "bf16":
        for opset in made.opset_import:
            opset.version = max(opset.version, BF16_OPSET) if opset.domain in ("", "ai.onnx") else opset.version
    return made


class _Half:
    """One rewriting: which values become half, and the nodes with casts between them and the others."""

    def __init__(self, proto: onnx.ModelProto, half: int) -> None:
        self.graph, self.half = proto.graph, half
        self.constants = {t.name: t for t in self.graph.initializer}
        self.floats = float_values(proto)
        self.states = {i.name for i in self.graph.input if i.name.startswith("past_")} & self.floats
        while True:  # a state is half where it comes out as half: its input assumed so, until its output is not
            self.values = self._half_values()
            kept = {past for past in self.states if past.removeprefix("past_") in self.values}
            if kept == self.states:
                break
            self.states = kept

    def _half_values(self) -> set[str]:
        values = set(self.states)
        for node in self.graph.node:
            inputs = [name for name in self._typed_inputs(node) if name not in self.constants]
            between = node.op_type in BETWEEN and inputs and all(name in values for name in inputs)
            if node.op_type in CONVOLUTIONS[self.half] or between:
                values.update(name for name in node.output if name in self.floats)
        return values

    def _typed_inputs(self, node: onnx.NodeProto) -> list[str]:
        """The inputs that are of the type in which the operator computes."""
        fixed = ALWAYS_FLOAT.get(node.op_type, ())
        return [name for i, name in enumerate(node.input) if name in self.floats and i not in fixed]

    def rewrite(self) -> None:
        outputs = {o.name for o in self.graph.output}
        states = self.states | {past.removeprefix("past_") for past in self.states}
        self.casts: dict[tuple[str, int], str] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.made: dict[str, TensorProto] = {}
        for node in self.graph.node:
            # what is quantised is taken as it comes: float32 of a warp, half of a convolution
            half = any(name in self.values for name in (node.input[:1] if node.op_type == "QuantizeLinear" else node.output))
            wanted, typed = self.half if half else TensorProto.FLOAT, set(self._typed_inputs(node))
            fixed = ALWAYS_FLOAT.get(node.op_type, ())
            for i, name in enumerate(node.input):
                if name in typed and i not in fixed:
                    node.input[i] = self._as(name, wanted)
            self.nodes.append(node)
            for i, name in enumerate(node.output):
                if name in self.values and name in outputs and name not in states:  # the port keeps its type
                    node.output[i] = f"{name}_half"
                    self.casts |= {(name, self.half): node.output[i], (name, TensorProto.FLOAT): name}
                    self.nodes.append(_cast(node.output[i], name, TensorProto.FLOAT))
        self._replace()
        for port in (*self.graph.input, *self.graph.output):
            if port.name in states:
                port.type.tensor_type.elem_type = self.half

    def _as(self, name: str, wanted: int) -> str:
        """The value's name in the wanted type: itself, a constant rounded to half, or what a cast makes of it."""
        if wanted == (self.half if name in self.values else TensorProto.FLOAT):
            return self.casts.get((name, wanted), name)
        if (name, wanted) not in self.casts:
            other = self.casts[name, wanted] = f"{name}_{'half' if wanted == self.half else 'float'}"
            if name in self.constants:
                self.made[other] = _rounded(self.constants[name], other, self.half)
            else:
                source = self.casts.get((name, self.half), name) if name in self.values else name
                self.nodes.append(_cast(source, other, wanted))
        return self.casts[name, wanted]

    def _replace(self) -> None:
        used = {name for node in self.nodes for name in node.input}
        del self.graph.node[:], self.graph.value_info[:]
        self.graph.node.extend(self.nodes)
        kept = [t for t in self.graph.initializer if t.name in used]
        del self.graph.initializer[:]
        self.graph.initializer.extend([*kept, *self.made.values()])


def _cast(source: str, name: str, to: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [name], name=f"{name}_cast", to=to)


def float_values(proto: onnx.ModelProto) -> set[str]:
    """Names of all float32 values of a graph, its constants included."""
    graph = onnx.shape_inference.infer_shapes(proto).graph
    infos = [*graph.value_info, *graph.input, *graph.output]
    floats = {i.name for i in infos if i.type.tensor_type.elem_type == TensorProto.FLOAT}
    return floats | {t.name for t in graph.initializer if t.data_type == TensorProto.FLOAT}


def _rounded(tensor: TensorProto, name: str, half: int) -> TensorProto:
    """A float32 constant rounded to half. Raises ModelError where float16 does not hold it."""
    values = numpy_helper.to_array(tensor)
    if half == TensorProto.BFLOAT16:
        return TensorProto(name=name, data_type=half, dims=tensor.dims, raw_data=bfloat16_bits(values).tobytes())
    if values.size and not np.abs(values).max() <= np.finfo(np.float16).max:
        raise ModelError(f"{tensor.name} holds {np.abs(values).max():g}, which float16 does not; use bf16")
    return numpy_helper.from_array(values.astype(np.float16), name)


def bfloat16_bits(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """float32 rounded to the nearest bfloat16, ties to even, as bits (no infinities or NaNs among them)."""
    bits = values.astype("<f4").view("<u4").astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")
