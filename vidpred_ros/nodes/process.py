"""The life of a node's process: start, spin, end cleanly on SIGINT and SIGTERM."""

from __future__ import annotations

import contextlib
import re
import signal
import sys
from collections.abc import Callable
from typing import Protocol

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.task import Future

from vidpred_ros.errors import VidpredError
from vidpred_ros.nodes import middleware
from vidpred_ros.nodes.logs import forward_logs

#: After this long a thread that waits for the interpreter asks for it. With Python's 5 ms a window that has just come waits until
#: the thread that received it has nothing left to do: 0.5 ms instead of 0.25.
_SWITCH_S = 50e-6


class RunnableNode(Protocol):
    """An rclpy Node with a beginning and an end of its own."""

    finished: Future[None]  # set when the node has nothing left to do

    def start(self) -> None:
        """Begin the work. Raises VidpredError, which ends the process with exit code 1."""

    def close(self) -> None:
        """End threads and free what the node holds."""

    def destroy_node(self) -> None:
        """rclpy.node.Node's."""


def run_node(make: Callable[[], RunnableNode]) -> int:
    """Run one node until it is finished or a signal comes. Returns the process's exit code.

    rclpy turns SIGINT into KeyboardInterrupt and SIGTERM into ExternalShutdownException or a plain return of spin; all
    are the user's wish and give 0.
    """
    middleware.prepare()
    sys.setswitchinterval(_SWITCH_S)
    code = 0
    node = None
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        try:
            rclpy.init()
        except RuntimeError as error:  # rclpy's, of what stands behind --ros-args
            print(f"vidpred_ros: {_readable(error)}", file=sys.stderr)
            return 1
        forward_logs()
        _warn_of_small_shared_memory()
        try:  # a signal closes the graph under whatever the node is doing, and then what that raises is no fault
            node = make()
            node.start()
            executor = SingleThreadedExecutor()
            executor.add_node(node)  # type: ignore[arg-type]
            executor.spin_until_future_complete(node.finished)
            if node.finished.done():
                node.finished.result()  # raises what ended the node, if that was an error
        except VidpredError as error:
            if rclpy.ok():
                rclpy.logging.get_logger("vidpred_ros").fatal(str(error))
                code = 1
        except (
            RuntimeError
        ):  # of rclpy, where a signal closes the graph while the node is publishing or waiting
            if rclpy.ok():
                raise
    # Ctrl-C reaches a whole process group, and then whoever started us may send another: the rest runs to its end
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if node is not None:
        node.close()
        node.destroy_node()
    if rclpy.ok():
        rclpy.shutdown()
    return code


def _readable(error: RuntimeError) -> str:
    """What rclpy says of arguments that it cannot read, without its source lines."""
    if "ROSArgs" in type(error).__name__:
        return f"unknown words behind --ros-args: {error}"
    return re.sub(r"\s*,? at /\S+:\d+", "", " ".join(str(error).split())).replace("Error: Error", "Error")


def _warn_of_small_shared_memory() -> None:
    """Say why large frames will get lost, where the package's Fast DDS profile could not be used."""
    fast_dds = rclpy.get_rmw_implementation_identifier().startswith("rmw_fastrtps")
    if fast_dds and not middleware.profile_in_use():
        free = middleware.shared_memory_free() // 2**20
        rclpy.logging.get_logger("vidpred_ros").warning(
            f"only {free} MB of /dev/shm are free, too little for this package's Fast DDS profile: large raw images will "
            "get lost between processes; start the container with --shm-size=1g"
        )
