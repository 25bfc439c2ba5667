"""The node's part of the benchmark, on a recording made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from vidpred_ros.bench.node import CAMERA_RATE, CAMERA_SIZE, measure_cameras, measure_node
from vidpred_ros.evaluation.recording import Recording
from vidpred_ros.nodes import load


def recording(each: dict[str, list[float]]) -> Recording:
    stamps = [i * 100_000_000 for i in range(10)]
    summary = {
        "diagnostics": {"period_s": "0.100", "window": "8 of 8", "received": "10", "missed": "0"},
        "sent_stamps_ns": stamps,
        "info_stamps_ns": stamps[7:],
        "latency_ms": {},
        "latency_ms_each": each,
        "resident_mb": {"now": 90.0, "peak": 99.0},
        "cpu_percent": 12.0,
        "model": "tiny",
        "engine": "openvino bf16",
        "steps": 1,
    }
    none = np.zeros(0, np.int64)
    return Recording(none, none, none, none, none, summary)


def test_figures_and_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    each = {stage: [1.0, 2.0, 3.0] for stage in ("receive", "convert", "wait", "publish")}
    each |= {"predict/infer": [5.0] * 3, "predict": [5.5] * 3, "total": [9.5, 13.5, 17.5]}
    asked = []

    def record(*arguments: object) -> Recording:
        asked.append(arguments)
        return recording(each)

    monkeypatch.setattr(load, "record_load", record)
    figures, trace = measure_node("tiny", None, 1, 20.0)
    assert asked[0][:3] == (CAMERA_SIZE, CAMERA_RATE, 20.0)
    assert figures["windows"]["predicted"] == 3
    assert figures["stages"]["total less inference"]["median"] == pytest.approx(8.5)
    frames = {event["args"]["frame"] for event in trace["traceEvents"] if event["ph"] == "X"}
    assert frames == {0, 1, 2}


def test_several_cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    one = recording({}).summary
    shared = {name: one[name] for name in ("resident_mb", "cpu_percent", "steps")}
    late = one | {"info_stamps_ns": one["info_stamps_ns"][::2]}
    none = np.zeros(0, np.int64)
    asked = []

    def record(*arguments: object) -> Recording:
        asked.append(arguments)
        return Recording(none, none, none, none, none, shared | {"cameras": {"camera_1": one, "camera_2": late}})

    monkeypatch.setattr(load, "record_load", record)
    figures = measure_cameras("tiny", None, 5, 20.0, 2)
    assert asked[0][:6] == (CAMERA_SIZE, 10.0, 20.0, "tiny", None, 5) and asked[0][-1] == 2
    assert figures["resident_mb"] == {"now": 90.0, "peak": 99.0}
    assert [of["rate_out_hz"] for of in figures["cameras"].values()] == [10.0, 5.0]


def test_a_baseline_has_no_inference(monkeypatch: pytest.MonkeyPatch) -> None:
    each = {"receive": [1.0] * 3, "predict": [0.1] * 3, "total": [2.0] * 3}
    monkeypatch.setattr(load, "record_load", lambda *arguments: recording(each))
    figures, trace = measure_node("copy_last", None, 1, 1.0)
    assert "stages" not in figures and len(trace["traceEvents"]) > 0
