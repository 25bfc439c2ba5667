"""Operations counted from an ONNX file, against hand formulas and against torch's own counter."""

import math

import onnx
import pytest
import torch
from helpers.models import SIZE, make_model
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from torch.utils.flop_counter import FlopCounterMode

from vidpred_ros.bench.flops import Work, count_work
from vidpred_ros.engines import GraphSpec, exported_file
from vidpred_ros.engines.graph import make_graph
from vidpred_ros.errors import EngineError
from vidpred_ros.models import find_model


def save(path, nodes, inputs, outputs):
    def values(shapes):
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]

    graph = helper.make_graph(nodes, "tiny", values(inputs), values(outputs))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def test_hand_counted_layers(tmp_path):
    """Shapes between nodes come from shape inference; an addition and a bias are no matrix product."""
    path = save(
        tmp_path / "layers.onnx",
        [
            helper.make_node("Conv", ["x", "w", "b"], ["a"], pads=[1, 1, 1, 1], strides=[2, 2], group=2),
            helper.make_node("Relu", ["a"], ["r"]),
            helper.make_node("ConvTranspose", ["r", "t"], ["u"], strides=[2, 2]),
        ],
        {"x": [1, 4, 16, 20], "w": [6, 2, 3, 3], "b": [6], "t": [6, 5, 2, 2]},
        {"u": [1, 5, 16, 20]},
    )
    conv, transposed = 2 * (6 * 8 * 10) * (2 * 3 * 3), 2 * (6 * 8 * 10) * (5 * 2 * 2)
    elements = (4 * 16 * 20 + 6 * 2 * 9 + 6 + 480) + (480 + 6 * 5 * 4 + 5 * 16 * 20)
    # of 3 taps on 16 rows and 20 columns, stride 2, one in 8 and one in 10 places falls on padding once
    inside = (8 * 3 - 1) * (10 * 3 - 1) / (8 * 3 * 10 * 3)
    assert count_work(path) == Work(conv + transposed, round(conv * inside) + transposed, elements)
    assert count_work(path).bytes("bf16") == 2 * elements


@settings(max_examples=40)
@given(
    image=st.lists(st.integers(3, 9), min_size=2, max_size=3),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    padding=st.integers(0, 2),
)
def test_products_with_padding_are_told_apart(tmp_path_factory, image, kernel, stride, dilation, padding):
    """A convolution of ones with ones adds up exactly the products that are not with padding."""
    sides, axes = [dilation * (kernel - 1) + side for side in image], len(image)
    x, w = torch.ones(2, 3, *sides, dtype=torch.float64), torch.ones(4, 3, *[kernel] * axes, dtype=torch.float64)
    convolve = torch.nn.functional.conv2d if axes == 2 else torch.nn.functional.conv3d
    y = convolve(x, w, stride=stride, padding=padding, dilation=dilation)
    attributes = {"strides": [stride] * axes, "dilations": [dilation] * axes, "pads": [padding] * 2 * axes}
    path = save(
        tmp_path_factory.mktemp("conv") / "conv.onnx",
        [helper.make_node("Conv", ["x", "w"], ["y"], **attributes)],
        {"x": x.shape, "w": w.shape},
        {"y": y.shape},
    )
    work = count_work(path)
    assert work.useful_flops == 2 * y.sum().item()
    assert work.flops == 2 * y.numel() * 3 * kernel**axes


@pytest.mark.parametrize(("transposed", "shape"), [(0, [3, 7]), (1, [7, 3])])
def test_products(tmp_path, transposed, shape):
    path = save(
        tmp_path / "products.onnx",
        [helper.make_node("Gemm", ["x", "w"], ["g"], transA=transposed), helper.make_node("MatMul", ["s", "g"], ["m"])],
        {"x": shape, "w": [7, 5], "s": [2, 4, 3]},
        {"m": [2, 4, 5]},
    )
    assert count_work(path).flops == 2 * 3 * 7 * 5 + 2 * (2 * 4) * 3 * 5


def test_open_shapes_are_refused(tmp_path):
    path = save(tmp_path / "open.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": ["n", 3], "w": [3, 2]}, {"y": ["n", 2]})
    with pytest.raises(EngineError, match="not fixed"):
        count_work(path)


@pytest.mark.parametrize(("form", "spec"), [("paper", GraphSpec("whole", steps=2)), ("tree", GraphSpec("stream"))])
def test_a_network_against_torchs_counter(tmp_path, tiny_model, form, spec):
    paper = {"head": "pixels", "motion_prior": "none", "sway": False, "steady": False, "rollout": "recursive"}
    model = find_model(str(tiny_model if form == "tree" else make_model(tmp_path, "paper", form=form, **paper)))
    graph = make_graph(model, spec)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        graph(*graph.inputs(SIZE).values())
    work = count_work(exported_file(model, spec))
    assert work.flops == counter.get_total_flops() > work.useful_flops
    assert work.elements > sum(math.prod(p.shape) for p in graph.parameters())
