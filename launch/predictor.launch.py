"""Starts and activates the predictor, and with source:=SOURCE a camera that replays it.

    ros2 launch vidpred_ros predictor.launch.py image:=/front/image_raw model:=hrp_tree_w50
    ros2 launch vidpred_ros predictor.launch.py source:=drive.mcap rviz:=true structure:=true
    ros2 launch vidpred_ros predictor.launch.py cameras:=front,left,right image:=image_raw

The predictor activates itself (its parameter autostart), so no event handler has to: one that activates on reaching
"inactive" would also undo a later deactivation. With autostart:=false your own lifecycle manager does it. A first start makes
engines, seconds to minutes long; build.launch.py with the same arguments makes them ahead.
"""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch_ros.actions import LifecycleNode, Node

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from vidpred_ros.nodes.middleware import profile_environment
from vidpred_ros.nodes.parameter_files import predictor_parameters

CONFIG = Path(__file__).resolve().parent.parent / "config"

#: The topics of the RViz configuration, from the root into the namespace that rviz2 is started in.
FUTURES = [
    (f"/predictor/future/{topic}", f"predictor/future/{topic}")
    for topic in (
        "filmstrip",
        *(f"step_{k}/{what}" for k in range(1, 6) for what in ("image", "labels_color")),
        "uncertainty",
        *(f"occupancy_{name}" for name in ("person", "rider", "car")),
        "ground",
    )
]
#: Arguments that are parameters of the predictor, by their type.
WORDS = ("model", "engine", "precision", "image_transport", "structure_model", "segmenter", "class_table", "ground_frame")
NUMBERS = {"steps": int, "samples": int, "camera_height": float, "camera_pitch": float}
SWITCHES = ("structure", "ground")
ARGUMENTS = [
    DeclareLaunchArgument(
        "image",
        default_value="camera/image_raw",
        description="Image topic to predict on; with cameras, in the namespace of each: front/camera/image_raw",
    ),
    DeclareLaunchArgument(
        "cameras",
        default_value="",
        description="Names of several cameras, as front,left (empty: as in params_file)",
    ),
    DeclareLaunchArgument(
        "image_transport", default_value="", description="raw or compressed (empty: as in params_file)"
    ),
    DeclareLaunchArgument(
        "model", default_value="", description="Released model or its folder (empty: as in params_file)"
    ),
    DeclareLaunchArgument(
        "engine", default_value="", description="tensorrt, openvino and others (empty: as in params_file)"
    ),
    DeclareLaunchArgument(
        "precision", default_value="", description="fp32, bf16, fp16, int8 or fp8 (empty: as in params_file)"
    ),
    DeclareLaunchArgument(
        "steps", default_value="", description="Number of future frames (empty: as in params_file)"
    ),
    DeclareLaunchArgument(
        "structure", default_value="", description="true: label maps too (empty: as in params_file)"
    ),
    DeclareLaunchArgument(
        "structure_model",
        default_value="",
        description="Released model of label maps (empty: as in params_file)",
    ),
    DeclareLaunchArgument(
        "segmenter", default_value="", description="Released, .onnx file or topic (empty: as in params_file)"
    ),
    DeclareLaunchArgument(
        "class_table",
        default_value="",
        description="YAML file of your ids' meaning (empty: as in params_file)",
    ),
    DeclareLaunchArgument(
        "samples", default_value="", description="Futures drawn for label maps (empty: as in params_file)"
    ),
    DeclareLaunchArgument("labels", default_value="labels", description="Label topic, for segmenter:=topic"),
    DeclareLaunchArgument(
        "ground", default_value="", description="true: points on the ground (empty: as in params_file)"
    ),
    DeclareLaunchArgument(
        "camera_info", default_value="camera/camera_info", description="Calibration topic, for ground:=true"
    ),
    DeclareLaunchArgument(
        "camera_height", default_value="", description="Metres above the ground (empty: as in params_file)"
    ),
    DeclareLaunchArgument(
        "camera_pitch", default_value="", description="Radians looking down (empty: as in params_file)"
    ),
    DeclareLaunchArgument(
        "ground_frame", default_value="", description="frame_id of the points (empty: as in params_file)"
    ),
    DeclareLaunchArgument(
        "params_file", default_value=str(CONFIG / "predictor.yaml"), description="Parameters of both nodes"
    ),
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of the nodes"),
    DeclareLaunchArgument(
        "autostart", default_value="true", description="Configure and activate the predictor"
    ),
    DeclareLaunchArgument("use_sim_time", default_value="false", description="Take the time from /clock"),
    DeclareLaunchArgument(
        "source", default_value="", description="SOURCE that a camera node replays (empty: no camera)"
    ),
    DeclareLaunchArgument("rviz", default_value="false", description="Show camera and futures in RViz"),
]


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The nodes, now that the arguments have values."""
    given = context.launch_configurations
    common = {
        "namespace": given["namespace"],
        "package": "vidpred_ros",
        "output": "screen",
    }
    sim_time = {"use_sim_time": given["use_sim_time"].lower() == "true"}
    chosen = {name: given[name] for name in WORDS if given[name]}
    chosen |= {name: number(given[name]) for name, number in NUMBERS.items() if given[name]}
    chosen |= {name: given[name].lower() == "true" for name in SWITCHES if given[name]}
    names = [name.strip() for name in given["cameras"].split(",") if name.strip()]
    if names:
        chosen["cameras"] = names
    else:
        names = [name for name in predictor_parameters(given["params_file"]).get("cameras", []) if name]
    images = {f"{name}/image": f"{name}/{given['image']}" for name in names} or {"image": given["image"]}
    predictor = LifecycleNode(
        executable="predictor",
        name="predictor",
        parameters=[
            given["params_file"],
            sim_time,
            {"autostart": given["autostart"].lower() == "true"},
            chosen,
        ],
        remappings=[*images.items(), *((name, given[name]) for name in ("labels", "camera_info"))],
        **common,
    )
    entities = [SetEnvironmentVariable(name, value) for name, value in profile_environment().items()] + [
        predictor
    ]
    if given["source"]:
        transport = {"image_transport": given["image_transport"]} if given["image_transport"] else {}
        # the camera is the origin of the time, so it does not wait for /clock itself
        clock = {"publish_clock": sim_time["use_sim_time"]}
        for name in names or [""]:  # a camera each, all with the same pictures
            entities.append(
                Node(
                    executable="camera",
                    name="camera",
                    parameters=[given["params_file"], {"source": given["source"]}, transport, clock],
                    remappings=[
                        ("~/image_raw", given["image"]),
                        ("~/image_raw/compressed", given["image"] + "/compressed"),
                        ("~/camera_info", given["camera_info"]),
                    ],
                    **{**common, "namespace": "/".join(filter(None, (given["namespace"], name)))},
                )
            )
            clock = {"publish_clock": False}  # one is enough
    if given["rviz"].lower() == "true":
        entities.append(
            Node(
                package="rviz2",
                executable="rviz2",
                namespace=given["namespace"],
                arguments=["-d", str(CONFIG / "rviz" / "predictor.rviz")],
                parameters=[sim_time],
                remappings=[("/camera/image_raw", given["image"]), *FUTURES],
                output="screen",
            )
        )
    return entities


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start)])
