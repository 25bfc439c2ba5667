"""Q/DQ against fake quantisation in NumPy and torch."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from vidpred_ros.engines.quantise import next_half, quantise
from vidpred_ros.errors import EngineError

#: 127 steps that float16 holds.
RANGES = {"first.weight": 127 / 32, "second.weight": 127 / 64}
SHAPE = (1, 3, 6, 8)
FP8 = ml_dtypes.float8_e4m3fn


def network(seed: int = 0) -> tuple[onnx.ModelProto, dict[str, NDArray[np.float32]]]:
    """x (1, 3, 6, 8) and past_state (1, 3, 4, 4) -> y (1, 4, 3, 4), state (1, 3, 4, 4), channels last: a convolution and a ReLU,
    joined with a state, and a convolution of both."""
    rng = np.random.default_rng(seed)
    weights = {
        "first.weight": rng.normal(0, 0.4, (4, 3, 3, 3)).astype(np.float32),
        "first.bias": rng.normal(0, 0.2, 4).astype(np.float32),
        "second.weight": rng.normal(0, 0.3, (4, 8, 1, 1)).astype(np.float32),
    }
    weights["second.weight"][1] *= 20  # a channel of its own size
    nodes = [
        helper.make_node("Conv", ["x", "first.weight", "first.bias"], ["c"], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Transpose", ["r"], ["state"], perm=[0, 2, 3, 1]),
        helper.make_node("Transpose", ["past_state"], ["p"], perm=[0, 3, 1, 2]),
        helper.make_node("Concat", ["p", "r"], ["both"], axis=1),
        helper.make_node("Conv", ["both", "second.weight"], ["y"]),
    ]
    ports = {"x": SHAPE, "past_state": (1, 3, 4, 4), "y": (1, 4, 3, 4), "state": (1, 3, 4, 4)}
    infos = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in ports.items()}
    graph = helper.make_graph(
        nodes,
        "g",
        [infos["x"], infos["past_state"]],
        [infos["y"], infos["state"]],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), weights


def rounded(x: NDArray[np.float32], limit: float, lowest: int, highest: int) -> NDArray[np.float32]:
    """Fake quantisation: ``limit`` is ``highest`` steps."""
    step = limit / highest
    return (np.clip(np.rint(x / step), lowest, highest) * step).astype(np.float32)


def rounded_weight(weight: NDArray[np.float32], unsigned: bool) -> NDArray[np.float32]:
    steps = np.abs(weight).reshape(len(weight), -1).max(axis=1) / 127
    steps = steps if unsigned else next_half(steps)
    return np.stack([rounded(w, 127 * float(step), -127, 127) for w, step in zip(weight, steps, strict=True)])


def reference(
    weights: dict[str, NDArray[np.float32]], x: NDArray[np.float32], past: NDArray[np.float32], unsigned: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    low, high = (0, 255) if unsigned else (-128, 127)
    first, second = (torch.from_numpy(rounded_weight(weights[f"{name}.weight"], unsigned)) for name in ("first", "second"))
    seen = torch.from_numpy(rounded(x, RANGES["first.weight"], -128, 127))
    c = F.conv2d(seen, first, torch.from_numpy(weights["first.bias"]), 2, 1)
    r = rounded(c.relu().numpy(), RANGES["second.weight"], low, high)
    both = torch.from_numpy(np.concatenate([past.transpose(0, 3, 1, 2), r], axis=1))
    y = F.conv2d(both, second)
    return y.numpy(), r.transpose(0, 2, 3, 1)


@pytest.mark.parametrize("unsigned", [False, True])
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_runtimes_compute_what_fake_quantisation_does(runtime: str, unsigned: bool, tmp_path: Path) -> None:
    proto, weights = network()
    made = quantise(proto, RANGES, "uint8" if unsigned else "int8")
    onnx.checker.check_model(made, full_check=True)
    rng = np.random.default_rng(1)
    x = rng.normal(0, 1.5, SHAPE).astype(np.float32)
    kind, levels = (np.uint8, 255) if unsigned else (np.int8, 127)
    step = RANGES["second.weight"] / levels
    past = rng.integers(0, 100, (1, 3, 4, 4)).astype(kind)
    if runtime == "onnxruntime":
        session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
        y, state = session.run(None, {"x": x, "past_state": past})
    else:
        onnx.save(made, tmp_path / "q.onnx")
        compiled = openvino.Core().compile_model(tmp_path / "q.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        results = compiled({"x": x, "past_state": past})
        y, state = results[0], results[1]
    wanted, wanted_state = reference(weights, x, past.astype(np.float32) * np.float32(step), unsigned)
    assert state.dtype == kind
    steps_apart = np.abs(state * np.float32(step) - wanted_state) / step
    assert steps_apart.max() <= 1.01 and steps_apart.mean() < 0.02  # a tie may go either way
    assert np.abs(y - wanted).max() <= 1.5 * step * np.abs(weights["second.weight"]).max()
    assert np.abs(y - wanted).mean() <= 0.02 * np.abs(wanted).mean()


def constants(proto: onnx.ModelProto) -> dict[str, NDArray[np.generic]]:
    return {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}


@pytest.mark.parametrize("unsigned", [False, True])
def test_the_form_is_the_one_that_tensorrt_takes(unsigned: bool) -> None:
    proto, weights = network()
    made = quantise(proto, RANGES, "uint8" if unsigned else "int8")
    values = constants(made)
    for node in made.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert not values[node.input[2]].any()  # zero points
            assert unsigned or values[node.input[2]].dtype == np.int8
            assert (values[node.input[1]] > 0).all()
    assert values["first.weight_q"].dtype == np.int8 and np.abs(values["first.weight_q"]).max(axis=(1, 2, 3)).tolist() == [127] * 4
    assert values["second.weight_scale"].shape == (4,)
    assert "first.weight" not in values and np.array_equal(values["first.bias"], weights["first.bias"])


def test_fp8_is_what_rounding_to_it_gives(tmp_path: Path) -> None:
    """ONNX Runtime has fp8 as a type and computes nothing in it, so that its graph must not be optimised."""
    proto, weights = network()
    made = quantise(proto, RANGES, "fp8")
    onnx.checker.check_model(made)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(1)
    x = rng.normal(0, 0.8, SHAPE).astype(np.float32)
    past = np.abs(rng.normal(0, 100, (1, 3, 4, 4))).astype(FP8)
    binding = session.io_binding()
    binding.bind_cpu_input("x", x)
    state = onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(past.view(np.uint8), TensorProto.FLOAT8E4M3FN)
    binding.bind_ortvalue_input("past_state", state)
    binding.bind_output("y")
    session.run_with_iobinding(binding)

    def fake(values: NDArray[np.float32], step: NDArray[np.float32]) -> torch.Tensor:
        return torch.from_numpy((values / step).astype(FP8).astype(np.float32) * step)

    def fake_weight(name: str) -> torch.Tensor:
        largest = np.abs(weights[name]).reshape(4, -1).max(axis=1).reshape(4, 1, 1, 1)
        return fake(weights[name], next_half((largest / 448).astype(np.float32)))

    before, step = (next_half(np.float32(RANGES[f"{name}.weight"] / 448)) for name in ("first", "second"))
    first = F.conv2d(fake(x, before), fake_weight("first.weight"), torch.from_numpy(weights["first.bias"]), 2, 1)
    seen = torch.from_numpy(past.astype(np.float32).transpose(0, 3, 1, 2) * step)
    both = torch.cat([seen, fake(first.relu().numpy(), step)], dim=1)
    wanted = F.conv2d(both, fake_weight("second.weight")).numpy()
    got = binding.copy_outputs_to_cpu()[0]
    assert np.abs(got - wanted).max() < 1e-2 * np.abs(wanted).max()
    assert [i.type.tensor_type.elem_type for i in made.graph.input] == [TensorProto.FLOAT, TensorProto.FLOAT8E4M3FN]


def test_a_value_is_quantised_where_it_is_made_and_once() -> None:
    made = quantise(network()[0], RANGES)
    assert [n.input[0] for n in made.graph.node if n.op_type == "QuantizeLinear"] == ["x", "r"]
    joined = next(n for n in made.graph.node if n.op_type == "Concat")
    assert list(joined.input) == ["p", "r_dq"]


def test_unsigned_is_for_what_cannot_be_negative() -> None:
    values = constants(quantise(network()[0], RANGES, kind="uint8"))
    assert values["x_zero"].dtype == np.int8
    assert values["r_zero"].dtype == values["past_state_zero"].dtype == np.uint8
    assert values["r_scale"] == values["past_state_scale"] == np.float32(RANGES["second.weight"] / 255)


def test_a_layer_without_a_range_stays_in_float() -> None:
    proto, weights = network()
    made = quantise(proto, {"first.weight": 3.0})
    values = constants(made)
    assert np.array_equal(values["second.weight"], weights["second.weight"]) and "first.weight_q" in values
    kinds = {i.name: i.type.tensor_type.elem_type for i in (*made.graph.input, *made.graph.output)}
    assert kinds["past_state"] == kinds["state"] == TensorProto.FLOAT  # nothing asks for it in bytes


def test_tensors_that_meet_share_the_wider_range() -> None:
    """One input of two convolutions, whose ranges differ, and of a sum, which is of the same values."""
    proto, _ = network()
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Conv", ["r", "a"], ["u"]),
        helper.make_node("Conv", ["r", "b"], ["v"]),
        helper.make_node("Add", ["u", "r"], ["w"]),
        helper.make_node("Sub", ["w", "v"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [proto.graph.input[0]],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, SHAPE)],
        [numpy_helper.from_array(np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1), name) for name in ("a", "b")],
    )
    made = quantise(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]), {"a": 1.0, "b": 4.0})
    assert constants(made)["r_scale"] == next_half(np.float32(4.0 / 127))
    assert [list(n.input) for n in made.graph.node if n.op_type == "Add"] == [["u", "r_dq"]]
    assert sum(n.op_type == "QuantizeLinear" for n in made.graph.node) == 1


@given(st.floats(2.0**-40, 2.0**15, width=32))
def test_scales_are_raised_to_the_next_that_float16_holds(value: float) -> None:
    found = next_half(np.float32(value))
    below = np.nextafter(found.astype(np.float16), np.float16(0))
    assert found.dtype == np.float32 and found == found.astype(np.float16)
    assert np.float32(below) < np.float32(value) <= found


def test_ranges_of_another_network_are_refused() -> None:
    with pytest.raises(EngineError, match="another network"):
        quantise(network()[0], {"third.weight": 1.0})
