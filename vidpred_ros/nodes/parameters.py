"""Every parameter of the nodes: name, default, range and description, declared and checked in one place.

config/predictor.yaml lists the same names and defaults for the user; a test keeps the two equal.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from vidpred_ros.errors import ConfigError

Value = bool | int | float | str | tuple[str, ...]

#: Parameters of ROS itself, which every node may be given.
_OF_ROS = ("use_sim_time", "start_type_description_service", "qos_overrides.")


@dataclass(frozen=True)
class Spec:
    """One parameter; the type is that of ``default``. ``low`` and ``high`` are inclusive.

    A tuple is a list of words to ROS, which knows no type of an empty list: [""] stands for it.
    """

    name: str
    default: Value
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def checked(self, value: Any) -> Any:
        """``value`` as the parameter's type (a whole number may stand for a float), or ConfigError saying what is wrong."""
        kind: Any = type(self.default)
        if kind is tuple and isinstance(value, list | tuple) and all(type(word) is str for word in value):
            return tuple(word for word in value if word)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            wanted = "list of words" if kind is tuple else kind.__name__
            raise ConfigError(f"parameter {self.name} must be a {wanted}, not {value!r}")
        if self.choices and value not in self.choices:
            raise ConfigError(
                f"parameter {self.name} must be one of {', '.join(self.choices)}, not {value!r}"
            )
        if (
            self.low is not None and self.high is not None and not self.low <= float(value) <= self.high
        ):  # nan too
            raise ConfigError(f"parameter {self.name} must lie in {self.low:g}..{self.high:g}, not {value:g}")
        return value

    def descriptor(self) -> ParameterDescriptor:
        descriptor = ParameterDescriptor(description=self.description)
        if self.choices:
            descriptor.additional_constraints = "one of " + ", ".join(self.choices)
        if self.low is None or self.high is None:
            return descriptor
        if isinstance(self.default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=self.low, to_value=self.high)]
        else:
            descriptor.integer_range = [
                IntegerRange(from_value=int(self.low), to_value=int(self.high), step=1)
            ]
        return descriptor


PREDICTOR = (
    Spec("model", "hrp_tree_w25", "Released model by name (see `vidpred models`) or folder; copy_last and optical_flow too."),
    Spec("engine", "auto", "What runs the networks; auto tries them in turn, and takes the first that works here.",
         choices=("auto", "tensorrt", "tensorrt_rtx", "torch", "openvino", "onnxruntime")),
    Spec("precision", "auto", "What the engine computes in; auto: fp16 on a GPU, on a CPU bf16 where it has that, else fp32.",
         choices=("auto", "fp32", "bf16", "fp16", "int8", "fp8")),
    Spec("steps", 5, "K: the number of future frames, one model period apart.", low=1, high=20),
    Spec("image_transport", "raw", "Type of the image topic; compressed subscribes to <image>/compressed.",
         choices=("raw", "compressed")),
    Spec("cameras", (), "Names of several cameras that share one engine: each with the topics <name>/image and ~/<name>/future/..."),
    Spec("frame_timeout", 2.0, "Seconds without a frame after which /diagnostics reports an error.", low=0.1, high=60.0),
    Spec("autostart", False, "Configure and activate at once, and end with exit code 1 if that fails."),
    Spec("structure", False, "Predict label maps too, in a lane of their own."),
    Spec("structure_model", "hvp_structure_slim", "Released model of label maps, or its folder; copy_last and optical_flow too."),
    Spec("segmenter", "segmenter_lite0", "Released model by name or folder, an .onnx file, or topic: label maps come on the topic labels."),
    Spec("class_table", "", "YAML file with what the ids of an .onnx network or of the topic labels mean; empty: Cityscapes train ids."),
    Spec("samples", 8, "Futures drawn for each forecast of label maps.", low=1, high=64),
    Spec("ground", False, "Publish predicted road, cars and people as points on the ground; needs a CameraInfo."),
    Spec("camera_height", 1.5, "Metres of the camera above the ground.", low=0.1, high=10.0),
    Spec("camera_pitch", 0.0, "Radians that the camera looks down.", low=-0.7, high=1.5),
    Spec("ground_frame", "base_footprint", "frame_id of the points: x forward, y left, z up, on the ground below the camera."),
)  # fmt: skip

CAMERA = (
    Spec("source", "synthetic:seed=1,seconds=20", "SOURCE to replay: bag, video file, image folder or synthetic drive."),
    Spec("topic", "", "Image topic inside a bag that has more than one; empty otherwise."),
    Spec("rate", 0.0, "Frames per second to replay at; 0 keeps the source's own rate.", low=0.0, high=1000.0),
    Spec("loop", True, "Start again at the end of the source; false ends the node there."),
    Spec("duration", 0.0, "Seconds after which the node ends; 0 sets no limit.", low=0.0, high=86400.0),
    Spec("size", "", "WIDTHxHEIGHT to scale every frame to, such as 1280x720; empty keeps the source's size."),
    Spec("image_transport", "raw", "raw publishes sensor_msgs/Image, compressed publishes JPEG.",
         choices=("raw", "compressed")),
    Spec("frame_id", "camera", "frame_id of every message."),
    Spec("publish_clock", False, "Stamp frames with the source's own time and publish it on /clock."),
    Spec("wait_for_subscribers", 0, "Hold the first frame back until this many subscribers are there.", low=0, high=100),
    Spec("sent_file", "", "JSON file for the stamps of all frames sent, written at the end; empty writes none."),
)  # fmt: skip

#: Of the demo's own helper, which users do not start: not in config/predictor.yaml.
COLLECTOR = (
    Spec("out", "", "Folder for the recording."),
    Spec("steps", 5, "Number of future frames of the predictor.", low=1, high=20),
    Spec("size", "", "WIDTHxHEIGHT of the futures: they are recorded, and camera images at that size; empty: infos only."),
    Spec("structure", False, "Record label maps too."),
    Spec("predictor", "predictor", "Name of the predictor's node in /diagnostics."),
    Spec("cameras", (), "Names of the predictor's cameras: their infos are recorded."),
)


class Parameters:
    """The declared parameters of a node. A value that was given at start and is not valid, or has no such name, is kept as a problem.

    rclpy would raise in the constructor; here the node comes up with the default in its place and ``values`` raises,
    so that a bad value stops `configure`, and setting a good one is enough to try again. A misspelt name takes a new start.
    """

    def __init__(
        self, node: Node, specs: tuple[Spec, ...], settable: Callable[[], bool] = lambda: False
    ) -> None:
        """``node`` was made with automatically_declare_parameters_from_overrides; ``settable`` says if they may change now."""
        self._node = node
        self._specs = {spec.name: spec for spec in specs}
        self._settable = settable
        self._problems: dict[str, str] = {}
        given = {name: parameter.value for name, parameter in node.get_parameters_by_prefix("").items()}
        for spec in specs:
            self._declare(spec, given)
        self._refuse_unknown(given)
        node.add_on_set_parameters_callback(self._on_set)

    def values(self) -> dict[str, Any]:
        """All values by name. Raises ConfigError that lists every problem."""
        if self._problems:
            raise ConfigError("; ".join(self._problems.values()))
        return {name: spec.checked(self._node.get_parameter(name).value) for name, spec in self._specs.items()}

    def _declare(self, spec: Spec, given: dict[str, Any]) -> None:
        value = spec.default
        if spec.name in given:
            self._node.undeclare_parameter(spec.name)
            try:
                value = spec.checked(given[spec.name])
            except ConfigError as error:
                self._problems[spec.name] = str(error)
        of_ros: Any = (list(value) or [""]) if isinstance(value, tuple) else value
        self._node.declare_parameter(spec.name, of_ros, spec.descriptor(), ignore_override=True)

    def _refuse_unknown(self, given: dict[str, Any]) -> None:
        for name in given:
            if name in self._specs or name.startswith(_OF_ROS):
                continue
            near = difflib.get_close_matches(name, self._specs, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the parameters are {', '.join(self._specs)}"
            self._problems[name] = f"there is no parameter {name}: {hint}; start the node without it"

    def _on_set(self, changes: list[Parameter]) -> SetParametersResult:
        ours = [change for change in changes if change.name in self._specs]
        if ours and not self._settable():
            reason = f"{ours[0].name} is read at configure: deactivate and clean up the node, set it, configure again"
            return SetParametersResult(successful=False, reason=reason)
        for change in ours:
            try:
                self._specs[change.name].checked(change.value)
            except ConfigError as error:
                return SetParametersResult(successful=False, reason=str(error))
        for change in ours:
            self._problems.pop(change.name, None)
        return SetParametersResult(successful=True)
