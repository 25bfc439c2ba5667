"""Which engine is taken, with GPUs and runtimes that are made up, and what happens when one fails."""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from vidpred_ros.engines import choice
from vidpred_ros.engines.choice import EngineChoice, Gpu, as_choice, candidates, choose, first_that_opens
from vidpred_ros.errors import EngineError, ModelError

ORIN = Gpu("Orin", "8.7", 29.9, "12.6")
NO_GPU = "no NVIDIA GPU: its driver (libcuda.so.1) is not installed"
EVERYTHING = ("tensorrt", "tensorrt_rtx", "cuda.bindings", "torch", "openvino", "onnxruntime")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Makes this a machine with that GPU (or the reason why not), those modules, and a torch for that CUDA version."""

    def make(gpu: Gpu | str, *modules: str, cuda: str | None = "'12.6'") -> None:
        version = f"__version__ = '2.8.0'\ndebug = False\ncuda: Optional[str] = {cuda}\nhip: Optional[str] = None\n"
        (tmp_path / "version.py").write_text(version)
        spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
        monkeypatch.setattr(choice, "_ask_driver", lambda: gpu)
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec if name in modules else None)

    return make


@pytest.mark.parametrize(
    ("gpu", "modules", "cuda", "order"),
    [
        (ORIN, EVERYTHING, "'12.6'", ["tensorrt", "tensorrt_rtx", "torch", "openvino", "onnxruntime"]),
        (ORIN, EVERYTHING, "None", ["tensorrt", "tensorrt_rtx", "openvino", "onnxruntime", "torch"]),
        (ORIN, ("tensorrt_rtx_bindings", "cuda.bindings", "onnxruntime"), "None", ["tensorrt_rtx", "onnxruntime"]),
        (ORIN, ("tensorrt", "openvino"), "None", ["openvino"]),  # without the bindings of CUDA
        (NO_GPU, EVERYTHING, "'12.6'", ["openvino", "onnxruntime", "torch"]),
        (NO_GPU, ("torch",), "None", ["torch"]),
    ],
)
def test_the_order_of_what_can_run_here(machine, gpu, modules, cuda, order) -> None:
    machine(gpu, *modules, cuda=cuda)
    assert candidates(None) == order
    assert choose(None) == order[0]
    assert [choose(name) for name in order] == order


def test_a_precision_leaves_out_engines_that_do_not_have_it(machine) -> None:
    machine(ORIN, *EVERYTHING)
    assert candidates("int8") == ["tensorrt", "tensorrt_rtx", "openvino", "onnxruntime"]
    assert candidates("fp16") == ["tensorrt", "tensorrt_rtx", "torch"]
    machine(NO_GPU, *EVERYTHING)
    assert candidates("bf16") == ["openvino"], "torch has it on a GPU only"
    with pytest.raises(EngineError, match="no engine of this machine computes in fp16: openvino has fp32, bf16, int8; "):
        candidates("fp16")
    with pytest.raises(EngineError, match="'onnxruntime' does not compute in bf16 here; it has fp32, int8"):
        choice.check_precision("onnxruntime", "bf16")
    choice.check_precision("onnxruntime", None)


def test_an_engine_that_is_named_and_cannot_run_is_refused_with_the_reason(machine) -> None:
    machine(NO_GPU, "tensorrt", "cuda.bindings", "openvino")
    with pytest.raises(EngineError, match=r"'tensorrt' cannot run here: no NVIDIA GPU.*\(this machine can run: openvino\)"):
        choose("tensorrt")
    with pytest.raises(EngineError, match="'tensorrt_rtx' is not installed: pip install tensorrt-rtx cuda-bindings"):
        choose("tensorrt_rtx")
    machine(ORIN, "openvino")
    with pytest.raises(EngineError, match=r"'tensorrt_rtx' is not installed: pip install tensorrt-rtx \"cuda-bindings>=12,<12\.9\" \("):
        choose("tensorrt_rtx")
    with pytest.raises(EngineError, match=r"'tensorrt' is not installed: pip install tensorrt-cu12 \"cuda-bindings>=12,<12\.9\" \("):
        choose("tensorrt")
    with pytest.raises(EngineError, match="'onnxruntime' is not installed: pip install onnxruntime "):
        choose("onnxruntime")
    machine(ORIN, "tensorrt", "openvino")
    with pytest.raises(EngineError, match=r"cannot run here: the Python package cuda-bindings is not .*: pip install \"cuda-bindings>=12,<12\.9\""):
        choose("tensorrt")
    with pytest.raises(EngineError, match="unknown engine 'cuda'; known: tensorrt, tensorrt_rtx, "):
        choose("cuda")
    machine(NO_GPU, "tensorrt")
    with pytest.raises(EngineError, match="no inference engine is installed: pip install openvino"):
        choose(None)


@pytest.mark.parametrize(("cuda", "wanted"), [("12.6", ">=12,<12.9"), ("12.9", ">=12,<12.9"), ("13.2", ">=13,<13.3")])
def test_bindings_are_not_newer_than_the_driver(machine, cuda: str, wanted: str) -> None:
    machine(replace(ORIN, cuda=cuda))
    assert choice.cuda_bindings() == f'"cuda-bindings{wanted}"'


def test_a_jetson_has_tensorrt_from_jetpack(machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "nv_tegra_release").write_text("# R36 (release)")
    monkeypatch.setattr(choice, "JETPACK", tmp_path / "nv_tegra_release")
    machine(ORIN, "openvino")
    with pytest.raises(EngineError, match=r"is not installed: it comes with JetPack .*apt.*--system-site-packages; pip install \"cuda-bind"):
        choose("tensorrt")


def test_one_that_fails_gives_way_to_the_next_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    engine = SimpleNamespace(name="onnxruntime")

    def open_one(name: str) -> object:
        if name == "tensorrt":
            raise RuntimeError("out of memory")
        if name == "openvino":
            raise EngineError("no such device")
        return engine

    with caplog.at_level(logging.WARNING):
        assert first_that_opens(["tensorrt", "openvino", "onnxruntime"], "tiny stream", open_one) is engine
    assert [record.getMessage() for record in caplog.records] == [
        "engine tensorrt cannot run tiny stream and openvino takes its place: RuntimeError: out of memory",
        "engine openvino cannot run tiny stream and onnxruntime takes its place: no such device",
    ]
    assert all(record.name.startswith("vidpred_ros") for record in caplog.records), "the node forwards that logger"


def test_when_all_fail_every_reason_is_given() -> None:
    def fail(name: str) -> object:
        raise EngineError(f"{name} is broken")

    with pytest.raises(EngineError, match="no engine can run it: a: a is broken; b: b is broken"):
        first_that_opens(["a", "b"], "it", fail)
    with pytest.raises(EngineError, match="^a is broken"):
        first_that_opens(["a"], "it", fail)


def test_what_is_wrong_with_the_model_is_raised_at_once(caplog: pytest.LogCaptureFixture) -> None:
    def fail(name: str) -> object:
        raise ModelError("damaged weights")

    with pytest.raises(ModelError):
        first_that_opens(["a", "b"], "it", fail)
    assert not caplog.records


def test_what_is_asked_for_goes_before_the_choice_s_own() -> None:
    def told(what: str, share: float | None) -> None:
        pass

    assert as_choice(None) == EngineChoice()
    assert as_choice("openvino", "fp32", told) == EngineChoice("openvino", "fp32", told)
    whole = EngineChoice("tensorrt", "int8", told)
    assert as_choice(whole) == whole and as_choice(whole, "fp32") == EngineChoice("tensorrt", "fp32", told)


def test_looking_imports_no_runtime() -> None:
    script = (
        "import sys; from vidpred_ros.engines import choice; choice.obstacles(); choice.candidates(None);"
        "assert not {'torch', 'openvino', 'onnxruntime', 'tensorrt'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
