import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from diagnostic_msgs.msg import DiagnosticStatus

from vidpred_ros.nodes.diagnostics import BUSY, Counters, Reporter, Subject, explain_silence
from vidpred_ros.nodes.messages import read_values
from vidpred_ros.nodes.qos import NEWEST

SUBJECT = Subject("active", "/image", 8, 8, 0.1, "hrp", "openvino", timeout_s=2.0)


def report(
    counters: Counters, subject: Subject = SUBJECT, reporter: Reporter | None = None
) -> tuple[bytes, str, dict[str, str]]:
    status = (reporter or Reporter("predictor: forecast")).report(
        counters, subject, lambda: "nobody publishes /image"
    )
    return status.level, status.message, read_values(status)


def working() -> Counters:
    counters = Counters()
    counters.count_frame(missed_before=0)
    counters.count_forecast(total_ms=20.0, overhead_ms=5.0)
    return counters


def test_all_is_well() -> None:
    level, message, values = report(working())
    assert level == DiagnosticStatus.OK and "predicting at" in message
    assert values["window"] == "8 of 8" and (values["model"], values["engine"]) == ("hrp", "openvino")
    assert (values["latency_ms/median"], values["overhead_ms/p99"]) == ("20.000", "5.000")


def test_rates_are_those_since_the_last_report(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    reporter, counters = Reporter("predictor: forecast"), Counters(began=now)
    for _ in range(60):
        counters.count_frame(0)
    for _ in range(20):
        counters.count_forecast(1.0, 1.0)
    now = 102.0
    values = report(counters, reporter=reporter)[2]
    assert (values["rate_in_hz"], values["rate_out_hz"]) == ("30.000", "10.000")
    now = 103.0
    values = report(counters, reporter=reporter)[2]
    assert (values["rate_in_hz"], values["rate_out_hz"]) == ("0.000", "0.000")
    now = 103.6
    counters = Counters(began=now)  # of another activation
    for _ in range(12):
        counters.count_frame(0)
    counters.count_drop("corrupt image", "the image has 3 bytes")
    now = 104.0
    _, message, values = report(counters, reporter=reporter)
    assert values["rate_in_hz"] == "30.000" and message.startswith("1 x corrupt image")


@pytest.mark.parametrize(
    ("state", "advice"),
    [("unconfigured", ": configure and activate it"), ("inactive", ": activate it"), ("finalized", ": end its process and start it")],
)
def test_a_node_that_does_nothing_says_what_to_do(state: str, advice: str) -> None:
    level, message, _ = report(Counters(), replace(SUBJECT, state=state))
    assert level == DiagnosticStatus.WARN and f"is {state} and" in message and advice in message


def test_a_failed_configure_is_an_error() -> None:
    level, message, _ = report(
        Counters(), replace(SUBJECT, state="unconfigured", error="configure failed: no model x")
    )
    assert level == DiagnosticStatus.ERROR and "no model x" in message


def test_silence_is_an_error_with_its_reason() -> None:
    counters = working()
    counters.last_frame -= 3
    level, message, _ = report(counters)
    assert level == DiagnosticStatus.ERROR
    assert message.startswith("no frame for 3.") and "nobody publishes /image" in message


@pytest.mark.parametrize(
    ("reason", "told"),
    [("corrupt image", "1 x corrupt image"), (BUSY, "the predictor is too slow: 1 windows")],
)
def test_faults_are_told_while_they_are_new(reason: str, told: str) -> None:
    counters, reporter = working(), Reporter("predictor: forecast")
    counters.count_drop(reason, "the image has 3 bytes")
    level, message, values = report(counters, reporter=reporter)
    assert level == DiagnosticStatus.WARN and told in message
    assert values[f"dropped/{reason}"] == "1"
    counters.count_frame(0)
    level, _, values = report(counters, reporter=reporter)
    assert level == DiagnosticStatus.OK, "an old fault is counted, not told again"
    assert values[f"dropped/{reason}"] == "1"


def test_a_lane_that_need_not_keep_up_is_well_and_says_what_it_skipped() -> None:
    counters = working()
    counters.count_drop(BUSY)
    level, message, values = report(counters, replace(SUBJECT, every_window=False))
    assert level == DiagnosticStatus.OK
    assert message.startswith("predicting at") and message.endswith("windows skipped for newer ones: 1")
    assert values[f"dropped/{BUSY}"] == "1"


@pytest.mark.parametrize(
    "reason", ["corrupt label map", "unknown label ids", "label map size changed", "label map without image"]
)
def test_bad_label_maps_are_faults(reason: str) -> None:
    counters = working()
    counters.count_drop(reason, "what is wrong with it")
    level, message, _ = report(counters)
    assert level == DiagnosticStatus.WARN
    assert f"1 x {reason}" in message and message.endswith("what is wrong with it")


def test_counts_are_not_disturbed_by_a_report() -> None:
    counters = working()
    snapshot = counters.snapshot()
    counters.count_drop("corrupt image")
    counters.count_forecast(1.0, 1.0)
    assert not snapshot.drops and len(snapshot.totals_ms) == 1


@pytest.mark.parametrize(
    ("name", "kind", "advice"),
    [
        ("front/image", "sensor_msgs/msg/CompressedImage", "choose the parameter image_transport"),
        ("front/image", "std_msgs/msg/String", "remap the topic front/image"),
        ("labels", "sensor_msgs/msg/CompressedImage", "remap the topic labels"),
    ],
)
def test_the_advice_for_a_wrong_type_is_one_that_helps(name: str, kind: str, advice: str) -> None:
    node: Any = SimpleNamespace(get_publishers_info_by_topic=lambda topic: [SimpleNamespace(topic_type=kind)])
    said = explain_silence(node, f"/{name}", "sensor_msgs/msg/Image", NEWEST, name)
    assert said.startswith(f"/{name} carries {kind}, not sensor_msgs/msg/Image; {advice}")
