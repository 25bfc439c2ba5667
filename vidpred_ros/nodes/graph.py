"""Starts nodes as processes of their own and stops them again. Imports no ROS."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

from vidpred_ros.errors import VidpredError

if TYPE_CHECKING:
    from typing_extensions import Self

#: Seconds that a process has to end after SIGINT before it is killed.
_PATIENCE_S = 10.0
_LAST_LINES = 8


@dataclass
class Child:
    """One running node and where its output goes."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def last_lines(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").strip().splitlines()[-_LAST_LINES:])

    def resident_mb(self) -> dict[str, float]:
        """Resident memory now and at its peak, in MB (empty once the process has ended)."""
        try:
            lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        except OSError:
            return {}
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        keys = {"VmRSS": "now", "VmHWM": "peak"}
        return {ours: int(fields[key].split()[0]) / 1024 for key, ours in keys.items() if key in fields}

    def cpu_seconds(self) -> float:
        """Processor time used so far (0 once the process has ended)."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Graph:
    """A namespace of ROS nodes, each a process. Leaving the ``with`` block stops all of them, on SIGTERM too.

    The nodes talk to this computer only, under a namespace of their own, so that they stay out of a running robot.
    Raises VidpredError where ROS 2 is not there.
    """

    def __init__(self, namespace: str, logs: Path) -> None:
        if importlib.util.find_spec("rclpy") is None:
            raise VidpredError(
                "this needs ROS 2 (rclpy): source your ROS installation, or install the wheels with pip install -e '.[ros]'"
            )
        self.namespace = namespace
        self._logs = logs
        self._children: dict[str, Child] = {}

    def __enter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, _leave)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self._children):
            self.stop(name)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._before)

    def start(
        self, name: str, parameters: Mapping[str, object], remappings: Mapping[str, str], inside: str = ""
    ) -> Child:
        """Start ``vidpred_ros.nodes.<name>`` with parameters and topics of this graph, or of a namespace ``inside`` it."""
        command = [
            sys.executable,
            "-m",
            f"vidpred_ros.nodes.{name}",
            "--ros-args",
            "-r",
            f"__ns:={self.namespace}{'/' if inside else ''}{inside}",
        ]
        for key, value in parameters.items():
            command += ["-p", f"{key}:={json.dumps(value)}"]  # JSON is YAML, which ROS reads here
        for topic, other in remappings.items():
            command += ["-r", f"{topic}:={other}"]
        environment = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", **os.environ}
        name = f"{inside}_{name}" if inside else name
        log = self._logs / f"{name}.log"
        with log.open("wb") as output:
            # a session of its own: Ctrl-C reaches this process only, which then stops the nodes in order
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )
        self._children[name] = Child(name, process, log)
        return self._children[name]

    def check(self, *may_end: str) -> None:
        """Raise VidpredError with the last lines of its log if a node has ended that is not in ``may_end``.

        One that is in ``may_end`` may have ended with exit code 0.
        """
        for child in self._children.values():
            code = child.process.poll()
            if code is None or (code == 0 and child.name.endswith(may_end)):
                continue
            raise VidpredError(f"the {child.name} node ended with exit code {code}:\n{child.last_lines()}")

    def stop(self, name: str, patience_s: float = _PATIENCE_S) -> None:
        """End a node with SIGINT, and by force if it has not ended ``patience_s`` later."""
        child = self._children.pop(name)
        if child.process.poll() is None:
            child.process.send_signal(signal.SIGINT)
        try:
            child.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()

    def wait_for_line(self, child: Child, text: str, timeout_s: float, *may_end: str) -> None:
        """Wait until the output of ``child`` contains ``text``. Raises VidpredError if a node ends or time runs out."""
        end = time.monotonic() + timeout_s
        while text not in child.log.read_text(errors="replace"):
            self.check(*may_end)
            if time.monotonic() > end:
                raise VidpredError(
                    f"the {child.name} node is not ready after {timeout_s:.0f} s; its last lines:\n{child.last_lines()}"
                )
            time.sleep(0.1)


def _leave(number: int, frame: FrameType | None) -> None:
    """SIGTERM as SystemExit, so that ``with`` blocks are left in order."""
    sys.exit(128 + number)
