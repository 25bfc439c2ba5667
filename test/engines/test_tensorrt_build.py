"""Building TensorRT engines, on the double of helpers/fake_tensorrt.py; test_tensorrt_rtx.py builds with the real library."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
import pytest
from helpers.fake_cuda import FakeCuda
from helpers.fake_tensorrt import MAGIC, ILogger, IProgressMonitor, make_module
from onnx import TensorProto, helper

from vidpred_ros.engines.tensorrt_build import (
    Library,
    build,
    find_library,
    flags_text,
    logger_of,
    make_monitor,
    parse,
)
from vidpred_ros.errors import EngineError


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = make_module("tensorrt", "10.3.0", FakeCuda())
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    return module


def a_file(path: Path, first: str = "Cast") -> Path:
    """uint8 in; a Cast or, if asked, something else first."""
    nodes = [
        helper.make_node(first, ["x"], ["y"], name="first", **({"to": TensorProto.FLOAT} if first == "Cast" else {"perm": [1, 0]})),
        helper.make_node("Cast", ["y"], ["z"], name="last", to=TensorProto.UINT8),
    ]
    ports = [helper.make_tensor_value_info(name, TensorProto.UINT8, [2, 2]) for name in ("x", "z")]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def test_a_plan_is_written(tensorrt: ModuleType, tmp_path: Path) -> None:
    path = a_file(tmp_path / "net.onnx")
    build(path, tmp_path / "net.plan", find_library("tensorrt"))
    assert (tmp_path / "net.plan").read_bytes() == MAGIC + b"0" + path.read_bytes()


@pytest.mark.parametrize("mode", ["linear", "cubic", "nearest"])
def test_grid_sampling_keeps_its_mode(tensorrt: ModuleType, tmp_path: Path, mode: str) -> None:
    """TensorRT's parser knows the modes by older names than those of the file."""
    node = helper.make_node("GridSample", ["x", "grid"], ["y"], mode=mode)
    x, grid, y = (helper.make_tensor_value_info(n, 1, shape) for n, shape in (("x", [1, 1, 3, 3]), ("grid", [1, 2, 2, 2]), ("y", None)))
    model = helper.make_model(helper.make_graph([node], "g", [x, grid], [y]), opset_imports=[helper.make_opsetid("", 20)])
    onnx.save(model, tmp_path / "net.onnx")
    network = onnx.load_from_string(parse(tmp_path / "net.onnx", find_library("tensorrt")).network.onnx)
    assert network.graph.node[0].attribute[0].s == mode.encode()


def test_what_cannot_be_parsed_is_named_with_its_node(tensorrt: ModuleType, tmp_path: Path) -> None:
    library, plan = find_library("tensorrt"), tmp_path / "net.plan"
    path = a_file(tmp_path / "net.onnx", first="Transpose")
    with pytest.raises(EngineError, match=r"tensorrt 10.3.0 cannot parse .*net.onnx: node first \(Transpose\): .* type UInt8"):
        build(path, plan, library)
    path.write_bytes(b"\xff\xffno onnx")
    with pytest.raises(EngineError, match=r"net.onnx is no usable ONNX file"):
        build(path, plan, library)
    assert not plan.exists()


def test_a_failed_build_says_what_tensorrt_said(tensorrt: Any, tmp_path: Path) -> None:
    path, library = a_file(tmp_path / "net.onnx"), find_library("tensorrt")
    logger_of(library).log(ILogger.Severity.ERROR, "of an earlier build")
    tensorrt.Builder.failure = "no kernel\nfits"
    with pytest.raises(EngineError, match=r"tensorrt 10.3.0 cannot build an engine of .*net.onnx: no kernel fits$"):
        build(path, tmp_path / "net.plan", library)
    assert not (tmp_path / "net.plan").exists()


def test_progress_that_raises_ends_the_build(tensorrt: Any, tmp_path: Path) -> None:
    """A node that is told to shut down does not wait until its engine is built."""
    told: list[float | None] = []

    def stop(text: str, share: float | None) -> None:
        told.append(share)
        if share is not None and share > 0.3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(a_file(tmp_path / "net.onnx"), tmp_path / "net.plan", find_library("tensorrt"), stop)
    assert told == [0, 0.125, 0.25, 0.375] and not (tmp_path / "net.plan").exists()
    assert (tensorrt.Builder.builds, tensorrt.Builder.finished) == (1, 0)


def test_progress_is_a_share_that_only_grows() -> None:
    """Phases nest, come in any order and may end early; TensorRT tells of a thousand steps and few are passed on."""
    told: list[tuple[str, float | None]] = []
    trt = ModuleType("tensorrt")
    trt.IProgressMonitor = IProgressMonitor  # type: ignore[attr-defined]
    monitor = make_monitor(trt, "building", lambda text, share: told.append((text, share)))
    monitor.phase_start("Whole", None, 4)
    monitor.phase_start("Part", "Whole", 1000)
    assert all(monitor.step_complete("Part", step) for step in range(500))
    monitor.phase_finish("Part")
    assert monitor.step_complete("Whole", 0)
    monitor.phase_start("Inner", "Whole", 0)
    monitor.phase_start("Innermost", "Inner", 2)
    assert monitor.step_complete("Innermost", 0) and monitor.step_complete("a phase that never began", 3)
    shares = [share for _, share in told if share is not None]
    assert shares == sorted(set(shares)) and len(shares) <= 20
    assert told[0] == ("building: whole", 0) and told[-1] == ("building: innermost", 0.25 + 0.5 / 4)
    assert ("building: whole", 0.25) in told


def test_messages_go_to_the_log(tensorrt: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logger = logger_of(Library("tensorrt", "10.3.0", tensorrt))
    assert logger.last_errors() == "it gives no reason"
    for severity in ILogger.Severity:
        logger.log(severity, f"a message of {severity.name}")
    logged = {record.getMessage(): record.levelno for record in caplog.records}
    assert logged == {
        "tensorrt: a message of INTERNAL_ERROR": logging.INFO,
        "tensorrt: a message of ERROR": logging.INFO,
        "tensorrt: a message of WARNING": logging.INFO,
        "tensorrt: a message of INFO": logging.DEBUG,
    }
    assert logger.last_errors() == "a message of INTERNAL_ERROR; a message of ERROR"
    assert logger_of(Library("tensorrt", "10.3.0", tensorrt)) is logger, "TensorRT keeps the first that it is given"


def test_libraries_are_found_by_any_of_their_modules(monkeypatch: pytest.MonkeyPatch, tensorrt: ModuleType) -> None:
    assert str(find_library("tensorrt")) == "tensorrt 10.3.0" and find_library("tensorrt").module is tensorrt
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)  # type: ignore[arg-type]  # as if it were not installed
    bare = make_module("tensorrt_rtx", "1.7.1.116", FakeCuda())
    monkeypatch.setitem(sys.modules, "tensorrt_rtx_bindings", bare)
    library = find_library("tensorrt_rtx")
    assert library.module is bare and (library.name, library.version) == ("tensorrt_rtx", "1.7.1.116")
    assert flags_text(library) == "vidpred build 1, STRONGLY_TYPED, no TF32, REQUIRE_USER_ALLOCATION"


@pytest.mark.parametrize(("version", "fits"), [("10.0.1", False), ("8.6.1", False), ("10.3.0", True), ("11.4.1.2", True)])
def test_an_old_tensorrt_is_refused(monkeypatch: pytest.MonkeyPatch, version: str, fits: bool) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", make_module("tensorrt", version, FakeCuda()))
    if fits:
        assert find_library("tensorrt").version == version
        return
    with pytest.raises(EngineError, match=rf"tensorrt {version} is too old: 10.3 or newer is needed"):
        find_library("tensorrt")


def test_a_library_that_does_not_load_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "tensorrt_bindings", None)  # type: ignore[arg-type]
    with pytest.raises(EngineError, match=r"tensorrt is not installed or broken \(tensorrt: .*; tensorrt_bindings: .*\)"):
        find_library("tensorrt")
