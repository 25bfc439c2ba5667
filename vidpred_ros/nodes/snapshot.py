"""``python -m vidpred_ros.nodes.snapshot TOPIC FILE``: the next image of a topic as a picture, where there is no ros2 and no RViz."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import rclpy
from rclpy.exceptions import InvalidTopicNameException
from rclpy.task import Future
from sensor_msgs.msg import Image

from vidpred_ros.errors import VidpredError
from vidpred_ros.images import to_rgb
from vidpred_ros.nodes import middleware
from vidpred_ros.nodes.qos import NEWEST

_PATIENCE_S = 10.0


def snapshot(topic: str, file: Path, patience_s: float = _PATIENCE_S) -> None:
    """Wait for an image and write it. Raises VidpredError for a topic's name that is none, where no image comes, or where it cannot be
    read or written."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("snapshot", context=context)
    try:
        executor = rclpy.executors.SingleThreadedExecutor(context=context)
        executor.add_node(node)
        first: Future[Image] = Future()
        try:
            node.create_subscription(Image, topic, first.set_result, NEWEST)
        except InvalidTopicNameException as error:
            raise VidpredError(str(error)) from None
        executor.spin_until_future_complete(first, patience_s)
        image = first.result() if first.done() else None
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)
    if image is None:
        raise VidpredError(f"no image came on {topic} in {patience_s:g} s: is its node active, and is the name right?")
    rgb = to_rgb(image.height, image.width, image.encoding, image.is_bigendian, image.step, image.data)
    try:
        written = cv2.imwrite(str(file), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    except cv2.error:  # a suffix that stands for no format
        written = False
    if not written:
        raise VidpredError(f"{file} cannot be written: name a .png or .jpg in a folder that is there")


def main() -> int:
    """Returns the process's exit code."""
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    middleware.prepare()
    try:
        snapshot(sys.argv[1], Path(sys.argv[2]))
    except VidpredError as error:
        print(f"vidpred_ros: {error}", file=sys.stderr)
        return 1
    print(sys.argv[2])
    return 0


if __name__ == "__main__":
    sys.exit(main())
