"""What a measurement says of the machine that it was made on."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest

from vidpred_ros.engines import choice
from vidpred_ros.engines.choice import Gpu
from vidpred_ros.evaluation import host


def test_a_machine_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "_ask_driver", lambda: "no NVIDIA GPU: its driver (libcuda.so.1) is not installed")
    about = host.describe()
    assert about["gpu"] is None and about["cores"] >= 1
    json.dumps(about, allow_nan=False)


def test_a_gpu_and_its_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(choice, "_ask_driver", lambda: Gpu("H100", "9.0", 79.6, "13.0"))
    monkeypatch.setattr(host, "DRIVER_FILE", tmp_path / "version")
    assert host.gpu() == "H100 (80 GB, compute capability 9.0, CUDA 13.0)"
    (tmp_path / "version").write_text("580.65.06\n")
    assert host.gpu() == "H100 (80 GB, compute capability 9.0, driver 580.65.06, CUDA 13.0)"


def test_versions_are_of_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"tensorrt-rtx-cu13-libs": "1.7.1.116", "tensorrt-cu12": "10.16.1", "cuda-bindings": "13.5.0", "numpy": "2.4.6"}

    def version(package: str) -> str:
        if package not in there:
            raise metadata.PackageNotFoundError(package)
        return there[package]

    monkeypatch.setattr(host.metadata, "version", version)
    found = host.versions()
    assert {name: found[name] for name in there} == there and found.keys() == there.keys() | {"vidpred_ros", "python"}
