"""What a node is given behind --ros-args and cannot be read."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from vidpred_ros.nodes.camera import CameraNode
from vidpred_ros.nodes.process import run_node

BROKEN = "a: ["


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--params-file", "nowhere.yaml"], "params file: '--params-file nowhere.yaml'"),
        (["--params-file", "broken.yaml"], "params file: '--params-file broken.yaml'"),
        (["-p", "model"], "'-p model'"),
        (["--nonsense"], "unknown words behind --ros-args: ['--nonsense']"),
    ],
)
def test_it_is_one_line_and_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    (tmp_path / "broken.yaml").write_text(BROKEN)
    monkeypatch.setattr("vidpred_ros.nodes.middleware.prepare", lambda: None)  # it is for the whole process
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["camera", "--ros-args", *words])
    interval = sys.getswitchinterval()
    try:
        assert run_node(CameraNode) == 1
    finally:
        sys.setswitchinterval(interval)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("vidpred_ros: ") and said in line and ".c:" not in line
