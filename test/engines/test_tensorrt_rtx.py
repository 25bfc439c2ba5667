"""TensorRT for RTX's own parser and builder, on every graph of every released model: `make test-tensorrt`. It needs no GPU, and
nothing here runs on one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from helpers import fake_cuda, fake_tensorrt
from helpers.small_network import METADATA, small_file
from onnx import TensorProto, helper

from vidpred_ros.engines import cuda
from vidpred_ros.engines.base import EIGHT_BITS, GraphSpec, graphs_of
from vidpred_ros.engines.choice import PRECISIONS, find_gpu
from vidpred_ros.engines.tensorrt_build import Library, build, find_library, parse
from vidpred_ros.engines.tensorrt_engine import TensorrtEngine, open_tensorrt
from vidpred_ros.engines.tensorrt_network import UnreadablePlan
from vidpred_ros.errors import EngineError, ModelError
from vidpred_ros.models import ReleasedModel, find_model, list_models
from vidpred_ros.segmenters.onnx import _with_fixed_shapes

#: Cameras that are tried as one batch.
CAMERAS = 6


def released_graphs() -> Iterator[Any]:
    """Every graph of every released model, as nodes use them: five steps, eight futures of a stochastic model."""
    for model in list_models():
        config = model.card.network
        steps, samples = min(5, config.max_steps), 8 if config.noise_channels else 1
        for kind in graphs_of(config):
            batches = [1, CAMERAS] if config.kind == "hierarchical" and kind in ("whole", "stream") else [1]
            for batch in batches:
                name = f"{model.id}-{kind}-b{batch}"
                group = pytest.mark.xdist_group(name)  # one worker exports it once, for all precisions
                yield pytest.param(model.id, GraphSpec(kind, steps, samples, batch), id=name, marks=group)


@pytest.fixture(scope="module")
def library() -> Library:
    try:
        return find_library("tensorrt_rtx")
    except EngineError as error:
        pytest.skip(f"{error}; make test-tensorrt installs it")


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The exported float32 graph of a spec, each made once."""
    pytest.importorskip("torch", reason="needs torch to export")
    from vidpred_ros.engines import export

    folder = tmp_path_factory.mktemp("exports")

    @cache
    def exported(model_id: str, spec: GraphSpec) -> onnx.ModelProto:
        path = folder / f"{model_id}-{spec.kind}-b{spec.batch}.onnx"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(export, "parity", lambda *_: {})  # has tests of its own and takes most of the time
            export.export(find_model(model_id), spec, path)
        return onnx.load(path)

    return exported


def ranges_of(model: ReleasedModel, proto: onnx.ModelProto) -> dict[str, float]:
    """The model's own ranges for int8; where it has none, some for each convolution, so that the parser sees them all."""
    try:
        return model.int8.ranges
    except ModelError:
        return {node.input[1]: 3.0 for node in proto.graph.node if node.op_type == "Conv"}


@pytest.mark.parametrize("precision", PRECISIONS["tensorrt_rtx"])
@pytest.mark.parametrize(("model_id", "spec"), released_graphs())
def test_tensorrt_builds_it(
    library: Library, exports: Any, tmp_path: Path, model_id: str, spec: GraphSpec, precision: str
) -> None:
    from vidpred_ros.engines.precision import retype

    path, plan = tmp_path / "net.onnx", tmp_path / "net.plan"
    proto = exports(model_id, spec)
    ranges = ranges_of(find_model(model_id), proto) if precision in EIGHT_BITS else None
    onnx.save(retype(proto, precision, ranges), path)
    shares: list[float | None] = []
    build(path, plan, library, lambda _, share: shares.append(share))
    assert plan.stat().st_size > proto.ByteSize() / (8 if precision in EIGHT_BITS else 4), "the weights are in it"
    assert shares[0] == 0 and len(shares) > 3


def test_warps_sample_as_they_are_written(library: Library, exports: Any, tmp_path: Path) -> None:
    """Parsers up to TensorRT 11.1 take opset 20's names of the modes for "nearest", and say nothing."""
    proto = exports("hrp_tree_w25", GraphSpec("stream", 5))
    onnx.save(proto, tmp_path / "net.onnx")
    modes = [a.s.decode().upper() for node in proto.graph.node if node.op_type == "GridSample" for a in node.attribute if a.name == "mode"]
    parsed, trt, found = parse(tmp_path / "net.onnx", library), library.module, []
    for layer in (parsed.network.get_layer(index) for index in range(parsed.network.num_layers)):
        if layer.type == trt.LayerType.GRID_SAMPLE:
            layer.__class__ = trt.IGridSampleLayer
            found.append(layer.interpolation_mode.name)
    assert sorted(found) == sorted(modes) and set(found) == {"LINEAR", "CUBIC"}


def test_bytes_away_from_a_port_are_refused_as_by_the_double(library: Library, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["y"], name="turn", perm=[1, 0]),
        helper.make_node("Cast", ["y"], ["z"], name="cast", to=TensorProto.FLOAT),
    ]
    x, z = (helper.make_tensor_value_info(name, kind, [2, 2]) for name, kind in (("x", TensorProto.UINT8), ("z", 1)))
    model = helper.make_model(helper.make_graph(nodes, "g", [x], [z]), opset_imports=[helper.make_opsetid("", 18)])
    onnx.save(model, tmp_path / "net.onnx")
    with pytest.raises(EngineError, match=r"tensorrt_rtx .* cannot parse .*net.onnx: node turn \(Transpose\): .*UInt8"):
        build(tmp_path / "net.onnx", tmp_path / "net.plan", library)
    assert not (tmp_path / "net.plan").exists()


def test_a_segmenter_of_one_s_own_is_built(library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of open size, enlarged to that of its frame, as torch exports such a network."""
    monkeypatch.setenv("VIDPRED_CACHE", str(tmp_path / "cache"))
    nodes = [
        helper.make_node("Conv", ["image", "weight"], ["small"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Shape", ["image"], ["sides"], start=2),
        helper.make_node("Concat", ["batch", "sides"], ["wanted"], axis=0),
        helper.make_node("Resize", ["small", "", "", "wanted"], ["scores"], mode="linear"),
        helper.make_node("ArgMax", ["scores"], ["ids"], axis=1, keepdims=0),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"])
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["n", None, None])
    constants = [
        onnx.numpy_helper.from_array(np.ones((19, 3, 3, 3), np.float32), "weight"),
        onnx.numpy_helper.from_array(np.array([1, 19]), "batch"),
    ]
    graph = helper.make_graph(nodes, "net", [image], [ids], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "mine.onnx")
    fixed, precision = _with_fixed_shapes(tmp_path / "mine.onnx", {"image": (1, 3, 64, 128)})
    assert precision == "fp32" and tuple(parse(fixed, library).network.get_output(0).shape) == (1, 64, 128)
    build(fixed, tmp_path / "mine.plan", library)
    assert (tmp_path / "mine.plan").stat().st_size > 1000


def test_the_doubles_have_the_real_names(library: Library) -> None:
    """Each function, class, method and constant that the doubles offer is there in the real modules, with the same value."""
    double = fake_tensorrt.make_module("tensorrt_rtx", library.version, fake_cuda.FakeCuda())
    for name in ("ILogger", "IProgressMonitor", "Builder", "OnnxParser", "Runtime", "ExecutionContextAllocationStrategy"):
        assert hasattr(library.module, name)
    classes = {
        "Builder": fake_tensorrt.Builder,
        "IBuilderConfig": fake_tensorrt.BuilderConfig,
        "OnnxParser": fake_tensorrt.OnnxParser,
        "ParserError": fake_tensorrt.ParserError,
        "Runtime": fake_tensorrt.Runtime,
        "ICudaEngine": fake_tensorrt.CudaEngine,
        "IExecutionContext": fake_tensorrt.RtxExecutionContext,
    }
    own = {"failure", "absence", "builds", "finished", "cuda", "context", "capturable", "array", "flags"}  # the doubles' own affairs
    for name, fake in classes.items():
        missing = {one for one in dir(fake) if not one.startswith("_")} - set(dir(getattr(library.module, name))) - own
        assert not missing, f"{name} has no {missing}"
    for name in ("NetworkDefinitionCreationFlag", "BuilderFlag", "ExecutionContextAllocationStrategy", "TensorIOMode"):
        for member in getattr(double, name):
            assert hasattr(getattr(library.module, name), member.name), f"{name}.{member.name}"
    assert {severity.name for severity in double.ILogger.Severity} <= set(library.module.ILogger.Severity.__members__)
    assert library.module.bfloat16 == library.module.DataType.BF16
    runtime = cuda.runtime()
    for name in dir(fake_cuda.FakeCuda):
        if name.startswith("cuda"):
            assert hasattr(runtime, name), name
    for enum in (fake_cuda.cudaError_t, fake_cuda.cudaMemcpyKind, fake_cuda.cudaStreamCaptureMode):
        for member in enum:
            assert int(getattr(getattr(runtime, enum.__name__), member.name)) == member.value, member
    assert runtime.cudaStreamNonBlocking == fake_cuda.FakeCuda.cudaStreamNonBlocking


def test_without_a_gpu_it_says_so(library: Library, tmp_path: Path) -> None:
    try:
        find_gpu()
    except EngineError as error:
        reason = str(error)
    else:
        pytest.skip("this machine has a GPU")
    assert reason.startswith("no NVIDIA GPU")
    path, plan = small_file(tmp_path / "small.onnx"), tmp_path / "small.plan"
    with pytest.raises(EngineError, match="no NVIDIA GPU"):
        open_tensorrt(path, "tensorrt_rtx", "fp32")
    build(path, plan, library)
    with pytest.raises(EngineError, match=r"tensorrt_rtx .*small\.plan.*CUDA") as found:
        TensorrtEngine(plan, METADATA, library, "fp32")
    assert found.type is EngineError, "the plan is as it should be"
    plan.write_bytes(plan.read_bytes()[:-1])
    with pytest.raises(UnreadablePlan, match="Serialization"):
        TensorrtEngine(plan, METADATA, library, "fp32")
    with pytest.raises(EngineError, match="CUDA: cudaMalloc failed: .* driver"):
        cuda.DeviceMemory(16)
