"""What the collector keeps of /diagnostics."""

from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from diagnostic_msgs.msg import DiagnosticArray

from vidpred_ros.nodes.collector import CollectorNode
from vidpred_ros.nodes.diagnostics import BUSY, Counters, Reporter, Subject

SUBJECT = Subject("active", "/image", 4, 4, 0.1, "hvp", "openvino", timeout_s=2.0, every_window=False)


def test_after_the_camera_s_end_a_report_is_still_of_what_went_on(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    node: Any = SimpleNamespace(_reports={}, _hears=True, _settings={"predictor": "predictor"})  # without a graph
    counters, reporter = Counters(began=now, last_frame=now), Reporter("predictor: labels")

    def report(subject: Subject = SUBJECT) -> dict[str, str]:
        status = reporter.report(counters, subject, lambda: "nobody publishes /image")
        CollectorNode._on_diagnostics(node, DiagnosticArray(status=[status]))
        return node._reports["predictor: labels"]

    now = 103.0
    assert "nobody publishes" in report()["message"], "no frame came so far"
    assert "is inactive" in report(replace(SUBJECT, state="inactive"))["message"]
    for _ in range(10):
        counters.count_frame(0)
        counters.count_drop(BUSY)
    now = 104.0
    slow = report()
    assert slow["message"] == "predicting at 0.0 Hz; windows skipped for newer ones: 10"
    counters.count_drop(BUSY)
    now = 104.5
    assert report() == slow | {"dropped/predictor busy": "11"}, 'and not "waiting for frames"'
    now = 107.0
    assert report() == slow | {"dropped/predictor busy": "11"}, 'and not "no frame for 3.0 s"'
