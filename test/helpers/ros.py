"""A ROS 2 graph for one test: processes of the package's nodes, and a node of the test's own that talks to them."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from vidpred_ros.nodes import middleware
from vidpred_ros.nodes.messages import image_message, read_values, stamp_to_ns

PERIOD_NS = 100_000_000
START_NS = 1_000 * 10**9
#: Generous, because a test may share two busy cores; nothing waits that long when all is well.
PATIENCE_S = 40.0
LEVELS = {DiagnosticStatus.OK: "OK", DiagnosticStatus.WARN: "WARN", DiagnosticStatus.ERROR: "ERROR"}

# Domains 1 to 99 are free of port clashes on Linux; the process id keeps test runs beside each other apart, and the second of
# two pytest workers, whose process id is the next one, is given the other half.
_domains = itertools.count(os.getpid() % 99 + (49 if os.environ.get("PYTEST_XDIST_WORKER") == "gw1" else 0))

#: No frame that a test sends may be lost, however busy the machine is.
NO_LOSS = {
    "qos_overrides./image.subscription.reliability": "reliable",
    "qos_overrides./image.subscription.depth": 100,
}
QOS = QoSProfile(depth=100)  # reliable


class Running:
    """A node's process."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self.log = process, log

    @property
    def output(self) -> str:
        return self.log.read_text()

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send a signal and return the exit code; a node that does not end fails the test."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


class Graph:
    """Its own ROS domain on this computer. ``close`` ends everything in it."""

    def __init__(self, logs: Path) -> None:
        self.domain = next(_domains) % 99 + 1
        self._logs = logs
        self._running: list[Running] = []
        middleware.prepare()
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=self.domain)
        self.node = rclpy.create_node("probe", context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._clock = START_NS

    def close(self) -> None:
        for running in self._running:  # by SIGINT, or Fast DDS would leave its shared memory behind
            if running.process.poll() is None:
                running.process.send_signal(signal.SIGINT)
        for running in self._running:
            try:
                running.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                running.process.kill()
                running.process.wait()
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def start(self, name: str, parameters: Mapping[str, object], *remappings: str, script: str = "") -> Running:
        """The process of a node; ``script``: Python that runs it, where a test has something to put in its way."""
        program = ["-c", script] if script else ["-m", f"vidpred_ros.nodes.{name}"]
        command = [sys.executable, *program, "--ros-args"]
        for key, value in parameters.items():
            command += ["-p", f"{key}:={json.dumps(value)}"]
        for remapping in remappings:
            command += ["-r", remapping]
        environment = {**os.environ, "ROS_DOMAIN_ID": str(self.domain), "OMP_NUM_THREADS": "1"}
        log = self._logs / f"{name}{len(self._running)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        self._running.append(Running(process, log))
        return self._running[-1]

    def predictor(self, *remappings: str, **parameters: object) -> Running:
        """An active predictor that copies the last frame and loses none, unless told otherwise."""
        defaults = {"model": "copy_last", "steps": 2, "autostart": True, **NO_LOSS}
        return self.start("predictor", {**defaults, **parameters}, *remappings)

    def listen(self, kind: type, topic: str, qos: QoSProfile = QOS) -> list[Any]:
        """The messages of a topic, as they come in."""
        messages: list[Any] = []
        self.node.create_subscription(kind, topic, messages.append, qos)
        return messages

    def reports(self) -> list[DiagnosticStatus]:
        """The predictor's reports on /diagnostics, as they come in."""
        reports: list[DiagnosticStatus] = []

        def keep(array: DiagnosticArray) -> None:
            reports.extend(array.status)

        self.node.create_subscription(DiagnosticArray, "/diagnostics", keep, QOS)
        return reports

    def spin(self, seconds: float = 0.05) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Spin until ``condition`` holds; fail with ``what`` when patience ends."""
        end = time.monotonic() + PATIENCE_S
        while not condition():
            self.spin()
            assert time.monotonic() < end, f"waited {PATIENCE_S:.0f} s in vain: {what}\n{self._outputs()}"

    def call(self, kind: type, name: str, request: Any) -> Any:
        client = self.node.create_client(kind, name)
        self.until(client.service_is_ready, f"service {name}")
        self.spin(0.2)  # we know the server by now; until it knows us too, it has nowhere to send its answer
        future = client.call_async(request)
        self.until(future.done, f"answer of {name}")
        self.node.destroy_client(client)
        return future.result()

    def change_state(self, transition: int, node: str = "/predictor") -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        return bool(self.call(ChangeState, f"{node}/change_state", request).success)

    def state(self, node: str = "/predictor") -> str:
        return str(self.call(GetState, f"{node}/get_state", GetState.Request()).current_state.label)

    def camera(self, topic: str = "image", qos: QoSProfile = QOS) -> Camera:
        return Camera(self, topic, qos)

    def _outputs(self) -> str:
        return "\n".join(f"--- {running.log.name}\n{running.output}" for running in self._running)


class Camera:
    """Publishes what a test tells it to, with stamps of its own that go on 0.1 s for each frame."""

    def __init__(self, graph: Graph, topic: str, qos: QoSProfile = QOS, kind: type = Image) -> None:
        self.graph = graph
        self.publisher = graph.node.create_publisher(kind, topic, qos)
        self.stamp_ns = START_NS
        self.count = 0

    def wait_for_subscriber(self) -> None:
        self.graph.until(
            self.publisher.get_subscription_count, f"a subscriber of {self.publisher.topic_name}"
        )

    def image(self, height: int = 96, width: int = 128) -> Image:
        """The next frame: a grey that counts up, so that each frame can be told from the others."""
        self.stamp_ns += PERIOD_NS
        self.count += 1
        return image_message(np.full((height, width, 3), self.count % 256, np.uint8), self.stamp_ns, "front")

    def send(self, *messages: object) -> None:
        for message in messages:
            self.publisher.publish(message)
            self.graph.spin(0.02)

    def stream_until(self, condition: Callable[[], object], what: str) -> None:
        """Send frames until ``condition`` holds."""

        def sent() -> object:
            self.send(self.image())
            return condition()

        self.graph.until(sent, what)


def write_sequence(folder: Path, frames: int, rate_hz: float, height: int, width: int) -> str:
    """A sequence folder of noise, as SOURCE: quick to read, and each frame is unlike all others."""
    (folder / "frames").mkdir(parents=True)
    random = np.random.default_rng(0)
    for index in range(frames):
        frame = cv2.resize(random.integers(0, 256, (4, 4, 3), np.uint8), (width, height))
        cv2.imwrite(str(folder / "frames" / f"{index:03}.png"), frame)
    (folder / "meta.json").write_text(json.dumps({"fps": rate_hz}))
    return str(folder)


def rgb(image: Image) -> NDArray[np.uint8]:
    """An rgb8 message without row padding as HxWx3."""
    assert image.encoding == "rgb8" and image.step == 3 * image.width
    return np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3)


def stamp(message: Any) -> int:
    return stamp_to_ns(message.header.stamp)


def level(status: DiagnosticStatus) -> str:
    return LEVELS[status.level]


def values(status: DiagnosticStatus) -> dict[str, str]:
    return read_values(status)
