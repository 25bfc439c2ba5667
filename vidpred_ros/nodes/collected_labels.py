"""What the collector records of a structure lane: future/step_<k>/labels, uncertainty, occupancy_<class> and labels_info."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from vidpred_ros.evaluation.recording import VALUE_TOPICS, LabelRecording, summarise
from vidpred_ros.images import label_ids
from vidpred_ros.nodes.messages import read_values, stamp_to_ns
from vidpred_ros.semantics import OCCUPANTS

_LATENCY = "latency_ms/"


def latency_summary(infos: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """``latency_ms`` and ``latency_ms_each`` of a recording, from the values of its info messages."""
    latencies: dict[str, list[float]] = defaultdict(list)
    for info in infos:
        for key, text in info.items():
            if key.startswith(_LATENCY):
                latencies[key.removeprefix(_LATENCY)].append(float(text))
    return {
        "latency_ms": {stage: summarise(values) for stage, values in latencies.items()},
        "latency_ms_each": dict(latencies),
    }


class CollectedLabels:
    """Subscribes for ``node`` from the start on."""

    def __init__(self, node: Node, steps: int, qos: QoSProfile) -> None:
        self._steps = steps
        self._maps: dict[tuple[int, int], NDArray[np.uint8]] = {}  # by step and stamp
        self._values: dict[tuple[str, int], NDArray[np.float16]] = {}  # by topic and stamp
        self._infos: list[dict[str, str]] = []
        for k in range(1, steps + 1):
            node.create_subscription(Image, f"future/step_{k}/labels", self._on_labels(k), qos)
        for topic in VALUE_TOPICS:
            node.create_subscription(Image, topic, self._on_values(topic), qos)
        node.create_subscription(DiagnosticArray, "future/labels_info", self._on_info, qos)

    def recording(self) -> LabelRecording:
        """The forecasts of which everything came."""
        stamps, periods, labels, uncertainty, occupancy = [], [], [], [], []
        for info in self._infos:
            source, period = int(info["source_stamp_ns"]), int(info["period_ns"])
            maps = [self._maps.get((k, source + k * period)) for k in range(1, self._steps + 1)]
            values = [self._values.get((topic, source)) for topic in VALUE_TOPICS]
            sampled = info["samples"] != "0"
            if any(one is None for one in (*maps, *(values if sampled else ()))):
                continue
            stamps.append(source)
            periods.append(period)
            labels.append(np.stack([one for one in maps if one is not None]))
            if sampled:
                mean, *classes = [one for one in values if one is not None]
                uncertainty.append(mean)
                occupancy.append(np.stack(classes))
        size = labels[0].shape[1:] if labels else (0, 0)
        return LabelRecording(
            np.array(stamps, np.int64),
            np.array(periods, np.int64),
            np.stack(labels) if labels else np.zeros((0, self._steps, *size), np.uint8),
            np.stack(uncertainty) if uncertainty else np.zeros((0, *size), np.float16),
            np.stack(occupancy) if occupancy else np.zeros((0, len(OCCUPANTS), *size), np.float16),
        )

    def summary(self) -> dict[str, Any]:
        """The particulars of the lane: see ``Recording.summary``."""
        last = self._infos[-1] if self._infos else {}
        complete = len(self.recording().source_stamps_ns)
        return {
            "model": last.get("model", ""),
            "engine": last.get("engine", ""),
            "samples": int(last.get("samples", 0)),
            "forecasts": {"announced": len(self._infos), "complete": complete},
            **latency_summary(self._infos),
        }

    def _on_labels(self, step: int) -> Callable[[Image], None]:
        def keep(image: Image) -> None:
            shape = (image.height, image.width, image.encoding, image.step)
            self._maps[step, stamp_to_ns(image.header.stamp)] = label_ids(*shape, image.data)

        return keep

    def _on_values(self, topic: str) -> Callable[[Image], None]:
        def keep(image: Image) -> None:
            values = np.frombuffer(image.data, np.float32).reshape(image.height, image.width)
            self._values[topic, stamp_to_ns(image.header.stamp)] = values.astype(np.float16)

        return keep

    def _on_info(self, info: DiagnosticArray) -> None:
        self._infos.append(read_values(info.status[0]))
