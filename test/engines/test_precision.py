from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from vidpred_ros.engines import GraphSpec, exported_file, open_file
from vidpred_ros.engines.precision import bfloat16_bits, float_values, retype
from vidpred_ros.errors import ModelError
from vidpred_ros.models import ReleasedModel

FLOAT, UINT8, HALF, BF16 = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.FLOAT16, TensorProto.BFLOAT16


@pytest.fixture(scope="module")
def stream(tiny_model: Path) -> onnx.ModelProto:
    """A streaming tree with everything that the released ones have: warps, a motion gate, sway, steady velocities."""
    return onnx.load(exported_file(ReleasedModel(tiny_model), GraphSpec("stream", 2)))


def types(proto: onnx.ModelProto) -> dict[str, int]:
    """The type of every value of a graph, as ONNX infers it."""
    graph = onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True).graph
    found = {i.name: i.type.tensor_type.elem_type for i in (*graph.input, *graph.output, *graph.value_info)}
    return found | {t.name: t.data_type for t in graph.initializer}


def inputs(proto: onnx.ModelProto, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    found = {}
    for port in proto.graph.input:
        shape = [d.dim_value for d in port.type.tensor_type.shape.dim]
        bytes_ = port.type.tensor_type.elem_type == UINT8
        found[port.name] = rng.integers(0, 256, shape).astype(np.uint8) if bytes_ else rng.random(shape).astype(np.float32)
    return found


def run(proto: onnx.ModelProto, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    kinds = {i.name: np.float16 if i.type == "tensor(float16)" else arrays[i.name].dtype for i in session.get_inputs()}
    results = session.run(None, {name: arrays[name].astype(kind) for name, kind in kinds.items()})
    return dict(zip([o.name for o in session.get_outputs()], results, strict=True))


@pytest.mark.parametrize(("precision", "half"), [("fp16", HALF), ("bf16", BF16)])
def test_convolutions_are_half_and_geometry_is_not(stream: onnx.ModelProto, precision: str, half: int) -> None:
    made = retype(stream, precision)
    onnx.checker.check_model(made, full_check=True)
    kinds = types(made)
    by_operator: dict[str, set[int]] = {}
    for node in made.graph.node:
        by_operator.setdefault(node.op_type, set()).update(kinds[name] for name in node.input[:2] if name in kinds)
    assert by_operator["Conv"] == {half}
    for operator in ("GridSample", "ReduceMean", "ReduceL2", "AveragePool", "Gemm"):
        assert FLOAT in by_operator[operator] and half not in by_operator[operator], operator
    assert all(kinds[name] == half for name in kinds if name.endswith(("conv1.weight", "conv1.bias")))


def test_ports_keep_their_types_and_states_become_half(stream: onnx.ModelProto) -> None:
    before, after = types(stream), types(retype(stream, "fp16"))
    states = [o.name for o in stream.graph.output if o.name.startswith("state_")]
    assert len(states) == 12
    for state in states:
        assert after[state] == after[f"past_{state}"] == HALF
    for port in ("frames", "flows", "past_jolts", "jolts", "futures"):  # jolts are flow arithmetic
        assert after[port] == before[port], port


def test_weights_take_half_the_space_and_no_other_copy_stays(stream: onnx.ModelProto) -> None:
    def size(proto: onnx.ModelProto) -> int:
        return sum(len(t.raw_data) for t in proto.graph.initializer if "network" in t.name)

    assert size(retype(stream, "fp16")) < 0.52 * size(stream)
    assert len(retype(stream, "fp16").SerializeToString()) < 0.7 * len(stream.SerializeToString())


def test_half_computes_what_float_does(stream: onnx.ModelProto) -> None:
    arrays = inputs(stream)
    wanted, got = run(stream, arrays), run(retype(stream, "fp16"), arrays)
    apart = np.abs(got["futures"].astype(int) - wanted["futures"])
    assert apart.mean() < 0.3 and apart.max() <= 20  # of 255; where a flow has an edge, a little makes much
    for name in set(wanted) - {"futures"}:
        assert np.abs(got[name] - wanted[name]).max() <= 4e-3 * max(1.0, np.abs(wanted[name]).max()), name


def test_bfloat16_weights_are_torchs(stream: onnx.ModelProto) -> None:
    made = {t.name: t for t in retype(stream, "bf16").graph.initializer}
    name = "network.lateral.0.0.conv1.weight"
    weight = numpy_helper.to_array(next(t for t in stream.graph.initializer if t.name == name))
    found = next(t for key, t in made.items() if key.startswith(name))
    assert found.data_type == BF16
    wanted = torch.from_numpy(weight.copy()).bfloat16().view(torch.int16).numpy()
    assert np.array_equal(np.frombuffer(found.raw_data, np.int16).reshape(weight.shape), wanted)


@given(st.lists(st.floats(-(2.0**127), 2.0**127, width=32), min_size=1))
def test_rounding_to_bfloat16(values: list[float]) -> None:
    array = np.array(values, np.float32)
    assert np.array_equal(bfloat16_bits(array).view(np.int16), torch.from_numpy(array).bfloat16().view(torch.int16).numpy())


def graph_of(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], outputs: dict[str, list[int]]) -> onnx.ModelProto:
    """A graph of x (1, 2, 4, 4) float32."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", FLOAT, [1, 2, 4, 4])],
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_an_output_within_the_half_part_is_cast_and_a_constant_serves_both() -> None:
    """``y`` goes out as float32 and on in half; ``c`` is added to a half value and to a float32 one."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["y"]),
        helper.make_node("Add", ["y", "c"], ["z"]),
        helper.make_node("ReduceMean", ["z", "axes"], ["m"]),
        helper.make_node("Add", ["m", "c"], ["n"]),
    ]
    rng = np.random.default_rng(3)
    constants = {"w": rng.random((2, 2, 1, 1)).astype(np.float32), "c": np.ones((1, 1, 1, 1), np.float32), "axes": np.array([2, 3])}
    proto = graph_of(nodes, constants, {"y": [1, 2, 4, 4], "n": [1, 2, 1, 1]})
    made = retype(proto, "fp16")
    onnx.checker.check_model(made, full_check=True)
    kinds = types(made)
    assert kinds["y"] == FLOAT and kinds["z"] == HALF and kinds["m"] == kinds["c"] == FLOAT
    x = rng.random((1, 2, 4, 4)).astype(np.float32)
    wanted, got = run(proto, {"x": x}), run(made, {"x": x})
    for name in wanted:
        np.testing.assert_allclose(got[name], wanted[name], rtol=3e-3)


def test_a_weight_beyond_float16_is_refused() -> None:
    proto = graph_of([helper.make_node("Conv", ["x", "w"], ["y"])], {"w": np.full((1, 2, 1, 1), 7e4, np.float32)}, {"y": [1, 1, 4, 4]})
    with pytest.raises(ModelError, match="use bf16"):
        retype(proto, "fp16")
    assert types(retype(proto, "bf16"))["y"] == FLOAT


def test_float32_is_left_alone(stream: onnx.ModelProto) -> None:
    assert retype(stream, "fp32") is stream
    assert "past_jolts" in float_values(stream) and "frames" not in float_values(stream)


def some_ranges(stream: onnx.ModelProto) -> dict[str, float]:
    """Of all convolutions but the first ones and the head's, as calibration leaves it too."""
    names = [n.input[1] for n in stream.graph.node if n.op_type == "Conv"]
    return {name: 8.0 for name in names if "head" not in name and not name.startswith("network.bottom_up.0")}


@pytest.mark.parametrize(("precision", "runtimes"), [("int8", ("onnxruntime",)), ("uint8", ("openvino", "onnxruntime"))])
def test_integers_run_and_states_are_bytes(stream: onnx.ModelProto, precision: str, runtimes: tuple[str, ...], tmp_path: Path) -> None:
    arrays = inputs(stream)
    made = retype(stream, precision, some_ranges(stream))
    onnx.checker.check_model(made, full_check=True)
    path = tmp_path / "integers.onnx"
    onnx.save(made, path)
    constants = {t.name: numpy_helper.to_array(t) for t in made.graph.initializer}
    scales = {
        n.input[0]: float(constants[n.input[1]])
        for n in made.graph.node
        if n.op_type == "DequantizeLinear" and n.input[0].startswith("past_state")
    }
    wanted = run(stream, arrays)
    for name in runtimes:
        engine = open_file(name, path, "int8")
        states = {state for state in engine.inputs if state.startswith("past_state")}
        assert len(states) == 12 and all(engine.dtypes[state] == np.dtype(precision) for state in states)
        feed = {
            port: np.rint(arrays[port] / scales[port]).astype(engine.dtypes[port]) if port in states else arrays[port]
            for port in engine.inputs
        }
        got = engine.infer(feed)
        engine.close()
        apart = np.abs(got["futures"].astype(int) - wanted["futures"])
        assert apart.mean() < 1.0, name  # of 255, of noise, where what is sampled beside its place differs by 85
        for past in states:
            state = past.removeprefix("past_")
            restored = got[state].astype(np.float32) * scales[past]
            error = np.abs(restored - np.clip(wanted[state], 0, 8.0)).mean()
            assert error <= 2 * scales[past] + 0.02 * np.abs(wanted[state]).mean(), (name, state)


@pytest.mark.parametrize(("precision", "bytes_"), [("int8", TensorProto.INT8), ("fp8", TensorProto.FLOAT8E4M3FN)])
def test_around_eight_bits_it_is_half_as_in_the_file_of_fp16(stream: onnx.ModelProto, precision: str, bytes_: int) -> None:
    made, half = retype(stream, precision, some_ranges(stream)), retype(stream, "fp16")
    onnx.checker.check_model(made, full_check=precision == "int8")  # which does not know fp8's convolutions
    kinds = types(made)
    found = {(n.op_type, kinds[n.input[0]], kinds[n.input[1]], kinds[n.output[0]]) for n in made.graph.node if "zeLinear" in n.op_type}
    assert found == {("QuantizeLinear", HALF, HALF, bytes_), ("DequantizeLinear", bytes_, HALF, HALF)}
    in_half = types(half)
    for node in made.graph.node:
        if "zeLinear" not in node.op_type and node.op_type != "Cast":
            for name in set(node.output) & in_half.keys():
                same = kinds[name] == in_half[name] or (kinds[name] == bytes_ and in_half[name] == HALF)  # bytes that are moved
                assert same, (node.op_type, name)
    assert {kinds[n.input[0]] for n in made.graph.node if n.op_type in ("GridSample", "ReduceMean", "ReduceL2")} == {FLOAT}


def test_what_is_float32_is_quantised_as_float32() -> None:
    nodes = [helper.make_node("Softmax", ["x"], ["s"], axis=1), helper.make_node("Conv", ["s", "w"], ["y"])]
    proto = graph_of(nodes, {"w": np.ones((1, 2, 1, 1), np.float32)}, {"y": [1, 1, 4, 4]})
    made = retype(proto, "int8", {"w": 1.0})
    onnx.checker.check_model(made, full_check=True)
    kinds = types(made)
    assert [kinds[n.input[0]] for n in made.graph.node if n.op_type == "QuantizeLinear"] == [FLOAT]
    assert {kinds[n.output[0]] for n in made.graph.node if n.op_type == "DequantizeLinear"} == {HALF}
    x = np.random.default_rng(0).random((1, 2, 4, 4)).astype(np.float32)
    assert np.abs(run(made, {"x": x})["y"] - 1).max() < 1 / 127  # the sum of what a soft-max gives


@pytest.mark.parametrize("largest", [1.0, 5e-3, 6e-4, 2e-5, 1e-7])
def test_scales_that_float16_holds_with_few_bits_cost_no_more_than_eight_bits_do(largest: float) -> None:
    """127 steps of 2e-7 have no normal float16 scale, those of 1e-7 none but the smallest there is: 2**-24."""
    rng = np.random.default_rng(0)
    weight = rng.uniform(-1, 1, (4, 2, 3, 3)).astype(np.float32)
    weight[0] *= largest / np.abs(weight[0]).max()
    made = retype(graph_of([helper.make_node("Conv", ["x", "w"], ["y"])], {"w": weight}, {"y": [1, 4, 2, 2]}), "int8", {"w": 1.0})
    values = {t.name: numpy_helper.to_array(t) for t in made.graph.initializer}
    scale = values["w_scale_half"].astype(np.float32)
    assert values["w_scale_half"].dtype == np.float16 and (scale > 0).all()
    written = values["w_q"] * scale.reshape(-1, 1, 1, 1)
    step = np.abs(weight).reshape(4, -1).max(axis=1) / 127
    assert (np.abs(written - weight).reshape(4, -1).max(axis=1) <= 0.5 * step + 2.0**-24).all()
