"""Q/DQ: a float32 graph with its convolutions in eight bits, by ranges that were measured (``calibration.py``).

Symmetric, zero point 0, weights per output channel, activations per tensor: the one form that TensorRT takes and that OpenVINO
and ONNX Runtime fuse as well. A value is quantised where it is made, ahead of what only moves it (concatenations, pixel shuffles),
so that the convolution that makes it writes bytes and all that lies between two convolutions moves bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from vidpred_ros.errors import EngineError

#: NumPy's types of values and their largest. fp8 is E4M3, the one that TensorRT computes convolutions in.
KINDS: dict[str, tuple[Any, float]] = {"int8": (np.int8, 127), "uint8": (np.uint8, 255), "fp8": (ml_dtypes.float8_e4m3fn, 448)}
#: ONNX moves fp8 about from this opset on; since 20 nothing else that we use changed in it.
FP8_OPSET = 21
#: Operators that move values about and compute nothing.
MOVES = {
    *("Concat", "Split", "Slice", "Gather", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "DepthToSpace", "Identity"),
}
#: Operators whose output is never negative, and those whose output is not where their inputs are not.
POSITIVE, KEEPS_SIGN = {"Relu", "Sigmoid", "Softmax"}, {"Add", "Mul", "MaxPool", "AveragePool", "Resize", "Pad", *MOVES}


def quantise(proto: onnx.ModelProto, ranges: Mapping[str, float], kind: str = "int8") -> onnx.ModelProto:
    """``proto`` (float32) with the convolutions that ``ranges`` names in int8, or fp8, which TensorRT alone computes in.

    ``ranges``: largest absolute value of a convolution's input by the name of its weight; a convolution without one stays in
    float32. ``kind`` "uint8": values that cannot be negative as uint8, twice as fine, which TensorRT does not have. Scales of the
    others are numbers that float16 holds, which they may be cast to. Streaming states that are quantised go in and out as bytes.
    Raises EngineError when ``ranges`` names no convolution of the graph.
    """
    made = onnx.ModelProto.FromString(proto.SerializeToString())
    _Quantiser(made.graph, ranges, kind).rewrite()
    for opset in made.opset_import:
        if kind == "fp8" and opset.domain in ("", "ai.onnx"):
            opset.version = max(opset.version, FP8_OPSET)
    return made


class _Quantiser:
    def __init__(self, graph: onnx.GraphProto, ranges: Mapping[str, float], kind: str) -> None:
        self.graph, self.kind = graph, kind
        self.constants = {t.name: t for t in graph.initializer}
        self.makers = {name: node for node in graph.node for name in node.output}
        self.users: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in set(node.input):
                self.users.setdefault(name, []).append(node)
        self.ports = {o.name for o in graph.output}
        self.inputs = {i.name for i in graph.input}
        self.convolutions = [n for n in graph.node if n.op_type == "Conv" and n.input[1] in ranges and n.input[1] in self.constants]
        if not self.convolutions:
            raise EngineError("the ranges for int8 are those of another network: none of its convolutions is in this graph")
        self.ranges = ranges
        self.group: dict[str, set[str]] = {}  # by source: all sources that share its scale
        self.scale: dict[str, float] = {}
        for node in self.convolutions:
            self._join(self.sources(node.input[0]), ranges[node.input[1]])

    def sources(self, name: str) -> list[str]:
        """The values at which what a convolution sees is quantised: itself, or those that were moved to where it is."""
        node = self.makers.get(name)
        if node is None or node.op_type not in MOVES or not self._goes_to_convolutions(name):
            return [name]
        moved = list(node.input if node.op_type == "Concat" else node.input[:1])
        if any(one in self.constants for one in moved):
            return [name]
        return [source for one in moved for source in self.sources(one)]

    def _goes_to_convolutions(self, name: str) -> bool:
        return name not in self.ports and all(
            user.op_type == "Conv" or (user.op_type in MOVES and all(self._goes_to_convolutions(o) for o in user.output))
            for user in self.users.get(name, [])
        )

    def _join(self, sources: Iterable[str], limit: float) -> None:
        """Values that meet in one tensor share a scale, the widest that one of their convolutions asks for."""
        joined = set().union(*(self.group.get(source, {source}) for source in sources))
        widest = max([limit, *(self.scale.get(source, 0.0) for source in joined)])
        for source in joined:
            self.group[source], self.scale[source] = joined, widest

    def positive(self, name: str) -> bool:
        """Whether a value cannot be negative."""
        node = self.makers.get(name)
        if name in self.constants:
            return bool((numpy_helper.to_array(self.constants[name]) >= 0).all())
        if node is None:
            state = name.removeprefix("past_")
            return state != name and state in self.makers and self.positive(state)
        if node.op_type == "Clip":
            return len(node.input) > 1 and node.input[1] in self.constants and self.positive(node.input[1])
        data = [i for i in node.input if i] if node.op_type in ("Concat", "Add", "Mul") else node.input[:1]
        return node.op_type in POSITIVE or (node.op_type in KEEPS_SIGN and all(self.positive(one) for one in data))

    def rewrite(self) -> None:
        self.added: list[TensorProto] = []
        self.after: dict[str, list[onnx.NodeProto]] = {}  # nodes that follow the one that makes a value
        first: list[onnx.NodeProto] = []
        kinds = {one: self._kind_of(group) for one, group in self.group.items()}
        for source, kind in kinds.items():
            self._quantise_value(source, *KINDS[kind])
        for node in self.convolutions:
            if node.input[1] in self.constants:
                first.append(self._quantise_weight(node.input[1]))
        for node in self.convolutions:
            node.input[1] += "_dq"
        nodes = [*first, *(node for port in self.graph.input for node in self.after.get(port.name, []))]
        for node in self.graph.node:
            nodes += [node, *(added for name in node.output for added in self.after.get(name, []))]
        used = {name for node in nodes for name in node.input}
        kept = [t for t in self.graph.initializer if t.name in used]
        del self.graph.node[:], self.graph.initializer[:], self.graph.value_info[:]
        self.graph.node.extend(nodes)
        self.graph.initializer.extend([*kept, *self.added])

    def _kind_of(self, group: set[str]) -> str:
        if self.kind == "uint8" and not all(map(self.positive, group)):
            return "int8"
        return self.kind

    def _quantise_value(self, source: str, kind: Any, largest: float) -> None:
        scale, zero = f"{source}_scale", f"{source}_zero"
        self.added += [
            numpy_helper.from_array(self._scales(np.array(self.scale[source] / largest, np.float32)), scale),
            _tensor(np.array(0, kind), zero),
        ]
        for user in self.users.get(source, []):
            if user.op_type in ("Conv", "Add") or (user.op_type in MOVES and all(map(self._goes_to_convolutions, user.output))):
                for i, name in enumerate(user.input):
                    if name == source:
                        user.input[i] = f"{source}_dq"
        quantised = f"{source}_q"
        if self._is_state(source):  # bytes come in
            port = next(i for i in self.graph.input if i.name == source)
            port.type.tensor_type.elem_type = _onnx_type(kind)
            quantised = source
            self._state_goes_out(source.removeprefix("past_"), port.type.tensor_type.elem_type)
            found = []
        else:
            found = [helper.make_node("QuantizeLinear", [source, scale, zero], [quantised], name=quantised)]
        found.append(helper.make_node("DequantizeLinear", [quantised, scale, zero], [f"{source}_dq"], name=f"{source}_dq"))
        self.after[source] = found

    def _is_state(self, source: str) -> bool:
        """Whether a value is a streaming state that goes out as it comes in: moved from a value of the same scale."""
        state = source.removeprefix("past_")
        if source not in self.inputs or state == source or state not in self.ports:
            return False
        made = self._moved_from(state)
        return made in self.group and source in self.group[made]

    def _moved_from(self, name: str) -> str:
        """The value that a state is, before it was laid out for going out."""
        node = self.makers[name]
        return self._moved_from(node.input[0]) if node.op_type in ("Transpose", "Squeeze", "Identity") else name

    def _state_goes_out(self, state: str, kind: int) -> None:
        """The bytes of a quantised value, laid out as the state is."""
        next(o for o in self.graph.output if o.name == state).type.tensor_type.elem_type = kind
        node = self.makers[state]
        while node.input[0] != self._moved_from(state):
            node = self.makers[node.input[0]]
        node.input[0] += "_q"

    def _quantise_weight(self, name: str) -> onnx.NodeProto:
        weight = numpy_helper.to_array(self.constants.pop(name))
        per_channel = np.abs(weight).reshape(len(weight), -1).max(axis=1)
        kind, largest = KINDS["int8" if self.kind == "uint8" else self.kind]
        scale = self._scales((np.maximum(per_channel, 1e-12) / largest).astype(np.float32))
        scaled = weight / scale.reshape(-1, *[1] * (weight.ndim - 1))
        rounded = scaled.astype(kind) if self.kind == "fp8" else np.rint(scaled).astype(kind)
        names = [f"{name}_q", f"{name}_scale", f"{name}_zero"]
        values = [rounded, scale, np.zeros(len(weight), kind)]
        self.added += [_tensor(value, one) for one, value in zip(names, values, strict=True)]
        return helper.make_node("DequantizeLinear", names, [f"{name}_dq"], name=f"{name}_dq", axis=0)

    def _scales(self, wanted: NDArray[np.float32]) -> NDArray[np.float32]:
        return wanted if self.kind == "uint8" else next_half(wanted)


def next_half(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Positive values, each raised to the next one that float16 holds, 2**-24 and its multiples below 6e-5.

    What is rounded by such a scale is rounded by the one that is written, however coarse; none becomes 0, which TensorRT refuses.
    """
    nearest = values.astype(np.float16)
    return np.where(nearest < values, np.nextafter(nearest, np.float16(np.inf)), nearest).astype(np.float32)


def _tensor(values: NDArray[Any], name: str) -> TensorProto:
    return helper.make_tensor(name, _onnx_type(values.dtype.type), values.shape, values.tobytes(), raw=True)


def _onnx_type(kind: Any) -> int:
    """ONNX's number of a NumPy type; older releases of onnx do not know those of ml_dtypes."""
    return TensorProto.FLOAT8E4M3FN if kind is ml_dtypes.float8_e4m3fn else helper.np_dtype_to_tensor_dtype(np.dtype(kind))
