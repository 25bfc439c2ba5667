"""Networks of the user's own: made here, tiny, in every form that is accepted, and in some that are not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from helpers.fake_cuda import FakeCuda
from helpers.fake_tensorrt import CudaEngine, make_module
from onnx import TensorProto, helper

from vidpred_ros.engines.choice import Gpu
from vidpred_ros.errors import ConfigError, EngineError, ModelError
from vidpred_ros.segmenters import make_segmenter
from vidpred_ros.segmenters.onnx import OnnxSegmenter
from vidpred_ros.semantics import CAR, IGNORE, ROAD, SKY

SIZE = (32, 64)
CLASSES = "classes: {0: road, 1: car, 2: sky}\n"
#: Class 0 where red is largest, 1 for green, 2 for blue: what the networks below find.
TRAIN = np.array([ROAD, CAR, SKY], np.uint8)


def colours(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A frame of red, green and blue blocks of 8 pixels, and the ids of its pixels."""
    ids = np.random.default_rng(seed).integers(0, 3, (SIZE[0] // 8, SIZE[1] // 8)).repeat(8, 0).repeat(8, 1)
    frame = np.full((*SIZE, 3), 20, np.uint8)
    np.put_along_axis(frame, ids[..., None], 220, axis=-1)
    return frame, ids


def write(path: Path, nodes: list[Any], shape: list[Any], kind: int, out: list[Any], out_kind: int, *constants: Any) -> Path:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", kind, shape)],
        [helper.make_tensor_value_info("out", out_kind, out)],
        list(constants),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def scores_network(path: Path, shape: list[Any], pool: int = 1) -> Path:
    """Scores are the colours themselves (NCHW), averaged over ``pool`` pixels."""
    node = helper.make_node("AveragePool", ["image"], ["out"], kernel_shape=[pool, pool], strides=[pool, pool])
    return write(path, [node], shape, TensorProto.FLOAT, [1, 3, None, None], TensorProto.FLOAT)


def ids_network(path: Path, shape: list[Any], kind: int = TensorProto.UINT8, axis: int = 3) -> Path:
    """Ids by arg-max over the colours."""
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ArgMax", ["float"], ["out"], axis=axis, keepdims=0),
    ]
    return write(path, nodes, shape, kind, [1, None, None], TensorProto.INT64)


def table(folder: Path, text: str = CLASSES) -> Path:
    path = folder / "table.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("shape", [[1, 3, *SIZE], [1, 3, "h", "w"], ["n", 3, "h", "w"]])
def test_scores_of_a_fixed_and_a_free_size(tmp_path: Path, engine: str, shape: list[Any]) -> None:
    path = scores_network(tmp_path / "net.onnx", shape)
    segmenter = make_segmenter(str(path), engine, table(tmp_path, CLASSES + "network: {size: [32, 64]}"))
    frame, ids = colours()
    found = segmenter.segment(frame)
    assert (segmenter.size, found.shape, found.dtype) == (SIZE, SIZE, np.uint8)
    assert segmenter.name == "net" and segmenter.engine.startswith(engine)
    np.testing.assert_array_equal(found, TRAIN[ids])
    segmenter.close()


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_ids_of_8_bit_frames_with_colours_last(tmp_path: Path, engine: str) -> None:
    segmenter = make_segmenter(str(ids_network(tmp_path / "net.onnx", [1, *SIZE, 3])), engine, table(tmp_path))
    frame, ids = colours()
    np.testing.assert_array_equal(segmenter.segment(frame), TRAIN[ids])


def test_scores_at_a_lower_resolution_are_enlarged(tmp_path: Path) -> None:
    path = scores_network(tmp_path / "net.onnx", [1, 3, *SIZE], pool=4)
    frame, ids = colours()
    found = make_segmenter(str(path), "onnxruntime", table(tmp_path)).segment(frame)
    small = cv2.resize(frame, (SIZE[1] // 4, SIZE[0] // 4), interpolation=cv2.INTER_AREA).astype(np.float32)
    expected = cv2.resize(small, SIZE[::-1], interpolation=cv2.INTER_LINEAR).argmax(-1)
    assert (found == TRAIN[expected]).mean() > 0.99  # sums of equal halves round either way
    assert (found == TRAIN[ids]).mean() > 0.85


def test_normalisation_and_order_of_colours(tmp_path: Path) -> None:
    """Its mean and std make the network's first score the smallest for red, which is last in BGR."""
    path = scores_network(tmp_path / "net.onnx", [1, 3, *SIZE])
    text = CLASSES + "network: {colours: bgr, scale: 1, mean: [10, 20, 30], std: [2, 4, 8]}"
    frame, _ = colours()
    found = make_segmenter(str(path), "onnxruntime", table(tmp_path, text)).segment(frame)
    normalised = (frame[..., ::-1].astype(np.float64) - [10, 20, 30]) / [2, 4, 8]
    np.testing.assert_array_equal(found, TRAIN[normalised.argmax(-1)])


def test_ids_that_mean_no_class_are_ignored(tmp_path: Path) -> None:
    path = ids_network(tmp_path / "net.onnx", [1, *SIZE, 3])
    frame, ids = colours()
    text = "classes: [road, void, sky]\nignore: 255"
    found = make_segmenter(str(path), "onnxruntime", table(tmp_path, text)).segment(frame)
    np.testing.assert_array_equal(found, np.array([ROAD, IGNORE, SKY], np.uint8)[ids])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes: {0: road, 1: spaceship, 2: sky}", "unknown class 'spaceship'"),
        ("classes: {0: road, 1: car}", r"names ids up to 1, but net gives scores of shape \(1, 3, 32, 64\)"),
        ("classes: {0: road, 1: car, 2: sky, 3: person}", "names ids up to 3"),
        (CLASSES + "netwrok: {scale: 1}", "unknown keys netwrok; known: classes, ignore, network"),
        (CLASSES + "network: {std: [1, 0, 1]}", r"network\.std\.1: Input should be greater than 0"),
        (CLASSES + "network: {size: [64, 64]}", "takes frames of 32x64 .* says 64x64"),
        (CLASSES + "network: {layout: nhwc}", None),
    ],
)
def test_a_table_that_does_not_fit(tmp_path: Path, text: str, message: str | None) -> None:
    path = scores_network(tmp_path / "net.onnx", [1, 3, *SIZE])
    with pytest.raises((ConfigError, ModelError), match=message or "1x3x32x64; a segmenter takes one RGB frame"):
        make_segmenter(str(path), "onnxruntime", table(tmp_path, text))


def test_ids_that_the_table_lacks_are_named(tmp_path: Path) -> None:
    path = ids_network(tmp_path / "net.onnx", [1, *SIZE, 3])
    segmenter = make_segmenter(str(path), "onnxruntime", table(tmp_path, "classes: {0: road, 1: car}"))
    with pytest.raises(ConfigError, match="does not know: 2"):
        segmenter.segment(colours()[0])


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    path = scores_network(tmp_path / "net.onnx", [1, 3, "h", "w"])
    with pytest.raises(ConfigError, match=r"net.onnx is a network of your own: give the class table"):
        make_segmenter(str(path))
    with pytest.raises(ConfigError, match="no class table"):
        make_segmenter(str(path), None, tmp_path / "nowhere.yaml")
    with pytest.raises(ConfigError, match="takes frames of any size: give network: size"):
        make_segmenter(str(path), None, table(tmp_path))
    with pytest.raises(ModelError, match="no file .*other.onnx"):
        make_segmenter(str(tmp_path / "other.onnx"), None, table(tmp_path))


def test_files_that_are_no_segmenters(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no protobuf")
    with pytest.raises(ModelError, match="broken.onnx is no ONNX file"):
        make_segmenter(str(broken), None, table(tmp_path))
    with pytest.raises(ModelError, match="1x4x32x64; a segmenter takes one RGB frame"):
        make_segmenter(str(scores_network(tmp_path / "four.onnx", [1, 4, *SIZE])), None, table(tmp_path))
    half = ids_network(tmp_path / "half.onnx", [1, *SIZE, 3], TensorProto.FLOAT16)
    with pytest.raises(ModelError, match="its input is FLOAT16"):
        make_segmenter(str(half), None, table(tmp_path))
    whole = ids_network(tmp_path / "whole.onnx", [1, *SIZE, 3])
    with pytest.raises(ConfigError, match="mean and std are for a float input"):
        make_segmenter(str(whole), None, table(tmp_path, CLASSES + "network: {mean: [1, 1, 1]}"))


def test_colours_that_could_be_first_or_last(tmp_path: Path) -> None:
    path = ids_network(tmp_path / "net.onnx", ["n", "a", "b", "c"])
    with pytest.raises(ConfigError, match="give network: layout"):
        make_segmenter(str(path), "onnxruntime", table(tmp_path, CLASSES + "network: {size: [32, 64]}"))
    text = CLASSES + "network: {size: [32, 64], layout: nhwc}"
    frame, ids = colours()
    found = make_segmenter(str(path), "onnxruntime", table(tmp_path, text)).segment(frame)
    np.testing.assert_array_equal(found, TRAIN[ids])


def test_a_network_that_takes_no_frames_of_that_size(tmp_path: Path) -> None:
    """Its file leaves the size open, but within it there is one: the runtime says so when it runs."""
    shape = onnx.numpy_helper.from_array(np.array([1, 3, *SIZE]), "shape")
    node = helper.make_node("Reshape", ["image", "shape"], ["out"])
    kind = TensorProto.FLOAT
    path = write(tmp_path / "net.onnx", [node], [1, 3, "h", "w"], kind, [1, 3, None, None], kind, shape)
    with pytest.raises(EngineError, match=r"net.onnx does not run on onnxruntime fp32 with frames of 96x48: .*Reshape"):
        make_segmenter(str(path), "onnxruntime", table(tmp_path, CLASSES + "network: {size: [48, 96]}"))


def test_torch_runs_released_models_only_and_another_takes_its_place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = scores_network(tmp_path / "net.onnx", [1, 3, *SIZE])
    with caplog.at_level("WARNING"):
        segmenter = OnnxSegmenter(path, table(tmp_path), "torch")
    assert segmenter.engine.startswith("openvino")
    assert caplog.messages == ["engine torch runs released models only and openvino takes its place for net.onnx"]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A machine with a GPU and TensorRT, both doubles; its builder."""
    fake = FakeCuda()
    module = make_module("tensorrt", "10.3.0", fake)
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", fake)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    monkeypatch.setattr("vidpred_ros.engines.tensorrt_engine.find_gpu", lambda: Gpu("Orin", "8.7", 32.0, "12.6"))
    monkeypatch.setattr("vidpred_ros.engines.choice._gpu_obstacle", lambda name, _: "" if name == "tensorrt" else "not installed")
    monkeypatch.setattr("vidpred_ros.engines.cuda.DRIVER_FILE", tmp_path / "no such file")
    monkeypatch.setenv("VIDPRED_CACHE", str(tmp_path / "cache"))
    return module.Builder  # type: ignore[attr-defined]


@pytest.mark.parametrize("engine", ["tensorrt", None])
@pytest.mark.parametrize("ids_out", [False, True])
def test_tensorrt_builds_it_once_for_the_size_of_the_table(gpu: Any, tmp_path: Path, engine: str | None, ids_out: bool) -> None:
    path = tmp_path / "net.onnx"
    path = ids_network(path, [1, "h", "w", 3]) if ids_out else scores_network(path, ["n", 3, "h", "w"])
    frame, ids = colours()
    for _ in range(2):
        segmenter = make_segmenter(str(path), engine, table(tmp_path, CLASSES + "network: {size: [32, 64]}"))
        assert segmenter.engine == "tensorrt fp32"
        np.testing.assert_array_equal(segmenter.segment(frame), TRAIN[ids])
        segmenter.close()
    assert gpu.builds == 1
    other = make_segmenter(str(path), engine, table(tmp_path, CLASSES + "network: {size: [48, 96]}"))
    assert other.segment(np.zeros((48, 96, 3), np.uint8)).shape == (48, 96) and gpu.builds == 2
    other.close()


@pytest.mark.parametrize("engine", ["tensorrt", "openvino", "onnxruntime"])
def test_of_several_outputs_the_first_of_the_file_counts(gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    """Whatever their order is in TensorRT."""
    path = scores_network(tmp_path / "net.onnx", [1, 3, *SIZE])
    model = onnx.load(path)
    model.graph.node.append(helper.make_node("Neg", ["out"], ["aux"]))
    model.graph.output.append(helper.make_tensor_value_info("aux", TensorProto.FLOAT, [1, 3, None, None]))
    onnx.save(model, path)
    monkeypatch.setattr(CudaEngine, "get_tensor_name", lambda self, index: ["image", "aux", "out"][index])
    frame, ids = colours()
    segmenter = make_segmenter(str(path), engine, table(tmp_path))
    np.testing.assert_array_equal(segmenter.segment(frame), TRAIN[ids])
    segmenter.close()


def test_weights_beside_the_file_are_built_in(gpu: Any, tmp_path: Path) -> None:
    node = helper.make_node("Conv", ["image", "weight"], ["out"])
    weight = onnx.numpy_helper.from_array(np.eye(3, dtype=np.float32)[:, :, None, None], "weight")
    path = write(tmp_path / "net.onnx", [node], [1, 3, *SIZE], TensorProto.FLOAT, [1, 3, *SIZE], TensorProto.FLOAT, weight)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    frame, ids = colours()
    for order in ([0, 1, 2], [2, 0, 1]):
        np.eye(3, dtype=np.float32)[order].tofile(tmp_path / "weights.bin")
        found = make_segmenter(str(path), "tensorrt", table(tmp_path)).segment(frame)
        np.testing.assert_array_equal(found, TRAIN[np.argsort(order)[ids]])
    assert gpu.builds == 2, "other weights are another network"


def test_what_tensorrt_does_not_take_runs_on_the_cpu(gpu: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    nodes = [
        helper.make_node("Transpose", ["image"], ["first"], name="turn", perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["first"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ArgMax", ["float"], ["out"], axis=1, keepdims=0),
    ]
    path = write(tmp_path / "net.onnx", nodes, [1, *SIZE, 3], TensorProto.UINT8, [1, *SIZE], TensorProto.INT64)
    frame, ids = colours()
    with caplog.at_level("WARNING"):
        segmenter = make_segmenter(str(path), "tensorrt", table(tmp_path))
    assert segmenter.engine.startswith("openvino")
    assert "engine tensorrt cannot run net.onnx and openvino takes its place" in caplog.text and "node turn" in caplog.text
    np.testing.assert_array_equal(segmenter.segment(frame), TRAIN[ids])


def test_an_engine_that_is_not_here_is_an_error(tmp_path: Path) -> None:
    path = scores_network(tmp_path / "net.onnx", [1, 3, *SIZE])
    with pytest.raises(EngineError, match="unknown engine 'abacus'"):
        OnnxSegmenter(path, table(tmp_path), "abacus")
