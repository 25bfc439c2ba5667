from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as arrays_of
from onnx import TensorProto, helper, numpy_helper

from vidpred_ros.engines.calibration import BINS, LEVELS, SHARES, Histogram, measure


def fake_quantised(x: np.ndarray, limit: float) -> np.ndarray:
    step = limit / LEVELS
    return np.clip(np.rint(x / step), -LEVELS, LEVELS) * step


@pytest.mark.parametrize("draw", ["normal", "relu", "heavy tail", "uniform"])
def test_the_limit_is_nearly_the_best_one(draw: str) -> None:
    """Against every limit tried on the values themselves."""
    rng = np.random.default_rng(0)
    x = {
        "normal": rng.normal(0, 2, 200_000),
        "relu": np.maximum(rng.normal(-0.5, 1, 200_000), 0),
        "heavy tail": rng.standard_t(3, 200_000),
        "uniform": rng.uniform(-3, 3, 200_000),
    }[draw].astype(np.float32)
    histogram = Histogram()
    for part in np.array_split(x, 7):
        histogram.add(part)

    def error(limit: float) -> float:
        return float(np.square(fake_quantised(x, limit) - x).mean())

    best = min(error(share * np.abs(x).max()) for share in SHARES)
    assert error(histogram.limit()) <= 1.03 * best


@settings(max_examples=50, deadline=None)
@given(st.lists(arrays_of(np.float32, st.integers(0, 20), elements=st.floats(-1e6, 1e6, width=32)), max_size=5))
def test_counts_are_those_of_all_values(parts: list[np.ndarray]) -> None:
    histogram = Histogram()
    for part in parts:
        histogram.add(part)
    values = np.abs(np.concatenate([np.zeros(0, np.float32), *parts]))
    assert histogram.counts.sum() == (values > 0).sum()
    assert histogram.largest == values.max(initial=0.0) and histogram.top >= histogram.largest
    if histogram.top > 0:
        edge = histogram.top / BINS
        middle = edge * (BINS // 2)
        beyond = int(histogram.counts[BINS // 2 :].sum())
        assert (values > middle + edge).sum() <= beyond <= (values > middle - edge).sum()


def test_zeros_alone_have_no_limit() -> None:
    histogram = Histogram()
    histogram.add(np.zeros((3, 4), np.float32))
    assert histogram.limit() == histogram.largest == 0.0


def test_the_inputs_of_every_convolution_are_measured() -> None:
    """Two convolutions share a weight: its range is of both inputs."""
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["u"]),
        helper.make_node("Mul", ["u", "ten"], ["v"]),
        helper.make_node("Conv", ["v", "b"], ["w"]),
        helper.make_node("Conv", ["x", "b"], ["y"]),
        helper.make_node("Add", ["w", "y"], ["z"]),
    ]
    constants = {"a": np.full((1, 1, 1, 1), -2, np.float32), "b": np.ones((1, 1, 1, 1), np.float32), "ten": np.float32(10)}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 2, 2])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 1, 2, 2])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    before = proto.SerializeToString()
    feeds = [{"x": np.array([[[[0, 1], [2, 3]]]], np.float32)}, {"x": np.full((1, 1, 2, 2), -4, np.float32)}]
    found = measure(proto, feeds)
    assert {name: one.largest for name, one in found.items()} == {"a": 4.0, "b": 80.0}
    assert found["a"].counts.sum() == 3 + 4 and found["b"].counts.sum() == 2 * (3 + 4)
    assert proto.SerializeToString() == before and isinstance(proto, onnx.ModelProto)
