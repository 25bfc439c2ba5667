"""The output topics of the lane that predicts frames."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import Image

from vidpred_ros.forecast import Forecast
from vidpred_ros.nodes.messages import ReusedImage, filmstrip_message, info_message, publish_if_heard
from vidpred_ros.nodes.qos import OUTPUT


class FrameOutputs:
    """Publishers of K step images, the filmstrip and the info. Nothing is made for a topic that nobody listens to.

    ``camera`` is the name of one of several, whose topics begin with it.
    """

    def __init__(self, node: LifecycleNode, steps: int, camera: str = "") -> None:
        self._node = node
        future = f"~/{camera}/future" if camera else "~/future"
        self._steps = [
            node.create_lifecycle_publisher(Image, f"{future}/step_{k}/image", OUTPUT) for k in range(1, steps + 1)
        ]
        self._images = [ReusedImage() for _ in self._steps]
        self.what = f"{steps} image{'s, the first' if steps > 1 else ''} on {self._steps[0].topic_name}"
        self._filmstrip = node.create_lifecycle_publisher(Image, f"{future}/filmstrip", OUTPUT)
        self._info = node.create_lifecycle_publisher(DiagnosticArray, f"{future}/info", OUTPUT)

    def announce(self) -> None:
        """Nothing to say beforehand."""

    def publish(self, forecast: Forecast, last: NDArray[np.uint8], frame_id: str) -> None:
        """Each future and, with ``last``, the newest frame of the window, the filmstrip."""
        for publisher, image, horizon in zip(self._steps, self._images, forecast.horizons, strict=True):
            if horizon.frame is not None:
                publish_if_heard(publisher, image, horizon.frame, horizon.stamp_ns, frame_id)
        publish_if_heard(self._filmstrip, filmstrip_message, last, forecast, frame_id)

    def publish_info(
        self, forecast: Forecast, frame_id: str, engine: str, sequence: int, latency_ms: Mapping[str, float]
    ) -> None:
        publish_if_heard(self._info, info_message, forecast, frame_id, engine, sequence, latency_ms)

    def destroy(self) -> None:
        for publisher in (*self._steps, self._filmstrip, self._info):
            self._node.destroy_lifecycle_publisher(publisher)
