"""Builds the engines that predictor.launch.py would open with the same arguments, checks them, and ends.

    ros2 launch vidpred_ros build.launch.py engine:=tensorrt
    ros2 launch vidpred_ros build.launch.py params_file:=mine.yaml

Run once after an installation or an update; the predictor then starts at once. It runs `vidpred build`, whose exit code other
than 0 ends the launch with an error.
"""

import sys
from pathlib import Path

from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction, Shutdown

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from vidpred_ros.engines.choice import GPU_ENGINES, obstacles
from vidpred_ros.nodes.parameter_files import predictor_parameters

CONFIG = Path(__file__).resolve().parent.parent / "config"
#: Parameters of the predictor that decide what is built.
PARAMETERS = ("model", "engine", "precision", "steps", "structure", "structure_model", "segmenter", "samples")
#: Predictors that have no network.
BASELINES = ("copy_last", "optical_flow")
ARGUMENTS = [
    DeclareLaunchArgument("params_file", default_value=str(CONFIG / "predictor.yaml"), description="Parameters of the predictor"),
    DeclareLaunchArgument("check", default_value="", description="SOURCE to check the engines on (empty: a synthetic drive)"),
    *(
        DeclareLaunchArgument(name, default_value="", description="The predictor's parameter (empty: as in params_file)")
        for name in (*PARAMETERS, "cameras")
    ),
]


def settings(file: str, given: dict[str, str]) -> dict[str, str]:
    """The parameters as text (several cameras with commas between): what was given, else the file's, else the package's own."""
    values = predictor_parameters(str(CONFIG / "predictor.yaml"), file).items()
    found = {name: ",".join(value) if isinstance(value, list) else str(value) for name, value in values}
    return found | {name: given[name] for name in (*PARAMETERS, "cameras") if given[name]}


def command(chosen: dict[str, str], check: str) -> list[str]:
    """The `vidpred build` that makes what a predictor with these parameters opens; [] where that is nothing."""
    models = [chosen["model"]]
    if chosen["structure"].lower() == "true":
        models += [chosen["structure_model"], chosen["segmenter"]]
    models = [name for name in models if name not in (*BASELINES, "topic") and not name.endswith(".onnx")]
    if not models or chosen["engine"] == "torch":  # which keeps no files
        return []
    words = [sys.executable, "-m", "vidpred_ros.cli", "build", *models, "--steps", chosen["steps"], "--samples", chosen["samples"]]
    for name in ("engine", "precision"):
        if chosen[name] != "auto":
            words += [f"--{name}", chosen[name]]
    cameras = [name for name in chosen["cameras"].split(",") if name.strip()]
    if len(cameras) > 1 and runs_batches(chosen["engine"]):
        words += ["--batch", str(len(cameras))]
    return words + (["--check", check] if check else [])


def runs_batches(engine: str) -> bool:
    """Whether the predictor gives several cameras to that engine at a time: it does so on a GPU."""
    return engine in GPU_ENGINES or (engine == "auto" and not all(obstacles()[name] for name in GPU_ENGINES))


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The process, now that the arguments have values."""
    given = context.launch_configurations
    words = command(settings(given["params_file"], given), given["check"])
    if not words:
        return [Shutdown(reason="these parameters need no engine")]
    return [ExecuteProcess(cmd=words, name="build", output="screen", on_exit=ended)]


def ended(event: object, context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """End the launch; a build that failed is its error."""
    if event.returncode:
        raise RuntimeError(f"the engines were not built: `vidpred build` ended with {event.returncode}")
    return [Shutdown(reason="the engines are built")]


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start)])
