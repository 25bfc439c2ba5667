"""CSIM: cosine similarity of VGG-16 features of a predicted frame and the true one (Lee 2021, section 4.1; Villegas 2019).

The papers do not say which features. Our reading: those of the last convolution (conv5_3, after its ReLU), the deepest that
keep their place in the picture, as one vector for each frame; frames at the resolution that is scored, normalised as ImageNet
wants them. Weights: ``pretrained.load_vgg16``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import ConfigError
from vidpred_ros.metrics.graph import Graph
from vidpred_ros.pretrained import load_vgg16

#: Convolutions of each block; a max-pool stands between blocks.
BLOCKS = (2, 2, 3, 3, 3)
#: ImageNet's colours, RGB in [0, 1].
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
#: Four pools: a frame of this side leaves one place.
MIN_SIDE = 16
CSIM_DEFINITION = (
    "cosine similarity of VGG-16 (ImageNet) features after the last convolution (conv5_3, ReLU), one vector for each frame at "
    "the model's own resolution (Lee 2021 names no layer: this is our reading), mean over windows; higher is better"
)


class Csim:
    """Cosine similarity in [0, 1] (features are not negative); 1 for equal frames.

    Raises ModelError, with what to do, when the weights, ``onnx`` or ``onnxruntime`` are missing.
    """

    def __init__(self, threads: int = 1) -> None:
        graph = Graph("csim")
        x = graph.add("Transpose", graph.add("Cast", "frames", to=1), perm=[0, 3, 1, 2])
        slope = graph.constant((1 / 255 / STD).reshape(1, 3, 1, 1).astype(np.float32))
        offset = graph.constant((-MEAN / STD).reshape(1, 3, 1, 1).astype(np.float32))
        x = graph.add("Add", graph.add("Mul", x, slope), offset)
        layers = iter(load_vgg16())
        for block, count in enumerate(BLOCKS):
            if block:
                x = graph.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
            for _ in range(count):
                weight, bias = next(layers)
                x = graph.add("Relu", graph.add("Conv", x, graph.constant(weight), graph.constant(bias), pads=[1] * 4))
        features = graph.add("Flatten", x, axis=1)
        self._session = graph.session({"frames": ["n", "h", "w", 3]}, [features], threads)

    def features(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """N vectors of N frames (NxHxWx3 uint8 RGB). Raises ConfigError for other shapes."""
        if frames.ndim != 4 or frames.shape[-1] != 3 or min(frames.shape[1:3]) < MIN_SIDE:
            raise ConfigError(f"CSIM wants frames NxHxWx3 of at least {MIN_SIDE} pixels a side, got {frames.shape}")
        return np.asarray(self._session.run(None, {"frames": np.ascontiguousarray(frames)})[0])

    def __call__(self, predicted: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[np.float64]:
        """N similarities of N pairs, each array NxHxWx3 uint8 RGB."""
        return cosine(self.features(predicted), self.features(truth))


def cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cosine of the angles between the rows of two matrices; 0 where one of them has no length."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    return np.divide((x * y).sum(1), lengths, out=np.zeros(len(x)), where=lengths > 0)
