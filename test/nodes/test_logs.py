"""What the package logs is seen where ROS's own lines are."""

from __future__ import annotations

import logging

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from vidpred_ros.nodes.logs import PACKAGE, forward_logs


def test_the_package_s_log_goes_to_ros_with_its_severity(capfd: pytest.CaptureFixture[str]) -> None:
    logger, engines = logging.getLogger(PACKAGE), logging.getLogger(f"{PACKAGE}.engines.choice")
    before = logger.level, logger.propagate, logger.handlers
    try:
        forward_logs()
        for _ in range(2):
            engines.debug("too much")
            engines.info("exporting %s", "it")
            engines.warning("tensorrt %s", "fails")
            engines.error("all fail")
    finally:
        logger.level, logger.propagate, logger.handlers = before
        logger.setLevel(before[0])
    said = "".join(capfd.readouterr())
    for line in ("[INFO]", "[WARN]", "[ERROR]"):
        assert said.count(line) == 2, said
    assert "[vidpred_ros]: exporting it" in said and "[vidpred_ros]: tensorrt fails" in said and "too much" not in said
