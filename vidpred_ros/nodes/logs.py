"""What the package below the nodes says through Python's logging, in the ROS log: which engine was passed over, and why."""

from __future__ import annotations

import logging

import rclpy.logging

#: Every module's logger is below this one.
PACKAGE = "vidpred_ros"


class RosHandler(logging.Handler):
    """Hands records on to a ROS logger of a name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._ros = rclpy.logging.get_logger(name)

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        # a line for each: rclpy holds a place in the code to one severity
        if record.levelno >= logging.ERROR:
            self._ros.error(text)
        elif record.levelno >= logging.WARNING:
            self._ros.warning(text)
        else:
            self._ros.info(text)


def forward_logs() -> None:
    """From now on whatever the package logs, from INFO on, goes to /rosout and the console as ROS's own lines do."""
    logger = logging.getLogger(PACKAGE)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # or Python would print warnings a second time
    logger.handlers = [RosHandler(PACKAGE)]
