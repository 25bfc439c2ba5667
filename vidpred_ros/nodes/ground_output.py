"""~/future/ground: the label maps of a forecast as points on the ground, once a CameraInfo has come."""

from __future__ import annotations

from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, PointCloud2

from vidpred_ros.errors import ImageError
from vidpred_ros.forecast import Forecast
from vidpred_ros.ground import Ground
from vidpred_ros.nodes.clouds import camera_model, cloud_message
from vidpred_ros.nodes.messages import publish_if_heard
from vidpred_ros.nodes.qos import NEWEST, OUTPUT

#: Forecasts that pass before a missing CameraInfo is warned of.
_PATIENCE = 10


class GroundOutput:
    """Subscribes to camera_info as long as it lives. ``settings`` are the node's: camera_height, camera_pitch, ground_frame."""

    def __init__(self, node: LifecycleNode, settings: dict[str, Any], size: tuple[int, int]) -> None:
        self._node, self._settings, self._size = node, settings, size
        self._publisher = node.create_lifecycle_publisher(PointCloud2, "~/future/ground", OUTPUT)
        self._subscription: Subscription = node.create_subscription(
            CameraInfo, "camera_info", self._on_info, NEWEST
        )
        self._calibration: object = None  # what the projection was made from
        self._ground: Ground | None = None
        self._in_vain = 0

    def publish(self, forecast: Forecast) -> None:
        """The points of all horizons in one cloud, stamped with the source frame."""
        ground = self._ground
        if ground is None:
            self._in_vain += 1
            if self._in_vain == _PATIENCE and self._calibration is None:
                self._node.get_logger().warning(
                    f"no CameraInfo has come on {self._subscription.topic_name}, so ~/future/ground stays empty: "
                    "remap the topic camera_info"
                )
            return
        publish_if_heard(self._publisher, self._cloud, ground, forecast)

    def _cloud(self, ground: Ground, forecast: Forecast) -> PointCloud2:
        maps = [
            ((horizon.stamp_ns - forecast.source_stamp_ns) / 1e9, horizon.labels, horizon.confidence)
            for horizon in forecast.horizons
            if horizon.labels is not None
        ]
        return cloud_message(ground.points(maps), forecast.source_stamp_ns, self._settings["ground_frame"])

    def _on_info(self, info: CameraInfo) -> None:
        part = (info.binning_x, info.binning_y, info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height)
        calibration = (info.height, info.width, info.distortion_model, tuple(info.d), tuple(info.k), part)
        if calibration == self._calibration:
            return
        self._calibration, self._ground = calibration, None
        try:
            camera = camera_model(info)
        except ImageError as error:
            self._node.get_logger().warning(f"~/future/ground stays empty: {error}")
            return
        self._ground = Ground(
            camera, self._settings["camera_height"], self._settings["camera_pitch"], self._size
        )

    def destroy(self) -> None:
        self._node.destroy_subscription(self._subscription)
        self._node.destroy_lifecycle_publisher(self._publisher)
