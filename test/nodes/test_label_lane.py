"""The lane of another node's label maps, in this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

import numpy as np
from rclpy.logging import get_logger

from vidpred_ros.forecast import Forecast
from vidpred_ros.nodes.label_lane import LabelTopicLane
from vidpred_ros.nodes.lane import Arrival
from vidpred_ros.nodes.messages import image_message, label_message
from vidpred_ros.nodes.picture import Picture
from vidpred_ros.predictors.label_baselines import MovedLabels
from vidpred_ros.semantics import TRAIN_IDS

PERIOD_NS = 100_000_000
NODE: Any = SimpleNamespace(get_logger=lambda: get_logger("lane"), context=SimpleNamespace(ok=lambda: True))


class Heard:
    """Outputs that remember which windows were forecast from."""

    what = "2 label maps"

    def __init__(self) -> None:
        self.sources: list[int] = []

    def announce(self) -> None:
        self.sources.clear()

    def publish(self, forecast: Forecast, last: np.ndarray, frame_id: str) -> None:
        assert forecast.horizons[0].labels is not None

    def publish_info(self, forecast: Forecast, *rest: Any) -> None:
        self.sources.append(forecast.source_stamp_ns)

    def destroy(self) -> None:
        """Nothing is kept."""


def make_lane() -> tuple[LabelTopicLane, Heard]:
    """One that pairs label maps with the camera's frames."""
    predictor, said = MovedLabels(None, (32, 64), 0.1, 2, 3, (32, 64)), Heard()
    lane = LabelTopicLane(NODE, predictor, said, predictor.close, TRAIN_IDS)
    lane.start()
    return lane, said


def arrival(k: int) -> Arrival:
    return Arrival(k * PERIOD_NS, "front", 0, 0.0, time.perf_counter())


def show(k: int, lane: LabelTopicLane) -> None:
    """Image number ``k`` of a camera at 10 Hz."""
    lane.take(arrival(k), Picture(image_message(np.full((96, 128, 3), k, np.uint8), k * PERIOD_NS, "front")))


def send(k: int, lane: LabelTopicLane, height: int = 48) -> None:
    """The label map of image number ``k``."""
    lane.take_labels(arrival(k), label_message(np.zeros((height, 2 * height), np.uint8), k * PERIOD_NS, "front"))


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_two_images_of_one_stamp_make_one_frame() -> None:
    lane, said = make_lane()
    for k in range(3):
        show(k, lane)
        show(k, lane)
        send(k, lane)
    until(lambda: said.sources)
    assert said.sources == [2 * PERIOD_NS] and not lane.counters.drops
    lane.close()


def test_reset_forgets_the_label_maps_that_wait_and_their_size() -> None:
    lane, said = make_lane()
    for k in range(3):
        show(k, lane)
        send(k, lane)
    until(lambda: said.sources)
    send(3, lane)  # its frame comes after the reset
    assert lane.forget() == 3
    for k in range(3, 6):
        show(k, lane)
    assert not len(lane.window), "a label map of before the reset"
    for k in range(6, 9):
        show(k, lane)
        send(k, lane, height=96)
    until(lambda: len(said.sources) > 1)
    assert said.sources == [2 * PERIOD_NS, 8 * PERIOD_NS] and not lane.counters.drops, "another size is no fault after a reset"
    lane.close()
