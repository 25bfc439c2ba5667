"""The camera node: replays any SOURCE as a camera.

Publishes    ~/image_raw (sensor_msgs/Image) or ~/image_raw/compressed (sensor_msgs/CompressedImage, JPEG)
             ~/camera_info where the source knows its intrinsics (the synthetic drive does)
             /clock with publish_clock

Frames go out at the pace of the source's stamps, faster or slower where ``rate`` asks for it. They are stamped with the
time at which they were due, so a loop goes on without a jump; with publish_clock they keep the source's own stamps, and a
loop goes back in time, as `ros2 bag play --loop` does.
"""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from pathlib import Path

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.task import Future
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from vidpred_ros.nodes.messages import ns_to_stamp
from vidpred_ros.nodes.parameters import CAMERA, Parameters
from vidpred_ros.nodes.process import run_node
from vidpred_ros.nodes.replay import Replay, Shot, parse_size
from vidpred_ros.sources import open_source

#: Later than this, the camera gives up on catching up and shifts its schedule.
_LATE_NS = 500_000_000
#: Subscribers that the publisher has found may not have found the publisher yet.
_SETTLE_S = 0.5


class CameraNode(Node):
    """See the module's docstring for topics; the parameters are in parameters.CAMERA."""

    def __init__(self) -> None:
        super().__init__("camera", automatically_declare_parameters_from_overrides=True)
        self._declared = Parameters(self, CAMERA)
        self.finished: Future[None] = Future()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._replay: Replay | None = None
        self._sent: list[int] = []

    def start(self) -> None:
        """Open the source and begin to send. Raises ConfigError or SourceError."""
        self._settings = self._declared.values()
        compressed = self._settings["image_transport"] == "compressed"
        source = open_source(self._settings["source"], topic=self._settings["topic"] or None)
        size = parse_size(self._settings["size"])
        self._speed = self._settings["rate"] / source.rate_hz if self._settings["rate"] else 1.0
        # reliable serves subscribers of both kinds; a queue of a few frames, so that none is lost while one is resent
        qos = QoSProfile(depth=10)
        if compressed:
            self._images = self.create_publisher(CompressedImage, "~/image_raw/compressed", qos)
        else:
            self._images = self.create_publisher(Image, "~/image_raw", qos)
        self._infos = self.create_publisher(CameraInfo, "~/camera_info", qos)
        self._clock_publisher = (
            self.create_publisher(Clock, "/clock", 10) if self._settings["publish_clock"] else None
        )
        self._replay = Replay(source, size, compressed, self._settings["frame_id"], self._settings["loop"])
        self._thread = threading.Thread(target=self._run, name="camera")
        self._thread.start()
        rate = source.rate_hz * self._speed
        self.get_logger().info(
            f"{source.name}: {len(source)} frames at {rate:g} Hz on {self._images.topic_name}"
        )

    def close(self) -> None:
        """End the threads and write the list of frames sent, if one was asked for."""
        self._closing.set()
        if self._replay is not None:
            self._replay.close()
        if self._thread is not None:
            self._thread.join()
            if self._settings["sent_file"]:
                Path(self._settings["sent_file"]).write_text(json.dumps({"stamps_ns": self._sent}))

    def _run(self) -> None:
        try:
            self._send_all()
        except Exception as error:  # noqa: BLE001 - raised again where the process waits for the future
            if self.context.ok():
                self.finished.set_exception(error)
        else:
            self.finished.set_result(None)

    def _send_all(self) -> None:
        assert self._replay is not None
        self._replay.prefill()
        self._wait_for_subscribers()
        self.get_logger().info(
            f"sending the first frame to {self._images.get_subscription_count()} subscribers"
        )
        limit_ns = self._settings["duration"] * 1e9 * self._speed or math.inf
        start = time.monotonic_ns()
        offset = self.get_clock().now().nanoseconds - start
        for shot in self._replay:
            if shot.elapsed_ns >= limit_ns:
                break
            due = start + round(shot.elapsed_ns / self._speed)
            late = time.monotonic_ns() - due
            if late > _LATE_NS:
                start, due = start + late, due + late
                self.get_logger().warning(
                    f"cannot keep up with the rate: the source is {late / 1e9:.1f} s late",
                    throttle_duration_sec=5.0,
                )
            if self._closing.wait(max(0, -late) / 1e9):
                return
            self._send(shot, shot.source_stamp_ns if self._clock_publisher else due + offset)
        self._images.wait_for_all_acked(Duration(seconds=1))

    def _send(self, shot: Shot, stamp_ns: int) -> None:
        stamp = ns_to_stamp(stamp_ns)
        if self._clock_publisher is not None:
            self._clock_publisher.publish(Clock(clock=stamp))
        shot.message.header.stamp = stamp
        self._images.publish(shot.message)
        self._sent.append(stamp_ns)
        if self._replay is not None and self._replay.info is not None:
            self._replay.info.header.stamp = stamp
            self._infos.publish(self._replay.info)

    def _wait_for_subscribers(self) -> None:
        wanted = self._settings["wait_for_subscribers"]
        while self._images.get_subscription_count() < wanted and not self._closing.wait(0.05):
            self.get_logger().info(f"waiting for {wanted} subscribers", throttle_duration_sec=5.0)
        if wanted:
            self._closing.wait(_SETTLE_S)


def main() -> int:
    """Run the node until the source is over or a signal comes. Returns the process's exit code."""
    return run_node(CameraNode)


if __name__ == "__main__":
    sys.exit(main())
