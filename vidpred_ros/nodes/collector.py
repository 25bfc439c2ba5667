"""The collector node: an evaluation subscriber that records camera frames, futures and info until it is stopped.

It subscribes reliably with deep queues, unlike a predictor, because a score needs every frame. Parameters are in
parameters.COLLECTOR, the format of what it writes at the end is in recording.py.

Subscribes   image (sensor_msgs/Image), with size
             ~/future/step_<k>/image and ~/future/info of the predictor, remapped as future/...
             with structure, its label maps too: see collected_labels.py
             with cameras, <name>/future/... of each in their place, of which only the infos are kept
             /diagnostics
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.task import Future
from sensor_msgs.msg import Image

from vidpred_ros.errors import ConfigError, ImageError
from vidpred_ros.evaluation.recording import Recording
from vidpred_ros.images import camera_frame, to_rgb
from vidpred_ros.nodes.collected_labels import CollectedLabels, latency_summary
from vidpred_ros.nodes.messages import read_values, stamp_to_ns
from vidpred_ros.nodes.parameters import COLLECTOR, Parameters
from vidpred_ros.nodes.process import run_node
from vidpred_ros.nodes.replay import parse_size

#: Deep enough for some seconds of frames while this process is busy.
_QOS = QoSProfile(depth=100)
#: What a report of /diagnostics says of the time since the one before it; the rest counts from the start.
_OF_THAT_TIME = ("level", "message", "rate_in_hz", "rate_out_hz")


class CollectorNode(Node):
    """See the module's docstring."""

    def __init__(self) -> None:
        super().__init__("collector", automatically_declare_parameters_from_overrides=True)
        self._declared = Parameters(self, COLLECTOR)
        self.finished: Future[None] = Future()
        self._size: tuple[int, int] | None = None  # (height, width) of the futures; None: no image is kept
        self._camera: dict[int, NDArray[np.uint8]] = {}
        self._futures: dict[tuple[int, int], NDArray[np.uint8]] = {}  # by step and stamp
        self._infos: list[dict[str, str]] = []
        self._infos_of: dict[str, list[dict[str, str]]] = {}  # by camera
        self._frame_id = ""
        self._reports: dict[str, dict[str, str]] = {}  # of each lane: see newest_report
        self._hears = False
        self._labels: CollectedLabels | None = None
        self._settings: dict[str, Any] = {}

    def start(self) -> None:
        """Subscribe. Raises ConfigError for a bad parameter."""
        self._settings = self._declared.values()
        if not self._settings["out"]:
            raise ConfigError("parameter out of the collector must name a folder")
        self._size = parse_size(self._settings["size"])
        if self._size is not None:
            self.create_subscription(Image, "image", self._on_camera, _QOS)
        for name in self._settings["cameras"] or [""]:
            self._infos_of[name] = [] if name else self._infos
            future = f"{name}/future" if name else "future"
            for step in range(1, self._settings["steps"] + 1):
                heard = self._on_future(step) if not name else lambda image: None  # what nobody hears is not sent
                self.create_subscription(Image, f"{future}/step_{step}/image", heard, _QOS)
            self.create_subscription(DiagnosticArray, f"{future}/info", partial(self._on_info, name), _QOS)
        if self._settings["structure"]:
            self._labels = CollectedLabels(self, self._settings["steps"], _QOS)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, _QOS)
        self.get_logger().info(f"recording into {self._settings['out']}")

    def close(self) -> None:
        """Write the recording."""
        if self._settings.get("out"):
            self._recording().save(Path(self._settings["out"]))

    def _on_camera(self, image: Image) -> None:
        assert self._size is not None, "or nothing is subscribed to"
        try:
            frame = camera_frame(
                image.height,
                image.width,
                image.encoding,
                image.is_bigendian,
                image.step,
                image.data,
                self._size,
            )
        except ImageError as error:
            self.get_logger().warning(f"cannot record an image: {error}", throttle_duration_sec=5.0)
            return
        self._camera[stamp_to_ns(image.header.stamp)] = frame

    def _on_future(self, step: int) -> Any:
        def keep(image: Image) -> None:
            self._frame_id = image.header.frame_id
            if self._size is not None:
                shape = (image.height, image.width, image.encoding, image.is_bigendian, image.step)
                self._futures[step, stamp_to_ns(image.header.stamp)] = to_rgb(*shape, image.data)

        return keep

    def _on_info(self, camera: str, info: DiagnosticArray) -> None:
        self._infos_of[camera].append(read_values(info.status[0]))

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        for status in array.status:
            report = {**read_values(status), "level": str(status.level[0]), "message": status.message}
            self._reports[status.name] = newest_report(report, self._reports.get(status.name, {}))
            active = report.get("state") == "active" and status.name.startswith(f"{self._settings['predictor']}: ")
            if active and not self._hears:
                # subscribed to last: a predictor that is heard here has found the other subscriptions too
                self.get_logger().info("the active predictor is heard")
                self._hears = True

    def _recording(self) -> Recording:
        complete = []
        for info in self._infos:
            source, period = int(info["source_stamp_ns"]), int(info["period_ns"])
            frames = [
                self._futures.get((k, source + k * period)) for k in range(1, self._settings["steps"] + 1)
            ]
            if all(frame is not None for frame in frames):
                complete.append((source, period, np.stack([frame for frame in frames if frame is not None])))
        last = self._infos[-1] if self._infos else {}
        summary = {
            "model": last.get("model", ""),
            "engine": last.get("engine", ""),
            "steps": self._settings["steps"],
            "frame_id": self._frame_id,
            "forecasts": {"announced": len(self._infos), "complete": len(complete)},
            **latency_summary(self._infos),
            "info_stamps_ns": [int(info["source_stamp_ns"]) for info in self._infos],
            "diagnostics": self._report("forecast"),
        }
        if self._settings["cameras"]:
            summary["cameras"] = {name: self._of_camera(name) for name in self._settings["cameras"]}
        labels = None
        if self._labels is not None:
            labels = self._labels.recording()
            summary["labels"] = self._labels.summary() | {"diagnostics": self._report("labels")}
        height, width = self._size or (0, 0)
        return Recording(
            np.array(list(self._camera), np.int64),
            _stacked(list(self._camera.values()), (height, width, 3)),
            np.array([source for source, _, _ in complete], np.int64),
            np.array([period for _, period, _ in complete], np.int64),
            _stacked([frames for _, _, frames in complete], (self._settings["steps"], height, width, 3)),
            summary,
            labels,
        )

    def _of_camera(self, name: str) -> dict[str, Any]:
        infos = self._infos_of[name]
        return {
            **latency_summary(infos),
            "info_stamps_ns": [int(info["source_stamp_ns"]) for info in infos],
            **{key: infos[-1][key] if infos else "" for key in ("model", "engine")},
            "diagnostics": self._report(name),
        }

    def _report(self, lane: str) -> dict[str, str]:
        return self._reports.get(f"{self._settings['predictor']}: {lane}", {})


def newest_report(report: dict[str, str], before: Mapping[str, str]) -> dict[str, str]:
    """A report with the newest counters. Once the camera has ended, what it says is still of the time when frames came."""
    if _frames_came(report) or not _frames_came(before):
        return report
    return report | {key: before[key] for key in _OF_THAT_TIME}


def _frames_came(report: Mapping[str, str]) -> bool:
    return float(report.get("rate_in_hz", 0)) > 0


def _stacked(frames: list[NDArray[np.uint8]], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.stack(frames) if frames else np.zeros((0, *shape), np.uint8)


def main() -> int:
    """Record until a signal comes. Returns the process's exit code."""
    return run_node(CollectorNode)


if __name__ == "__main__":
    sys.exit(main())
