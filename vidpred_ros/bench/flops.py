"""The work in an exported network: operations and bytes, counted from its ONNX file."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import onnx
from onnx import ModelProto, NodeProto, helper, shape_inference

from vidpred_ros.errors import EngineError

Shape = tuple[int, ...]
#: Bytes of an element, by the precision that a network runs in.
ELEMENT_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}


class Work(NamedTuple):
    """``flops``: a multiplication and an addition are two. ``elements``: of weights, inputs and outputs of the nodes counted."""

    flops: int  # products with padding too, as in torch.utils.flop_counter and most papers
    useful_flops: int  # without them: no kernel need do them
    elements: int

    def bytes(self, precision: str) -> int:
        """What has to move at least once if every element has the type of that precision."""
        return self.elements * ELEMENT_BYTES[precision]


def count_work(path: Path) -> Work:
    """The sum over all Conv, ConvTranspose, Gemm and MatMul nodes; what lies between is taken to be fused into them.

    Raises EngineError for a file whose shapes are open.
    """
    proto = shape_inference.infer_shapes(onnx.load(path), data_prop=True)
    shapes = _shapes(proto)
    flops = useful = elements = 0
    for node in proto.graph.node:
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            continue
        names = [name for name in (*node.input, node.output[0]) if name]
        missing = [name for name in names if name not in shapes]
        if missing:
            raise EngineError(f"{path}: the shape of {missing[0]} ({node.op_type}) is not fixed; export the network with fixed shapes")
        sides = [shapes[name] for name in names]
        counted = _flops(node, sides)
        flops += counted
        useful += round(counted * _inside(node, sides[0], sides[1])) if node.op_type == "Conv" else counted
        elements += sum(math.prod(one) for one in sides)
    return Work(flops, useful, elements)


def _flops(node: NodeProto, shapes: list[Shape]) -> int:
    """``shapes``: of the node's inputs, then of its output."""
    first, second, made = shapes[0], shapes[1], shapes[-1]
    if node.op_type == "Conv":  # weight: M x C/groups x kernel
        return 2 * math.prod(made) * math.prod(second[1:])
    if node.op_type == "ConvTranspose":  # weight: C x M/groups x kernel
        return 2 * math.prod(first) * math.prod(second[1:])
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return 2 * math.prod(made) * (first[0] if transposed else first[-1])


def _inside(node: NodeProto, image: Shape, weight: Shape) -> Fraction:
    """The share of a convolution's products whose pixel is no padding: along each side, then of all."""
    values = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    share = Fraction(1)
    for i, (side, kernel) in enumerate(zip(image[2:], weight[2:], strict=True)):
        stride, dilation = values.get("strides", [1] * 9)[i], values.get("dilations", [1] * 9)[i]
        before, after = (values["pads"][i], values["pads"][i + len(image) - 2]) if "pads" in values else (0, 0)
        starts = range(-before, side + after - dilation * (kernel - 1), stride)
        inside = sum(0 <= start + dilation * tap < side for start in starts for tap in range(kernel))
        share *= Fraction(inside, len(starts) * kernel)
    return share


def _shapes(proto: ModelProto) -> dict[str, Shape]:
    """Shapes by name, of all tensors whose sides are known."""
    graph = proto.graph
    shapes: dict[str, Shape] = {initial.name: tuple(initial.dims) for initial in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            shapes[node.output[0]] = tuple(helper.get_node_attr_value(node, "value").dims)
    for value in (*graph.value_info, *graph.input, *graph.output):
        sides = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(side.HasField("dim_value") for side in sides):
            shapes[value.name] = tuple(side.dim_value for side in sides)
    return shapes
