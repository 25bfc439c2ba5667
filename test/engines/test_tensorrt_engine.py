"""The TensorRT engine on doubles of CUDA and TensorRT (helpers/fake_cuda.py, fake_tensorrt.py): no GPU ran any of this.

What is tested is our part: names, buffers, addresses of the states in each phase, captured graphs, cameras that are absent, the
cache, errors, and that all memory is given back. The network itself runs in ONNX Runtime, so results must be its very bits.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from helpers.fake_cuda import FakeCuda
from helpers.fake_tensorrt import MAGIC, ExecutionContext, make_module
from helpers.small_network import DELAYS, METADATA, inputs_of, small_file, states_of
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper

from vidpred_ros.engines import GraphSpec, expected_metadata, open_engine
from vidpred_ros.engines.choice import Gpu
from vidpred_ros.engines.onnxruntime_engine import OnnxruntimeEngine
from vidpred_ros.engines.plans import REFUSED, note, sidecar
from vidpred_ros.engines.streaming import HostStream
from vidpred_ros.engines.tensorrt_build import find_library
from vidpred_ros.engines.tensorrt_engine import TensorrtEngine, open_tensorrt
from vidpred_ros.engines.tensorrt_network import Network
from vidpred_ros.errors import EngineError
from vidpred_ros.models import ReleasedModel, find_model

NAMES = ["tensorrt", "tensorrt_rtx"]
GPU = Gpu("Orin", "8.7", 32.0, "12.6")


def machine(patch: pytest.MonkeyPatch, cache: Path) -> FakeCuda:
    """A machine with a GPU and every TensorRT, all of them doubles."""
    fake = FakeCuda()
    patch.setitem(sys.modules, "cuda.bindings.runtime", fake)  # type: ignore[arg-type]
    patch.setitem(sys.modules, "tensorrt", make_module("tensorrt", "10.3.0", fake))
    patch.setitem(sys.modules, "tensorrt_rtx", make_module("tensorrt_rtx", "1.7.1.116", fake))
    patch.setattr("vidpred_ros.engines.tensorrt_engine.find_gpu", lambda: GPU)
    patch.setattr("vidpred_ros.engines.cuda.DRIVER_FILE", cache / "no such file")
    patch.setenv("VIDPRED_CACHE", str(cache))
    return fake


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeCuda:
    return machine(monkeypatch, tmp_path / "cache")


@pytest.mark.parametrize("name", NAMES)
def test_a_step_gives_the_networks_own_bits(gpu: FakeCuda, tmp_path: Path, name: str) -> None:
    path = small_file(tmp_path / "small.onnx")
    engine, reference = open_tensorrt(path, name, "fp16"), OnnxruntimeEngine(path)
    assert (engine.name, engine.precision, engine.metadata) == (name, "fp16", METADATA)
    assert engine.inputs == reference.inputs and engine.outputs == reference.outputs and engine.dtypes == reference.dtypes
    for seed in range(3):
        arrays = inputs_of(seed) | states_of(seed)
        got, expected = engine.infer(arrays), reference.infer(arrays)
        assert got.keys() == expected.keys() and gpu.launches == seed + 1
        assert all(np.array_equal(got[port], expected[port]) for port in expected)
    into = {"futures": np.zeros((1, 9), np.uint8)}
    results = engine.infer(arrays, into)
    assert results["futures"] is into["futures"] and np.array_equal(into["futures"], expected["futures"])
    kept = results["near"].copy()
    engine.infer(inputs_of(9) | states_of(0))
    assert np.array_equal(results["near"], kept), "a later run must not write over what an earlier one returned"
    engine.close()
    engine.close()
    assert gpu.alive == 0
    with pytest.raises(EngineError, match=f"{name}: it is closed"):
        engine.infer(arrays)


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_keeps_its_states_on_the_gpu(gpu: FakeCuda, tmp_path: Path, name: str) -> None:
    path = small_file(tmp_path / "small.onnx")
    engine = open_tensorrt(path, name, "fp32")
    assert engine.captured
    stream, reference = engine.stream(), HostStream(OnnxruntimeEngine(path))
    for frame in range(20):
        if frame == 13:
            stream.clear()
            reference.clear()
        if frame % 5 == 2:
            stream.advance(inputs_of(frame))
            reference.advance(inputs_of(frame))
            continue
        got, expected = stream.push(inputs_of(frame)), reference.push(inputs_of(frame))
        assert got.keys() == {"futures"} == expected.keys()
        assert np.array_equal(got["futures"], expected["futures"]), frame
    assert gpu.launches == 20, "a pass is one launch"
    slots, state_bytes = max(DELAYS.values()) + 1, 3 * 4
    pinned = sum(a.nbytes for a in inputs_of(0).values()) + 9
    assert gpu.used("pinned") == pinned, "no state is ever copied to the host"
    assert gpu.used("device") == pinned + slots * len(DELAYS) * state_bytes + 1000
    engine.close()
    assert gpu.alive == 0
    for call in (lambda: stream.push(inputs_of(0)), stream.clear, engine.stream):
        with pytest.raises(EngineError, match="it is closed"):
            call()


@settings(max_examples=25)
@given(
    st.lists(
        st.one_of(
            st.lists(st.booleans(), min_size=3, max_size=3),  # who is there in this pass
            st.integers(0, 2),  # a camera whose frames are forgotten
        ),
        min_size=1,
        max_size=14,
    )
)
def test_cameras_that_are_absent_keep_their_states(happenings: list[list[bool] | int]) -> None:
    """Three cameras as one batch against three streams of their own, each of which sees its own frames only."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        fake = machine(patch, Path(folder))
        engine = open_tensorrt(small_file(Path(folder) / "three.onnx", cameras=3), "tensorrt", "fp32")
        stream = engine.stream()
        one = OnnxruntimeEngine(small_file(Path(folder) / "one.onnx"))
        own = [HostStream(one) for _ in range(3)]
        for number, happening in enumerate(happenings):
            if isinstance(happening, int):
                stream.clear(happening)
                own[happening].clear()
                continue
            arrays = inputs_of(number, cameras=3)
            futures = stream.push(arrays, np.array(happening))["futures"]
            for camera in np.flatnonzero(happening):
                alone = own[camera].push({name: array[camera : camera + 1] for name, array in arrays.items()})
                assert np.array_equal(futures[camera], alone["futures"][0]), (number, camera)
        engine.close()
        assert fake.alive == 0


def test_streams_of_one_engine_do_not_mix(gpu: FakeCuda, tmp_path: Path) -> None:
    """Nor do threads, each with a stream of its own, that share an engine."""
    path = small_file(tmp_path / "small.onnx")
    engine = open_tensorrt(path, "tensorrt", "fp32")
    seen: dict[int, list[NDArray[Any]]] = {}

    def drive(camera: int) -> None:
        stream = engine.stream()
        seen[camera] = [stream.push(inputs_of(100 * camera + frame))["futures"] for frame in range(12)]

    threads = [threading.Thread(target=drive, args=(camera,)) for camera in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for camera, futures in seen.items():
        reference = HostStream(OnnxruntimeEngine(path))
        expected = [reference.push(inputs_of(100 * camera + frame))["futures"] for frame in range(12)]
        assert np.array_equal(futures, expected), camera
    assert len(seen) == 3
    engine.close()
    assert gpu.alive == 0


def test_a_network_that_cannot_be_captured_runs_without_a_graph(
    gpu: FakeCuda, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = small_file(tmp_path / "small.onnx")
    plan = tmp_path / "small.plan"
    plan.write_bytes(MAGIC + b"0" + path.read_bytes())
    engine = TensorrtEngine(plan, METADATA, find_library("tensorrt_rtx"), "fp32")
    assert not engine.captured
    stream, reference = engine.stream(), HostStream(OnnxruntimeEngine(path))
    for frame in range(7):
        expected = reference.push(inputs_of(frame))["futures"]
        assert np.array_equal(stream.push(inputs_of(frame))["futures"], expected)
    assert gpu.launches == 0
    assert "small.plan runs without a CUDA graph, which is slower: the network does something" in caplog.text
    engine.close()
    assert gpu.alive == 0


@pytest.mark.parametrize("where", ["in TensorRT", "at its end"])
def test_a_capture_that_fails_is_survived(
    gpu: FakeCuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    """TensorRT, unlike its sister for RTX, cannot tell beforehand."""
    end, execute = gpu.cudaStreamEndCapture, ExecutionContext.execute_async_v3
    if where == "at its end":

        def fail(stream: Any) -> Any:
            stream.invalid = True
            return end(stream)

        monkeypatch.setattr(gpu, "cudaStreamEndCapture", fail)
        reason = "CUDA: cudaStreamEndCapture failed: cudaErrorStreamCaptureInvalidated"
    else:
        monkeypatch.setattr(
            ExecutionContext,
            "execute_async_v3",
            lambda context, stream: gpu.streams[stream].captured is None and execute(context, stream),
        )
        reason = "tensorrt 10.3.0 cannot run the network (small-tensorrt-"
    path = small_file(tmp_path / "small.onnx")
    engine, reference = open_tensorrt(path, "tensorrt", "fp32"), OnnxruntimeEngine(path)
    for seed in range(2):
        arrays = inputs_of(seed) | states_of(2)
        expected = reference.infer(arrays)
        assert all(np.array_equal(array, expected[port]) for port, array in engine.infer(arrays).items())
    assert gpu.launches == 0 and f"runs without a CUDA graph, which is slower: {reason}" in caplog.text
    assert gpu.last_error == 0, "what torch asks for next in this thread is not to be told of it"
    engine.close()
    assert gpu.alive == 0


def test_wrong_inputs_are_refused(gpu: FakeCuda, tmp_path: Path) -> None:
    engine = open_tensorrt(small_file(tmp_path / "small.onnx"), "tensorrt", "fp32")
    arrays = inputs_of(0)
    with pytest.raises(EngineError, match=r"tensorrt: inputs \['flows', 'frames'\] given, .*past_near.* expected"):
        engine.infer(arrays)
    stream = engine.stream()
    with pytest.raises(EngineError, match=r"tensorrt: inputs .*past_near.* given, \['flows', 'frames'\] expected"):
        stream.push(arrays | states_of(0))
    with pytest.raises(EngineError, match="frames is float32"):
        stream.push(arrays | {"frames": arrays["frames"].astype(np.float32)})
    with pytest.raises(EngineError, match="flows is"):
        stream.push(arrays | {"flows": arrays["flows"][:, :1]})
    strided = {"frames": np.repeat(arrays["frames"], 2, axis=4)[..., ::2], "flows": arrays["flows"]}
    assert not strided["frames"].flags.c_contiguous
    futures = stream.push(strided)["futures"]
    stream.clear()
    assert np.array_equal(futures, stream.push(arrays)["futures"])


def test_a_graph_without_states_does_not_stream(gpu: FakeCuda, tmp_path: Path) -> None:
    path = small_file(tmp_path / "small.onnx")
    model = onnx.load(path)
    helper.set_model_props(model, {"vidpred.model": "small"})
    onnx.save(model, path)
    with pytest.raises(EngineError, match=r"small-tensorrt-.*\.plan does not stream"):
        open_tensorrt(path, "tensorrt", "fp32").stream()


def test_an_open_shape_is_refused_and_nothing_leaks(gpu: FakeCuda, tmp_path: Path) -> None:
    path = small_file(tmp_path / "small.onnx", cameras="n")
    with pytest.raises(EngineError, match=r"port frames has the open shape \(-1, 2, 3, 5, 3\)"):
        open_tensorrt(path, "tensorrt", "fp32")
    assert gpu.alive == 0


@pytest.mark.parametrize("room", [1, 1300, 1500])
def test_too_little_memory_is_an_error_and_nothing_leaks(gpu: FakeCuda, tmp_path: Path, room: int) -> None:
    gpu.limit = room
    with pytest.raises(EngineError, match=r"CUDA: cudaMalloc(Host)? failed: cudaErrorMemoryAllocation \(error 2\)"):
        open_tensorrt(small_file(tmp_path / "small.onnx"), "tensorrt", "fp32")
    assert gpu.alive == 0 and gpu.last_error == 0


def test_too_little_memory_for_the_states_makes_room_for_another_engine(
    gpu: FakeCuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While the order of engines is gone through, and not when a predictor asks for its stream."""
    monkeypatch.setattr("vidpred_ros.engines.choice._ask_driver", lambda: GPU)
    monkeypatch.setattr("vidpred_ros.engines.choice.installed", lambda name: name in ("tensorrt", "cuda.bindings", "openvino"))

    def exported(model: ReleasedModel, spec: GraphSpec, progress: object) -> Path:
        """The small network, in the name of the model."""
        path = small_file(tmp_path / f"{spec.precision}.onnx")
        proto = onnx.load(path)
        helper.set_model_props(proto, METADATA | expected_metadata(model, spec))
        onnx.save(proto, path)
        return path

    monkeypatch.setattr("vidpred_ros.engines.exported_file", exported)
    model = find_model("hrp_tree_w25")
    engine = open_engine(model)
    stream, most = engine.stream(), gpu.most
    assert engine.name == "tensorrt" and stream.push(inputs_of(0)).keys() == {"futures"}
    assert gpu.most == most, "the stream was there"
    engine.close()
    gpu.limit = most - 1
    engine = open_engine(model)
    assert engine.name == "openvino" and gpu.alive == 0
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith("engine tensorrt cannot run hrp_tree_w25 (stream) and openvino takes its place: CUDA: cudaMalloc")
    engine.close()


def test_a_plan_stays_when_the_gpu_is_what_lacks(gpu: FakeCuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = small_file(tmp_path / "small.onnx")
    open_tensorrt(path, "tensorrt", "fp32").close()
    monkeypatch.setattr(sys.modules["tensorrt"].Runtime, "failure", "Error Code 1: Cuda Runtime (out of memory)")
    with pytest.raises(EngineError, match=r"tensorrt 10.3.0 cannot read .*\.plan: .*\(out of memory\)"):
        open_tensorrt(path, "tensorrt", "fp32")
    monkeypatch.setattr(sys.modules["tensorrt"].Runtime, "failure", None)
    open_tensorrt(path, "tensorrt", "fp32").close()
    assert sys.modules["tensorrt"].Builder.builds == 1


def test_a_plan_that_was_built_now_is_not_built_again(gpu: FakeCuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["tensorrt"].Runtime, "failure", "Version tag does not match")
    for builds in (1, 2):  # the second time the plan of the first is there, and may be of another world
        with pytest.raises(EngineError, match="cannot read .*: Version tag does not match"):
            open_tensorrt(small_file(tmp_path / "small.onnx"), "tensorrt", "fp32")
        assert sys.modules["tensorrt"].Builder.builds == builds
        assert len(list((tmp_path / "cache" / "engines").glob("*.plan"))) == 1


@pytest.mark.parametrize("kind", ["Builder", "Runtime"])
def test_a_tensorrt_that_does_not_start_says_why(gpu: FakeCuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(getattr(sys.modules["tensorrt"], kind), "absence", "CUDA initialization failure with error: 35")
    with pytest.raises(EngineError, match="tensorrt 10.3.0 does not start: CUDA initialization failure with error: 35"):
        open_tensorrt(small_file(tmp_path / "small.onnx"), "tensorrt", "fp32")
    assert gpu.alive == 0


def test_a_refusal_outlives_an_update_of_the_driver(gpu: FakeCuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, folder = small_file(tmp_path / "small.onnx"), tmp_path / "cache" / "engines"
    for precision in ("fp16", "int8"):
        open_tensorrt(path, "tensorrt", precision).close()
    (plan,) = (one for one in folder.glob("*.plan") if json.loads(sidecar(one).read_text())["key"]["precision"] == "int8")
    note(plan, {}, "mean error 0.1 over 0.01")
    plan.unlink()
    monkeypatch.setattr("vidpred_ros.engines.cuda.driver_version", lambda: "12080")
    for name, precision, refused in (("tensorrt", "int8", True), ("tensorrt", "fp16", False), ("tensorrt_rtx", "int8", False)):
        for _ in range(2):
            engine = open_tensorrt(path, name, precision)
            assert engine.metadata == METADATA | ({REFUSED: "mean error 0.1 over 0.01"} if refused else {})
            engine.close()


def test_an_engine_is_built_once_and_said_to_be_what_it_is(gpu: FakeCuda, tmp_path: Path) -> None:
    path = small_file(tmp_path / "small.onnx")
    told: list[tuple[str, float | None]] = []
    for _ in range(2):
        open_tensorrt(path, "tensorrt", "fp16", lambda text, share: told.append((text, share))).close()
    assert sys.modules["tensorrt"].Builder.builds == 1
    shares = [share for _, share in told if share is not None]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1
    assert told[1][0] == "building small with tensorrt 10.3.0: timing tactics"
    (plan,) = (tmp_path / "cache" / "engines").glob("small-tensorrt-*.plan")
    key = json.loads(sidecar(plan).read_text())["key"]
    assert key == {
        "onnx_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "library": "tensorrt 10.3.0",
        "gpu": "Orin",
        "compute_capability": "8.7",
        "driver": "12060",
        "precision": "fp16",
        "shapes": "frames 1x2x3x5x3, flows 1x2x3x5x3, past_near 1x3, past_far 1x3, past_farther 1x3, "
        "futures 1x9, near 1x3, far 1x3, farther 1x3",
        "flags": "vidpred build 1, STRONGLY_TYPED, no TF32",
    }


def test_each_library_has_its_own_plan(gpu: FakeCuda, tmp_path: Path) -> None:
    path = small_file(tmp_path / "small.onnx")
    for name in NAMES:
        open_tensorrt(path, name, "fp32").close()
    plans = sorted((tmp_path / "cache" / "engines").glob("*.plan"))
    plain, rtx = (json.loads(sidecar(plan).read_text())["key"]["flags"] for plan in plans)
    assert rtx == f"{plain}, REQUIRE_USER_ALLOCATION"


def test_a_plan_that_tensorrt_does_not_read_is_built_again(
    gpu: FakeCuda, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its file is whole, and yet TensorRT refuses it: a sidecar cannot know everything."""
    path = small_file(tmp_path / "small.onnx")
    open_tensorrt(path, "tensorrt", "fp32").close()
    (plan,) = (tmp_path / "cache" / "engines").glob("*.plan")
    good = plan.read_bytes()
    plan.write_bytes(b"of another world")
    says = json.loads(sidecar(plan).read_text())
    says["plan"] = {"sha256": hashlib.sha256(plan.read_bytes()).hexdigest(), "bytes": plan.stat().st_size}
    sidecar(plan).write_text(json.dumps(says))
    open_tensorrt(path, "tensorrt", "fp32").close()
    assert plan.read_bytes() == good and sys.modules["tensorrt"].Builder.builds == 2
    assert "discarding small-tensorrt-" in caplog.text and "Magic tag does not match" in caplog.text


def test_without_a_gpu_or_a_library_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = small_file(tmp_path / "small.onnx")
    monkeypatch.setattr("vidpred_ros.engines.choice._ask_driver", lambda: "no NVIDIA GPU: its driver is not installed")
    with pytest.raises(EngineError, match="no NVIDIA GPU: its driver is not installed"):
        open_tensorrt(path, "tensorrt", "fp32")
    machine(monkeypatch, tmp_path)
    monkeypatch.setitem(sys.modules, "tensorrt", None)  # type: ignore[arg-type]  # as if it were not installed
    monkeypatch.setitem(sys.modules, "tensorrt_bindings", None)  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="tensorrt is not installed or broken"):
        open_tensorrt(path, "tensorrt", "fp32")
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="pip install cuda-bindings"):
        open_tensorrt(path, "tensorrt_rtx", "fp32")
    machine(monkeypatch, tmp_path)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(EngineError, match="is no usable ONNX file"):
        open_tensorrt(path, "tensorrt", "fp32")


def test_states_in_half_precision_stay_so(gpu: FakeCuda, tmp_path: Path) -> None:
    path = small_file(tmp_path / "small.onnx", states_in=TensorProto.FLOAT16)
    engine, reference = open_tensorrt(path, "tensorrt", "fp16"), HostStream(OnnxruntimeEngine(path))
    assert {engine.dtypes[name] for name in DELAYS} == {np.dtype(np.float16)}
    stream = engine.stream()
    for frame in range(12):
        assert np.array_equal(stream.push(inputs_of(frame))["futures"], reference.push(inputs_of(frame))["futures"])
    engine.close()
    plan = tmp_path / "small.plan"
    plan.write_bytes(MAGIC + b"0" + small_file(tmp_path / "small.onnx", states_in=TensorProto.BFLOAT16).read_bytes())
    assert {Network(plan, find_library("tensorrt")).dtypes[name] for name in DELAYS} == {np.dtype(np.uint16)}
