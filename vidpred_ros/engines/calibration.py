"""Ranges for int8: how large the inputs of a network's convolutions get on real windows, and where it pays to clip them.

They are measured on the exported float32 graph, by ONNX Runtime, and kept under the names of the weights, which are the same in every
graph of a model. ``python -m training.calibrate`` writes them into the model's folder, so that int8 needs no data later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from vidpred_ros.engines.base import Arrays

#: Of a histogram of absolute values; an even number.
BINS = 4096
#: Clipping limits that are tried, as shares of the largest value, and the integers beyond zero that there are.
SHARES, LEVELS = np.linspace(0.2, 1.0, 161), 127


class Histogram:
    """Of absolute values: ``BINS`` bins from 0 to ``top``, which doubles when a larger value comes. Zeros do not count: they
    are exact at any scale."""

    def __init__(self) -> None:
        self.counts: NDArray[np.int64] = np.zeros(BINS, np.int64)
        self.top = 0.0
        self.largest = 0.0

    def add(self, values: NDArray[np.float32]) -> None:
        size = np.abs(values[values != 0])
        largest = float(size.max(initial=0.0))
        self.largest = max(self.largest, largest)
        if self.top == 0.0:
            self.top = largest
        while largest > self.top > 0.0:
            self.counts = np.concatenate([self.counts.reshape(-1, 2).sum(axis=1), np.zeros(BINS // 2, np.int64)])
            self.top *= 2
        if self.top > 0.0:
            indices = np.minimum((size * np.float32(BINS / self.top)).astype(np.int32), BINS - 1)
            self.counts += np.bincount(indices, minlength=BINS)

    def limit(self) -> float:
        """The clipping limit of the least squared error when ``LEVELS`` steps are spread over what is below it.

        A value below errs by a twelfth of a step squared, one beyond by what is cut off. 0 where all values are.
        """
        centres = (np.arange(BINS) + 0.5) * (self.top / BINS)
        limits = SHARES * self.largest
        cut = np.maximum(centres - limits[:, None], 0.0)  # limits x bins
        within = centres <= limits[:, None]
        errors = np.where(within, (limits[:, None] / LEVELS) ** 2 / 12, cut**2) @ self.counts
        return float(limits[np.argmin(errors)])


def measure(proto: onnx.ModelProto, feeds: Iterable[Mapping[str, NDArray[Any]]]) -> dict[str, Histogram]:
    """A histogram of the input of each convolution of a float32 graph over ``feeds``, by the name of its weight.

    A weight that several convolutions share has one histogram of all their inputs.
    """
    weights = {t.name for t in proto.graph.initializer}
    inputs = [(n.input[1], n.input[0]) for n in proto.graph.node if n.op_type == "Conv" and n.input[1] in weights]
    observed = onnx.ModelProto.FromString(proto.SerializeToString())
    del observed.graph.output[:]
    wanted = list(dict.fromkeys(name for _, name in inputs))
    observed.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in wanted)
    session = onnxruntime.InferenceSession(observed.SerializeToString(), providers=["CPUExecutionProvider"])
    histograms: dict[str, Histogram] = {weight: Histogram() for weight, _ in inputs}
    for feed in feeds:
        values: Arrays = dict(zip(wanted, session.run(wanted, dict(feed)), strict=True))
        for weight, name in inputs:
            histograms[weight].add(values[name])
    return histograms
