"""A picture of a topic without ros2 and RViz."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from helpers.ros import Graph
from sensor_msgs.msg import Image

from vidpred_ros.errors import VidpredError
from vidpred_ros.nodes.messages import image_message
from vidpred_ros.nodes.snapshot import snapshot


def test_the_next_image_becomes_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph(tmp_path)
    monkeypatch.setenv("ROS_DOMAIN_ID", str(graph.domain))
    picture = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    publisher, done = graph.node.create_publisher(Image, "/front", 10), threading.Event()

    def send() -> None:
        while not done.wait(0.05):
            publisher.publish(image_message(picture, 0, "camera"))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        snapshot("/front", tmp_path / "front.png", 40.0)
        assert np.array_equal(cv2.imread(str(tmp_path / "front.png"))[..., ::-1], picture)
        with pytest.raises(VidpredError, match="cannot be written"):
            snapshot("/front", tmp_path / "front.what", 40.0)
        with pytest.raises(VidpredError, match="Invalid topic name"):
            snapshot("/no topic", tmp_path / "front.png")
        with pytest.raises(VidpredError, match="no image came on /rear in 0.1 s"):
            snapshot("/rear", tmp_path / "rear.png", 0.1)
    finally:
        done.set()
        thread.join()
        graph.close()
