"""What is said while a node configures: by the object itself, and by a real node to a listener in another process."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

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
