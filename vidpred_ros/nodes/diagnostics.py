"""Counters of the predictor and what /diagnostics says about them. Each bad state comes with what to do."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible

from vidpred_ros.nodes.messages import key_values

_IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
#: Forecasts that the latency figures look back on: half a minute at 10 Hz.
_LATENCY_MEMORY = 300


@dataclass
class Counters:
    """What happened since the node was activated. Both threads of the node count, so each change takes the lock."""

    received: int = 0
    missed: int = 0  # frames that were sent and never seen here: lost on the way, or replaced by a newer one
    predicted: int = 0
    drops: Counter[str] = field(default_factory=Counter)  # by reason: frames or windows not predicted on
    resets: Counter[str] = field(default_factory=Counter)  # by reason: the window began anew
    fault: str = ""  # the last thing that went wrong, in words
    began: float = field(default_factory=time.monotonic)
    last_frame: float = field(default_factory=time.monotonic)
    totals_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_LATENCY_MEMORY))
    overheads_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_LATENCY_MEMORY))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count_frame(self, missed_before: int) -> None:
        with self._lock:
            self.received += 1
            self.missed += missed_before
            self.last_frame = time.monotonic()

    def count_drop(self, reason: str, fault: str = "") -> None:
        with self._lock:
            self.drops[reason] += 1
            self.fault = fault or self.fault

    def count_reset(self, reason: str) -> None:
        with self._lock:
            self.resets[reason] += 1

    def snapshot(self) -> Counters:
        """A copy that the other thread does not change."""
        with self._lock:
            return replace(
                self,
                drops=self.drops.copy(),
                resets=self.resets.copy(),
                totals_ms=self.totals_ms.copy(),
                overheads_ms=self.overheads_ms.copy(),
            )

    def count_forecast(self, total_ms: float, overhead_ms: float) -> None:
        with self._lock:
            self.predicted += 1
            self.totals_ms.append(total_ms)
            self.overheads_ms.append(overhead_ms)


#: Reasons of ``Counters.drops`` that are a fault of the input or the node; "between" and "duplicate" are not.
FAULTS = (
    "corrupt image",
    "corrupt label map",
    "unknown label ids",
    "label map size changed",
    "label map without image",
    "prediction failed",
)
BUSY = "predictor busy"
#: What to do about a node that is not active, by its state.
_ADVICE = {
    "unconfigured": "configure and activate it (ros2 lifecycle set)",
    "inactive": "activate it (ros2 lifecycle set)",
    "finalized": "end its process and start it again",
}


@dataclass(frozen=True)
class Subject:
    """What the report is about: the node's state and settings at this moment."""

    state: str  # lifecycle state
    topic: str  # of what comes in
    filled: int = 0
    length: int = 0
    period_s: float = 0.0
    model: str = ""
    engine: str = ""
    timeout_s: float = 0.0
    error: str = ""  # that made its last transition fail
    every_window: bool = True  # whether one that is skipped for a newer one is a fault


class Reporter:
    """Turns counters into one DiagnosticStatus per call, with rates and new faults since the call before, or since they began."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._before = Counters()  # as they were at the call before
        self._time = self._before.began  # of that call

    def report(self, counters: Counters, subject: Subject, silence: Callable[[], str]) -> DiagnosticStatus:
        """``silence`` explains what the graph shows about missing frames; it is asked when none came in time."""
        counters = counters.snapshot()
        now = time.monotonic()
        same = counters.began == self._before.began  # or the node was activated anew, and they count from 0
        before, since = (self._before, self._time) if same else (Counters(), counters.began)
        elapsed = max(1e-3, now - since)
        rate_in = (counters.received - before.received) / elapsed
        rate_out = (counters.predicted - before.predicted) / elapsed
        new_drops = counters.drops - before.drops
        self._before, self._time = counters, now

        level, message = _verdict(counters, subject, silence, rate_in, rate_out, new_drops, now)
        values: dict[str, object] = {
            "state": subject.state,
            "topic": subject.topic,
            "model": subject.model,
            "engine": subject.engine,
            "window": f"{subject.filled} of {subject.length}",
            "period_s": subject.period_s,
            "rate_in_hz": rate_in,
            "rate_out_hz": rate_out,
            "received": counters.received,
            "predicted": counters.predicted,
            "missed": counters.missed,
        }
        values.update({f"dropped/{reason}": count for reason, count in sorted(counters.drops.items())})
        values.update({f"reset/{reason}": count for reason, count in sorted(counters.resets.items())})
        if counters.totals_ms:
            values["latency_ms/median"] = float(np.median(counters.totals_ms))
            values["latency_ms/p99"] = float(np.percentile(counters.totals_ms, 99))
            values["overhead_ms/median"] = float(np.median(counters.overheads_ms))
            values["overhead_ms/p99"] = float(np.percentile(counters.overheads_ms, 99))
        return DiagnosticStatus(
            level=level,
            name=self._name,
            message=message,
            hardware_id=subject.model,
            values=key_values(values),
        )

    def preparing(self, subject: Subject, text: str, share: float | None, seconds: float) -> DiagnosticStatus:
        """While the node configures: nothing is predicted yet, and how far what it waits for has got."""
        values: dict[str, object] = {"state": subject.state, "topic": subject.topic, "model": subject.model, "seconds": seconds}
        if share is not None:
            values["done"] = share
        return DiagnosticStatus(
            level=DiagnosticStatus.WARN, name=self._name, message=text, hardware_id=subject.model, values=key_values(values)
        )


def _verdict(
    counters: Counters,
    subject: Subject,
    silence: Callable[[], str],
    rate_in: float,
    rate_out: float,
    new_drops: Counter[str],
    now: float,
) -> tuple[bytes, str]:
    if subject.error:
        return DiagnosticStatus.ERROR, subject.error
    if subject.state != "active":
        return DiagnosticStatus.WARN, f"the node is {subject.state} and predicts nothing: {_ADVICE[subject.state]}"
    quiet = now - counters.last_frame
    if quiet > subject.timeout_s:
        return DiagnosticStatus.ERROR, f"no frame for {quiet:.1f} s: {silence()}"
    faults = {reason: new_drops[reason] for reason in FAULTS if new_drops[reason]}
    if faults:
        counts = ", ".join(f"{count} x {reason}" for reason, count in faults.items())
        return DiagnosticStatus.WARN, f"{counts} in the last report period; the last was: {counters.fault}"
    if new_drops[BUSY] and subject.every_window:
        return DiagnosticStatus.WARN, (
            f"the predictor is too slow: {new_drops[BUSY]} windows were skipped for newer ones; "
            "use a smaller model, fewer steps or cameras, or a faster engine"
        )
    if not rate_in:
        return DiagnosticStatus.OK, f"waiting for frames on {subject.topic}"
    if subject.filled < subject.length:
        return DiagnosticStatus.OK, f"filling the window: {subject.filled} of {subject.length} frames"
    skipped = f"; windows skipped for newer ones: {new_drops[BUSY]}" if new_drops[BUSY] else ""
    return DiagnosticStatus.OK, f"predicting at {rate_out:.1f} Hz{skipped}"


def explain_silence(node: Node, topic: str, wanted_type: str, qos: QoSProfile, name: str = "image") -> str:
    """Why no frame arrives on ``topic``, from what the graph shows, and what to do about it; ``name``: before remapping."""
    publishers = node.get_publishers_info_by_topic(topic)
    if not publishers:
        others = [
            name
            for name, types in node.get_topic_names_and_types()
            if set(types) & set(_IMAGE_TYPES) and "/future/" not in name and node.count_publishers(name)
        ]
        found = f"; images are on {', '.join(sorted(others))}" if others else ""
        return f"nobody publishes {topic}; start the camera or remap the topic {name}{found}"
    for publisher in publishers:
        if publisher.topic_type != wanted_type:
            other = publisher.topic_type in _IMAGE_TYPES and name != "labels"  # which come raw only
            advice = "choose the parameter image_transport (raw or compressed) to match" if other else f"remap the topic {name}"
            return f"{topic} carries {publisher.topic_type}, not {wanted_type}; {advice}"
        compatibility, reason = qos_check_compatible(publisher.qos_profile, qos)
        if compatibility == QoSCompatibility.ERROR:
            # discovery may know the publisher before its node
            known = not publisher.node_name.startswith("_NODE_")
            who = publisher.node_name if known else "a publisher"
            return f"the QoS of {who} on {topic} is incompatible ({reason.strip()}); change qos_overrides"
    return (
        f"{len(publishers)} publisher(s) on {topic} send nothing that arrives; check that the camera runs and, for large "
        "raw images, that its process uses this package's Fast DDS profile"
    )
