"""predictor.launch.py and build.launch.py, run by the launch system. Needs an installed ROS 2 (launch, launch_ros), where not said."""

from __future__ import annotations

import importlib.util
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import yaml

from vidpred_ros.nodes.middleware import PROFILE_VARIABLE, config_file

LAUNCH_FILE = config_file("predictor.yaml").parent.parent / "launch" / "predictor.launch.py"
BUILD_FILE = LAUNCH_FILE.with_name("build.launch.py")
RVIZ_FILE = config_file("rviz/predictor.rviz")

#: What `ros2 launch FILE name:=value ...` does.
LAUNCH = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

source = PythonLaunchDescriptionSource(sys.argv[1])
arguments = [argument.split(":=", 1) for argument in sys.argv[2:]]
service = LaunchService()
service.include_launch_description(LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments)]))
sys.exit(service.run())
"""


def displayed() -> dict[str, str]:
    """Topic and reliability of each display of the RViz configuration."""
    displays = yaml.safe_load(RVIZ_FILE.read_text())["Visualization Manager"]["Displays"]
    assert {display["Class"] for display in displays} == {
        "rviz_default_plugins/Image",
        "rviz_default_plugins/PointCloud2",
    }
    return {display["Topic"]["Value"]: display["Topic"]["Reliability Policy"] for display in displays}


def test_rviz_shows_the_camera_the_filmstrip_and_the_steps() -> None:
    topics = displayed()
    assert topics.pop("/camera/image_raw") == "Best Effort", "so that it works with every camera"
    steps = {f"step_{k}/{what}" for k in range(1, 6) for what in ("image", "labels_color")}
    occupancy = {f"occupancy_{name}" for name in ("person", "rider", "car")}
    wanted = {"filmstrip", *steps, "uncertainty", *occupancy, "ground"}
    assert set(topics) == {f"/predictor/future/{topic}" for topic in wanted}


needs_launch = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("rclpy", "launch", "launch_ros")),
    reason="needs launch and launch_ros of an installed ROS 2",
)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A prefix in which `ros2 run` would find the nodes of this Python: what an installation has in lib/vidpred_ros."""
    prefix = tmp_path / "prefix"
    index = prefix / "share" / "ament_index" / "resource_index" / "packages"
    index.mkdir(parents=True)
    (index / "vidpred_ros").touch()
    (prefix / "lib" / "vidpred_ros").mkdir(parents=True)
    for name in ("predictor", "camera"):
        program = prefix / "lib" / "vidpred_ros" / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m vidpred_ros.nodes.{name} "$@"\n')
        program.chmod(0o755)
    others = os.environ.get("AMENT_PREFIX_PATH")
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{prefix}:{others}" if others else str(prefix))
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "log"))
    yield prefix


@needs_launch
def test_the_launch_file_starts_both_nodes_and_ends_them_on_sigint(installed: Path, tmp_path: Path) -> None:
    from helpers.ros import Graph
    from lifecycle_msgs.msg import Transition
    from sensor_msgs.msg import Image

    graph = Graph(tmp_path)
    arguments = [
        "source:=synthetic:seed=1,seconds=2,rate=20,width=64,height=64",
        "namespace:=front",
        "model:=copy_last",
        "steps:=3",
    ]
    log = tmp_path / "launch.log"
    with log.open("wb") as output:
        launch = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, str(LAUNCH_FILE), *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "ROS_DOMAIN_ID": str(graph.domain)},
            start_new_session=True,
        )
    try:
        images = graph.listen(Image, "/front/camera/image_raw")
        futures = graph.listen(Image, "/front/predictor/future/step_3/image")
        graph.until(lambda: images and futures, "camera and futures in the namespace")
        assert graph.change_state(Transition.TRANSITION_DEACTIVATE, "/front/predictor")
        graph.spin(2.0)
        assert graph.state("/front/predictor") == "inactive", (
            "nothing activates it again behind the user's back"
        )
        os.killpg(launch.pid, signal.SIGINT)
        assert launch.wait(40) == 0
    finally:
        if launch.poll() is None:
            os.killpg(launch.pid, signal.SIGKILL)
        graph.close()
    text = log.read_text()
    assert text.count("process has finished cleanly") == 2, text


@needs_launch
def test_the_launch_file_s_arguments_reach_the_nodes(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
    from launch.launch_description_sources import get_launch_description_from_python_launch_file

    from launch import LaunchContext

    def entities(**given: str) -> list:
        description = get_launch_description_from_python_launch_file(str(LAUNCH_FILE))
        context = LaunchContext()
        context.launch_configurations.update(given)
        made = []
        for entity in description.entities:
            if isinstance(entity, DeclareLaunchArgument):
                entity.execute(context)
                assert entity.description
            if isinstance(entity, OpaqueFunction):
                made += entity.execute(context)
        return made

    monkeypatch.delenv(PROFILE_VARIABLE, raising=False)
    predictor = [entity for entity in entities() if not isinstance(entity, SetEnvironmentVariable)]
    assert [entity.node_executable for entity in predictor] == ["predictor"], (
        "no camera unless there is a source"
    )
    assert any(isinstance(entity, SetEnvironmentVariable) for entity in entities())
    monkeypatch.setenv(PROFILE_VARIABLE, "/mine.xml")
    nodes = entities(source="drive.mcap", rviz="true")
    assert [node.node_executable for node in nodes] == ["predictor", "camera", "rviz2"]
    renamed = dict(runpy.run_path(str(LAUNCH_FILE))["FUTURES"])
    assert set(renamed) == set(displayed()) - {"/camera/image_raw"}, "all displays follow the namespace"
    assert all(not topic.startswith("/") for topic in renamed.values())


@needs_launch
def test_the_launch_file_s_arguments_are_parameters_of_the_right_type(tmp_path: Path) -> None:
    from launch import LaunchContext
    from vidpred_ros.nodes.parameters import PREDICTOR

    file = runpy.run_path(str(LAUNCH_FILE))
    start, context = file["start"], LaunchContext()
    start.__globals__["LifecycleNode"] = dict  # what it would be made of
    for argument in file["ARGUMENTS"]:
        argument.execute(context)
    given = {"structure": "true", "steps": "3", "camera_pitch": "0.1", "segmenter": "topic"}
    context.launch_configurations.update(given, labels="front/labels")
    node = next(entity for entity in start(context) if isinstance(entity, dict))
    assert node["parameters"][-1] == {
        "structure": True,
        "steps": 3,
        "camera_pitch": 0.1,
        "segmenter": "topic",
    }
    assert ("labels", "front/labels") in node["remappings"]

    start.__globals__["Node"] = dict
    context.launch_configurations.update(cameras="front, left", image="image_raw", source="drive.mcap", namespace="car")
    mine = tmp_path / "mine.yaml"
    mine.write_text("/**/predictor:\n  ros__parameters:\n    cameras: [front, left]\n")
    for _ in ("the argument", "the file alone"):
        predictor, *replayed = (entity for entity in start(context) if isinstance(entity, dict))
        assert predictor["parameters"][-1].get("cameras", ["front", "left"]) == ["front", "left"]
        assert {("front/image", "front/image_raw"), ("left/image", "left/image_raw")} < set(predictor["remappings"])
        assert [node["namespace"] for node in replayed] == ["car/front", "car/left"]
        assert all(("~/image_raw", "image_raw") in node["remappings"] for node in replayed)
        context.launch_configurations.update(cameras="", params_file=str(mine))

    types = {spec.name: type(spec.default) for spec in PREDICTOR}
    assert {name: types[name] for name in file["NUMBERS"]} == file["NUMBERS"]
    assert {types[name] for name in file["WORDS"]} == {str}
    assert {types[name] for name in file["SWITCHES"]} == {bool}


@pytest.fixture
def build_file(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """build.launch.py's names; where there is no launch, with nothing in its place."""
    if importlib.util.find_spec("launch") is None or importlib.util.find_spec("launch.actions") is None:
        for name in ("launch", "launch.actions"):
            monkeypatch.setitem(sys.modules, name, MagicMock())
    return runpy.run_path(str(BUILD_FILE))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "build hrp_tree_w25 --steps 5 --samples 8"),
        ({"engine": "tensorrt", "precision": "int8", "steps": "3"}, "build hrp_tree_w25 --steps 3 --samples 8 --engine tensorrt --precision int8"),
        ({"structure": "true"}, "build hrp_tree_w25 hvp_structure_slim segmenter_lite0 --steps 5 --samples 8"),
        ({"structure": "true", "segmenter": "topic", "model": "copy_last"}, "build hvp_structure_slim --steps 5 --samples 8"),
        ({"structure": "true", "segmenter": "own.onnx"}, "build hrp_tree_w25 hvp_structure_slim --steps 5 --samples 8"),
        ({"cameras": "front,left", "engine": "tensorrt"}, "build hrp_tree_w25 --steps 5 --samples 8 --engine tensorrt --batch 2"),
        ({"cameras": "front,left", "engine": "openvino"}, "build hrp_tree_w25 --steps 5 --samples 8 --engine openvino"),
        ({"model": "optical_flow"}, ""),
        ({"engine": "torch"}, ""),
    ],
)
def test_what_the_predictor_would_open_is_built(build_file: dict[str, Any], given: dict[str, str], words: str) -> None:
    chosen = build_file["settings"](str(LAUNCH_FILE.parent.parent / "config" / "predictor.yaml"), dict.fromkeys((*build_file["PARAMETERS"], "cameras"), "") | given)
    assert build_file["command"](chosen, "")[3:] == words.split()
    assert build_file["command"](chosen, "drive.mcap")[-2:] == (["--check", "drive.mcap"] if words else [])


def test_a_parameter_file_of_one_s_own_is_built_for(build_file: dict[str, Any], tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("/**/predictor:\n  ros__parameters:\n    model: hrp_tree_w50\n    structure: true\n    engine: onnxruntime\n    cameras: [a, b]\n")
    chosen = build_file["settings"](str(mine), dict.fromkeys((*build_file["PARAMETERS"], "cameras"), "") | {"engine": "openvino"})
    assert (chosen["model"], chosen["structure"], chosen["engine"], chosen["steps"]) == ("hrp_tree_w50", "True", "openvino", "5")
    assert chosen["cameras"] == "a,b"
    assert build_file["command"](chosen, "")[4:7] == ["hrp_tree_w50", "hvp_structure_slim", "segmenter_lite0"]


@needs_launch
@pytest.mark.parametrize(("argument", "code", "said"), [("engine:=cuda", 1, "ended with 2"), ("model:=copy_last", 0, "")])
def test_a_build_that_fails_ends_the_launch_with_an_error(argument: str, code: int, said: str) -> None:
    run = subprocess.run([sys.executable, "-c", LAUNCH, str(BUILD_FILE), argument], capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == code and said in run.stdout + run.stderr, run.stdout + run.stderr
