"""The camera as a process in a real graph."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

import numpy as np
from helpers.ros import Graph, rgb, stamp, write_sequence
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from vidpred_ros.images import decode_compressed
from vidpred_ros.nodes.messages import stamp_to_ns
from vidpred_ros.sources import open_source

DRIVE = "synthetic:seed=3,seconds=0.6,rate=20,width=64,height=48"  # 12 frames
PERIOD_NS = 50_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """12 frames at 20 Hz as SOURCE."""
    return write_sequence(tmp_path_factory.mktemp("source") / "sequence", 12, 20.0, 48, 64)


def test_every_frame_of_a_source_goes_out_once_and_the_node_ends(graph: Graph, tmp_path: Path) -> None:
    frames = [frame.image for frame in open_source(DRIVE)]
    images, infos = graph.listen(Image, "camera/image_raw"), graph.listen(CameraInfo, "camera/camera_info")
    sent_file = tmp_path / "sent.json"
    node = graph.start(
        "camera",
        {
            "source": DRIVE,
            "loop": False,
            "wait_for_subscribers": 1,
            "sent_file": str(sent_file),
            "frame_id": "front",
        },
    )
    graph.until(lambda: node.process.poll() is not None, "the end of the source")
    graph.until(lambda: len(images) == 12 and infos, "all frames")
    assert node.process.returncode == 0
    assert all(np.array_equal(rgb(image), frame) for image, frame in zip(images, frames, strict=True))
    stamps = [stamp(image) for image in images]
    assert np.abs(np.diff(stamps) - PERIOD_NS).max() <= 1, "stamps are those of the schedule"
    assert json.loads(sent_file.read_text()) == {"stamps_ns": stamps}
    assert images[0].header.frame_id == infos[0].header.frame_id == "front"
    assert infos[0].k[0] == open_source(DRIVE).intrinsics[0]
    assert {stamp(info) for info in infos} <= set(stamps)


def test_a_loop_with_a_clock_goes_back_in_time(graph: Graph, folder: str) -> None:
    images, clocks = graph.listen(Image, "camera/image_raw"), graph.listen(Clock, "/clock")
    node = graph.start(
        "camera", {"source": folder, "publish_clock": True, "rate": 60.0, "wait_for_subscribers": 1}
    )
    graph.until(lambda: len(images) > 13, "the second round")
    stamps = [stamp(image) for image in images[:13]]
    own = [frame.stamp_ns for frame in open_source(folder)]
    assert stamps == [*own, own[0]]
    assert {stamp_to_ns(clock.clock) for clock in clocks} <= set(own) and len(clocks) > 6
    assert node.stop(signal.SIGTERM) == 0
    assert "Traceback" not in node.output


def test_a_loop_without_a_clock_goes_on_in_time_at_the_rate_asked_for(graph: Graph, folder: str) -> None:
    compressed = graph.listen(CompressedImage, "camera/image_raw/compressed")
    node = graph.start(
        "camera", {"source": folder, "image_transport": "compressed", "rate": 40.0, "wait_for_subscribers": 1}
    )
    graph.until(lambda: len(compressed) > 13, "the second round")
    assert np.abs(np.diff([stamp(image) for image in compressed[:14]]) - PERIOD_NS // 2).max() <= 1
    decoded = decode_compressed(compressed[12].data, compressed[12].format)
    first = next(iter(open_source(folder))).image
    assert np.abs(decoded.astype(int) - first).mean() < 6, "JPEG of the first frame"
    assert node.stop(signal.SIGINT) == 0
    assert "Traceback" not in node.output


def test_the_duration_ends_a_loop(graph: Graph, folder: str) -> None:
    images = graph.listen(Image, "camera/image_raw")
    node = graph.start(
        "camera", {"source": folder, "duration": 1.0, "size": "32x24", "wait_for_subscribers": 1}
    )
    graph.until(lambda: node.process.poll() is not None, "the end of the node")
    graph.until(lambda: len(images) == 20, "one second of frames")
    assert node.process.returncode == 0
    assert rgb(images[-1]).shape == (24, 32, 3)


def test_what_is_wrong_ends_the_node_with_one_message(graph: Graph) -> None:
    node = graph.start("camera", {"source": "/no/such/drive.mp4"})
    assert node.process.wait(40) == 1
    assert "/no/such/drive.mp4 does not exist" in node.output and "Traceback" not in node.output
