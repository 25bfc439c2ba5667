"""What is said while a node configures: by the object itself, and by a real node's process to a listener in this one."""

from __future__ import annotations

import re
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from helpers.ros import Graph, level, values
from lifecycle_msgs.msg import Transition

from vidpred_ros.engines import GraphSpec, exported_file
from vidpred_ros.models import ReleasedModel
from vidpred_ros.nodes import preparation
from vidpred_ros.nodes.preparation import Preparation, describe


class Ears:
    """Keeps what is reported and logged."""

    def __init__(self) -> None:
        self.reports: list[tuple[str, float | None]] = []
        self.lines: list[str] = []
        self.told = threading.Event()

    def report(self, what: str, share: float | None, seconds: float) -> None:
        self.reports.append((what, share))
        assert seconds >= 0
        self.told.set()


def test_a_beginning_is_told_at_once_and_what_goes_on_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "REPORT_EVERY_S", 0.02)
    monkeypatch.setattr(preparation, "LOG_EVERY_S", 0.05)
    ears = Ears()
    with closing(Preparation(ears.report, ears.lines.append)) as tell:
        tell("exporting tiny", None)
        for done in range(10):
            tell("building tiny", done / 10)
            time.sleep(0.02)
    assert ("exporting tiny", None) in ears.reports or ("building tiny", 0.0) in ears.reports
    shares = [share for what, share in ears.reports if what == "building tiny"]
    assert len(shares) > 3 and shares == sorted(shares), "as it goes on"
    assert ears.lines[:2] == ["exporting tiny", "building tiny"], "each beginning once"
    assert any("building tiny: " in line and " %, " in line for line in ears.lines[2:])
    count = len(ears.reports)
    time.sleep(0.06)
    assert len(ears.reports) == count, "nothing after the end"


def test_what_is_done_at_once_is_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    ears = Ears()
    with closing(Preparation(ears.report, ears.lines.append)):
        pass
    assert not ears.reports and not ears.lines


def test_in_words() -> None:
    assert describe("building it", 0.429, 12.3) == "building it: 43 %, 12 s so far"
    assert describe("exporting it", None, 3.0) == "exporting it: 3 s so far"


def test_work_that_is_no_longer_wanted_is_ended() -> None:
    ears, wanted = Ears(), True
    with closing(Preparation(ears.report, ears.lines.append, lambda: wanted)) as tell:
        tell("building tiny: parsing", 0.1)
        tell("building tiny: choosing kernels", 0.2)
        wanted = False
        with pytest.raises(KeyboardInterrupt):
            tell("building tiny: choosing kernels", 0.3)
    assert ears.lines == ["building tiny"], "a phase is no beginning"


#: The predictor as a process of its own, in which an engine takes its time to be built.
SLOW = """
import sys, time
from vidpred_ros.nodes import lanes, predictor
from vidpred_ros.predictors import make_predictor

def slow(model, engine, steps):
    for percent in range(0, 100, 2):
        engine.progress("building the TensorRT engine of tiny", percent / 100)
        time.sleep({pause})
    return make_predictor(model, engine, steps)

lanes.make_predictor = slow
sys.exit(predictor.main())
"""

#: And one in which the best engine cannot be opened.
BROKEN = """
import sys
from vidpred_ros import engines
from vidpred_ros.nodes import predictor

def candidates(precision):
    return ["tensorrt", "onnxruntime"]

engines.candidates = candidates
sys.exit(predictor.main())
"""


def test_a_listener_sees_how_far_configuring_has_got(graph: Graph) -> None:
    reports = graph.reports()
    running = graph.start("predictor", {"model": "copy_last"}, script=SLOW.format(pause=0.08))
    graph.until(lambda: reports, "the report of a node that is not configured")
    assert graph.change_state(Transition.TRANSITION_CONFIGURE), running.output
    told = [report for report in reports if values(report)["state"] == "configuring"]
    assert len(told) >= 3, "the executor is busy for four seconds"
    assert all(level(report) == "WARN" and report.name == "predictor: forecast" for report in told)
    assert all("building the TensorRT engine of tiny: " in report.message and "s so far" in report.message for report in told)
    shares, seconds = ([float(values(report)[key]) for report in told] for key in ("done", "seconds"))
    assert shares == sorted(shares) and len(set(shares)) > 2 and seconds == sorted(seconds)
    count = len(reports)
    graph.until(lambda: len(reports) > count and values(reports[-1])["state"] == "inactive", "the report of an inactive node")
    lines = running.output
    assert lines.count("]: building the TensorRT engine of tiny\n") == 1 and re.search(r"configured in \d+\.\d s", lines)


def test_a_signal_ends_a_build(graph: Graph) -> None:
    running = graph.start("predictor", {"model": "copy_last", "autostart": True}, script=SLOW.format(pause=0.5))
    graph.until(lambda: "building the TensorRT engine" in running.output, "the build")
    assert running.stop() == 0, running.output
    assert "Traceback" not in running.output and "configured in" not in running.output


def test_an_engine_that_fails_is_passed_over_with_a_warning_in_the_node_s_log(graph: Graph, tiny_model: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    exported_file(ReleasedModel(tiny_model), GraphSpec("stream", 2))  # a busy machine takes its time
    running = graph.start("predictor", {"model": str(tiny_model), "steps": 2}, script=BROKEN)
    assert graph.change_state(Transition.TRANSITION_CONFIGURE), running.output
    lines = running.output
    assert "[WARN]" in lines and "engine tensorrt cannot run tiny (stream) and onnxruntime takes its place: " in lines
    assert "forecast: tiny on onnxruntime fp32" in lines

    named = graph.start("predictor", {"model": str(tiny_model), "engine": "tensorrt", "autostart": True}, "__node:=other")
    graph.until(lambda: named.process.poll() is not None, "its end")
    assert named.process.returncode == 1 and "engine 'tensorrt' " in named.output
