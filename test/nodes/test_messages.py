from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

import rclpy
from hypothesis import given
from hypothesis import strategies as st
from rclpy.node import Node
from sensor_msgs.msg import Image

from vidpred_ros.forecast import Forecast, horizons_from_frames
from vidpred_ros.images import decode_compressed, to_rgb
from vidpred_ros.nodes.messages import (
    ReusedImage,
    compressed_message,
    filmstrip,
    filmstrip_message,
    image_message,
    info_message,
    ns_to_stamp,
    publish_if_heard,
    read_values,
    stamp_to_ns,
)

SOURCE_NS = 5_000_000_000


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 24, 32, 3), np.uint8)


@pytest.fixture
def forecast(frames: np.ndarray) -> Forecast:
    horizons = horizons_from_frames(frames[1:], SOURCE_NS, 100_000_000)
    return Forecast("model", SOURCE_NS, 100_000_000, horizons, {"infer": 3.25})


@pytest.fixture
def node() -> Iterator[Node]:
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("messages", context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


@given(st.integers(min_value=0, max_value=2**31 * 10**9 - 1))
def test_stamps_keep_every_nanosecond(nanoseconds: int) -> None:
    stamp = ns_to_stamp(nanoseconds)
    assert 0 <= stamp.nanosec < 10**9
    assert stamp_to_ns(stamp) == nanoseconds


def test_images_survive_the_message(frames: np.ndarray) -> None:
    message = image_message(frames[0], SOURCE_NS, "front")
    shape = (message.height, message.width, message.encoding, message.is_bigendian, message.step)
    assert np.array_equal(to_rgb(*shape, message.data), frames[0])
    assert (stamp_to_ns(message.header.stamp), message.header.frame_id) == (SOURCE_NS, "front")


def test_a_reused_message_says_what_a_new_one_says() -> None:
    random, reused = np.random.default_rng(0), ReusedImage()
    made = []
    for number, (shape, frame_id) in enumerate([((3, 5, 3), "front")] * 3 + [((3, 5, 3), "rear"), ((4, 4, 3), "rear")]):
        frame = random.integers(0, 256, shape, np.uint8)
        message = reused(frame[:, ::-1] if number == 2 else frame, number * 10**9 + 7, frame_id)
        assert message == image_message(frame[:, ::-1] if number == 2 else frame, number * 10**9 + 7, frame_id)
        made.append(message.data)
    assert len({id(data) for data in made}) == 3, "a new one for another camera and for another size only"


def test_compressed_images_are_jpeg_with_the_right_colours() -> None:
    red = np.full((32, 32, 3), (200, 30, 10), np.uint8)
    message = compressed_message(red, SOURCE_NS, "front")
    assert "jpeg" in message.format and bytes(message.data[:2]) == b"\xff\xd8"
    assert np.abs(decode_compressed(message.data).astype(int) - red).max() <= 4


def test_the_filmstrip_shows_the_last_frame_and_the_futures_in_order(
    frames: np.ndarray, forecast: Forecast
) -> None:
    strip = filmstrip(frames[0], forecast)
    height, width = frames.shape[1:3]
    assert strip.shape[1] == 3 * width + 2 * (strip.shape[1] - 3 * width) // 2
    gap = (strip.shape[1] - 3 * width) // 2
    band = strip.shape[0] - height
    for index, frame in enumerate(frames):
        left = index * (width + gap)
        assert np.array_equal(strip[band:, left : left + width], frame)
        assert strip[:band, left : left + width].max() > 200, "a label stands above each"
    message = filmstrip_message(frames[0], forecast, "front")
    assert stamp_to_ns(message.header.stamp) == SOURCE_NS + 200_000_000


def test_the_info_tells_the_particulars(forecast: Forecast) -> None:
    info = info_message(forecast, "front", "openvino", 17, {"predict": 4.0, "total": 9.5})
    assert stamp_to_ns(info.header.stamp) == SOURCE_NS
    assert read_values(info.status[0]) == {
        "source_stamp_ns": str(SOURCE_NS),
        "period_ns": "100000000",
        "steps": "2",
        "horizon_s": "0.200",
        "model": "model",
        "engine": "openvino",
        "sequence": "17",
        "latency_ms/predict": "4.000",
        "latency_ms/total": "9.500",
    }


def test_nothing_is_drawn_for_a_topic_that_nobody_listens_to(node: Node, frames: np.ndarray) -> None:
    publisher = node.create_publisher(Image, "unheard", 1)
    drawn = []

    def draw(frame: np.ndarray) -> Image:
        drawn.append(frame)
        return image_message(frame, 0, "")

    assert not publish_if_heard(publisher, draw, frames[0])
    assert not drawn
    node.create_subscription(Image, "unheard", lambda image: None, 1)
    while not publisher.get_subscription_count():
        rclpy.spin_once(
            node, executor=rclpy.executors.SingleThreadedExecutor(context=node.context), timeout_sec=0.05
        )
    assert publish_if_heard(publisher, draw, frames[0])
    assert len(drawn) == 1
