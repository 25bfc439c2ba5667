"""Lanes in this process: none waits for another, and each keeps its own window."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

import numpy as np
from rclpy.logging import get_logger

from vidpred_ros.forecast import Forecast
from vidpred_ros.nodes.crew import Crew
from vidpred_ros.nodes.lane import Arrival, Job, Lane
from vidpred_ros.nodes.messages import image_message
from vidpred_ros.nodes.picture import Picture
from vidpred_ros.predictors import CopyLast
from vidpred_ros.window import Window

PERIOD_NS = 100_000_000
NODE: Any = SimpleNamespace(get_logger=lambda: get_logger("lane"), context=SimpleNamespace(ok=lambda: True))


class Said:
    """Outputs that remember what was said."""

    what = "2 images"

    def __init__(self) -> None:
        self.sources: list[int] = []
        self.stages: dict[str, float] = {}
        self.destroyed = False

    def announce(self) -> None:
        self.sources.clear()

    def publish(self, forecast: Forecast, last: np.ndarray, frame_id: str) -> None:
        assert forecast.horizons[0].frame is not None

    def publish_info(self, forecast: Forecast, frame_id: str, engine: str, sequence: int, latency_ms: Any) -> None:
        self.sources.append(forecast.source_stamp_ns)
        self.stages = dict(latency_ms)

    def destroy(self) -> None:
        self.destroyed = True


class Slow(CopyLast):
    """Predicts once it is let."""

    def __init__(self, size: tuple[int, int], length: int) -> None:
        super().__init__(size, 0.1, 2, length)
        self.begun, self.gate = threading.Event(), threading.Event()

    def predict(self, window: Window) -> Forecast:
        self.begun.set()
        assert self.gate.wait(20)
        return super().predict(window)


def show(k: int, *lanes: Lane, data: bytes | None = None) -> None:
    """Image number ``k`` of a camera at 10 Hz."""
    message = image_message(np.full((96, 128, 3), k, np.uint8), k * PERIOD_NS, "front")
    if data is not None:
        message.data = data
    arrival, picture = Arrival(k * PERIOD_NS, "front", 0, 0.0, time.perf_counter()), Picture(message)
    for lane in lanes:
        lane.take(arrival, picture)


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def make_lane(predictor: CopyLast) -> tuple[Lane, Said]:
    said = Said()
    lane = Lane(NODE, predictor, said, predictor.close)
    lane.start()
    return lane, said


def test_a_lane_that_is_busy_delays_no_other(capfd: pytest.CaptureFixture[str]) -> None:
    slow = Slow((64, 128), 4)
    labels, late = make_lane(slow)
    frames, said = make_lane(CopyLast((32, 40), 0.1, 2, 8))
    for k in range(20):
        show(k, frames, labels)
        if k == 3:
            assert slow.begun.wait(20)
        if k >= 7:
            until(lambda k=k: said.sources[-1:] == [k * PERIOD_NS])
    assert said.sources == [k * PERIOD_NS for k in range(7, 20)], "every window of the one"
    assert not late.sources
    slow.gate.set()
    until(lambda: late.sources[-1:] == [19 * PERIOD_NS])
    assert late.sources == [3 * PERIOD_NS, 19 * PERIOD_NS], "the window at hand, then the newest"
    assert labels.counters.drops["predictor busy"] == 15 and not frames.counters.drops
    assert "".join(capfd.readouterr()).count("first forecast: 2 images, ") == 2, "once for each lane"
    assert late.stages["wait"] >= 0 and late.stages["total"] >= late.stages["predict"]
    for lane, outputs in ((frames, said), (labels, late)):
        lane.close()
        assert outputs.destroyed and not len(lane.window)


def test_frames_come_at_the_size_of_each_lane() -> None:
    small, _ = make_lane(CopyLast((32, 40), 0.1, 2, 3))
    large, _ = make_lane(CopyLast((64, 128), 0.1, 2, 3))
    for k in range(3):
        show(k, small, large)
    for lane, size in ((small, (32, 40)), (large, (64, 128))):
        window = lane.window.window()
        assert window is not None and {frame.shape for frame in window.frames} == {(*size, 3)}
        lane.close()


def test_a_corrupt_image_is_each_lane_s_own_fault_and_no_more() -> None:
    lane, said = make_lane(CopyLast((32, 40), 0.1, 2, 3))
    show(0, lane)
    show(1, lane, data=b"short")
    assert lane.counters.drops["corrupt image"] == 1 and "5 bytes" in lane.counters.fault
    for k in range(2, 6):
        show(k, lane)
    until(lambda: said.sources)
    assert lane.forget() == 3 and lane.counters.resets["service"] == 1
    lane.close()


def test_a_predictor_that_fails_is_reported_and_tried_again() -> None:
    class Fails(CopyLast):
        def predict(self, window: Window) -> Forecast:
            if window.sequence < 4:
                raise RuntimeError("out of memory")
            return super().predict(window)

    lane, said = make_lane(Fails((32, 40), 0.1, 2, 2))
    for k in range(3):
        show(k, lane)
        until(lambda k=k: k < 1 or lane.counters.drops["prediction failed"] == k)
    assert "RuntimeError: out of memory" in lane.counters.fault
    show(3, lane)
    until(lambda: said.sources == [3 * PERIOD_NS])
    lane.close()


def test_lanes_of_one_crew_take_turns() -> None:
    """The camera that waited longest is next, with its newest window."""
    slow, crew, said = Slow((32, 40), 3), Crew(), {name: Said() for name in ("front", "left", "right")}
    lanes = {name: Lane(NODE, slow, outputs, slow.close, crew, name) for name, outputs in said.items()}
    order: list[str] = []
    for name, lane in lanes.items():
        assert lane.image == f"{name}/image"
        lane.start()
        said[name].publish = lambda *_, name=name: order.append(name)  # type: ignore[method-assign]
    for k in range(3):
        show(k, lanes["front"])
    assert slow.begun.wait(20)
    for k in range(5):
        for name in ("right", "left") if k < 4 else ("left", "right"):
            show(k, lanes[name])
    slow.gate.set()
    until(lambda: said["left"].sources and said["right"].sources)
    assert order == ["front", "right", "left"]
    assert said["right"].sources == said["left"].sources == [4 * PERIOD_NS]
    assert [lane.counters.drops["predictor busy"] for lane in lanes.values()] == [0, 2, 2]
    lanes["front"].stop()
    show(5, lanes["left"], lanes["front"])
    until(lambda: said["left"].sources[-1] == 5 * PERIOD_NS)
    for lane in lanes.values():
        lane.close()
    assert said["front"].sources == [2 * PERIOD_NS]


def test_a_crew_of_several_at_once_shares_a_pass_and_a_failure() -> None:
    passes: list[list[str]] = []
    slow = Slow((32, 40), 1)

    def together(jobs: Mapping[Lane, Job]) -> dict[Lane, Forecast | None]:
        passes.append([lane.image for lane in jobs])
        forecasts = {lane: slow.predict(job.window) for lane, job in jobs.items()}
        if len(passes) == 2:
            raise RuntimeError("out of memory")
        return dict(list(forecasts.items())[:1])  # the others only followed

    crew, outputs = Crew(together, at_once=2), [Said() for _ in range(3)]
    lanes = [Lane(NODE, slow, said, slow.close, crew, name) for said, name in zip(outputs, "abc", strict=True)]
    for lane in lanes:
        lane.start()
    show(0, lanes[0])
    assert slow.begun.wait(20)
    show(1, *lanes)
    slow.gate.set()
    until(lambda: len(passes) == 3)
    assert passes == [["a/image"], ["a/image", "b/image"], ["c/image"]]
    until(lambda: outputs[2].sources)
    assert [lane.counters.drops["prediction failed"] for lane in lanes] == [1, 1, 0]
    assert "out of memory" in lanes[1].counters.fault
    for lane in lanes:
        lane.close()


def test_a_predictor_that_follows_sees_every_frame_from_the_first() -> None:
    seen: list[int] = []

    class Follows(CopyLast):
        def follow(self, window: Window) -> None:
            seen.append(len(window.frames))

    predictor = Follows((32, 40), 0.1, 2, 4)
    lane, said = make_lane(predictor)
    for k in range(3):
        show(k, lane)
        until(lambda k=k: seen[-1:] == [k + 1])
    assert not said.sources and not lane.counters.predicted
    show(3, lane)
    until(lambda: said.sources == [3 * PERIOD_NS])
    assert seen == [1, 2, 3] and not lane.counters.drops
    lane.close()
