"""The output topics of the lane that predicts label maps.

~/future/step_<k>/labels          mono8: Cityscapes train ids at the network's own size; stamped with the instant predicted
~/future/step_<k>/labels_color    rgb8: the same in the colours of Cityscapes
~/future/uncertainty              32FC1: entropy of the sampled futures' mean probability in nats, mean over the horizons
~/future/occupancy_<class>        32FC1, 0..1: of person, rider and car, the largest probability that a pixel has at any horizon, mean
                                  over the sampled futures: a lower bound of the probability that it is one at some horizon
~/future/labels_info              as ~/future/info, with the number of samples
~/future/ground                   see ground_output.py
~/future/label_table              the classes as JSON, latched; ~/future/label_info the same as vision_msgs/LabelInfo, where
                                  vision_msgs is installed
Uncertainty, occupancy, info and ground are stamped with the source frame. A predictor that draws no samples, such as a
baseline, publishes neither uncertainty nor occupancy.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import Image
from std_msgs.msg import String

from vidpred_ros.forecast import Forecast
from vidpred_ros.nodes import classes
from vidpred_ros.nodes.ground_output import GroundOutput
from vidpred_ros.nodes.messages import (
    float_message,
    info_message,
    label_color_message,
    label_message,
    publish_if_heard,
)
from vidpred_ros.nodes.qos import LATCHED, OUTPUT
from vidpred_ros.semantics import CLASS_NAMES, OCCUPANTS


class LabelOutputs:
    """See the module's docstring. Nothing is made for a topic that nobody listens to."""

    def __init__(self, node: LifecycleNode, steps: int, ground: GroundOutput | None = None) -> None:
        self._node, self._ground = node, ground
        create = node.create_lifecycle_publisher
        numbers = range(1, steps + 1)
        self._labels = [create(Image, f"~/future/step_{k}/labels", OUTPUT) for k in numbers]
        self.what = f"{steps} label map{'s, the first' if steps > 1 else ''} on {self._labels[0].topic_name}"
        self._colors = [create(Image, f"~/future/step_{k}/labels_color", OUTPUT) for k in numbers]
        self._uncertainty = create(Image, "~/future/uncertainty", OUTPUT)
        self._occupancy = {
            CLASS_NAMES[id]: create(Image, f"~/future/occupancy_{CLASS_NAMES[id]}", OUTPUT)
            for id in OCCUPANTS
        }
        self._info = create(DiagnosticArray, "~/future/labels_info", OUTPUT)
        self._table = create(String, "~/future/label_table", LATCHED)
        self._label_info = classes.LabelInfo and create(classes.LabelInfo, "~/future/label_info", LATCHED)

    def announce(self) -> None:
        """The latched topics."""
        self._table.publish(classes.table_message())
        if self._label_info is not None:
            self._label_info.publish(classes.label_info_message(self._node.get_clock().now().nanoseconds, ""))

    def publish(self, forecast: Forecast, last: NDArray[np.uint8], frame_id: str) -> None:
        """Labels of every step, uncertainty, occupancy and ground."""
        for labels, color, horizon in zip(self._labels, self._colors, forecast.horizons, strict=True):
            publish_if_heard(labels, label_message, horizon.labels, horizon.stamp_ns, frame_id)
            publish_if_heard(color, label_color_message, horizon.labels, horizon.stamp_ns, frame_id)
        source_ns = forecast.source_stamp_ns
        entropies = [horizon.entropy for horizon in forecast.horizons if horizon.entropy is not None]
        if entropies:
            publish_if_heard(
                self._uncertainty,
                lambda *where: float_message(np.mean(entropies, 0), *where),
                source_ns,
                frame_id,
            )
        for name, probability in forecast.occupancy.items():
            publish_if_heard(self._occupancy[name], float_message, probability, source_ns, frame_id)
        if self._ground is not None:
            self._ground.publish(forecast)

    def publish_info(
        self, forecast: Forecast, frame_id: str, engine: str, sequence: int, latency_ms: Mapping[str, float]
    ) -> None:
        samples = 0 if forecast.samples is None else len(forecast.samples)
        what = (forecast, frame_id, engine, sequence, latency_ms, "label maps", samples)
        publish_if_heard(self._info, info_message, *what)

    def destroy(self) -> None:
        latched = [self._table] if self._label_info is None else [self._table, self._label_info]
        each = [*self._labels, *self._colors, *self._occupancy.values()]
        for publisher in (*each, self._uncertainty, self._info, *latched):
            self._node.destroy_lifecycle_publisher(publisher)
        if self._ground is not None:
            self._ground.destroy()
