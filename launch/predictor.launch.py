"""Starts and activates the predictor, and with source:=SOURCE a camera that replays it.

    ros2 launch vidpred_ros predictor.launch.py image:=/front/image_raw model:=hrp_tree_w50
    ros2 launch vidpred_ros predictor.launch.py source:=drive.mcap rviz:=true

The predictor activates itself (its parameter autostart), so no event handler has to: one that activates on reaching
"inactive" would also undo a later deactivation. With autostart:=false your own lifecycle manager does it.
"""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch_ros.actions import LifecycleNode, Node

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from vidpred_ros.nodes.middleware import profile_environment

CONFIG = Path(__file__).resolve().parent.parent / "config"

#: The topics of the RViz configuration, from the root into the namespace that rviz2 is started in.
FUTURES = [
    (f"/predictor/future/{topic}", f"predictor/future/{topic}")
    for topic in ("filmstrip", *(f"step_{k}/image" for k in range(1, 6)))
]
ARGUMENTS = [
    DeclareLaunchArgument("image", default_value="camera/image_raw", description="Image topic to predict on"),
    DeclareLaunchArgument(
        "image_transport", default_value="", description="raw or compressed (empty: as in params_file)"
    ),
    DeclareLaunchArgument(
        "model", default_value="", description="Released model or its folder (empty: as in params_file)"
    ),
    DeclareLaunchArgument(
        "engine", default_value="", description="openvino, onnxruntime, torch (empty: as in params_file)"
    ),
    DeclareLaunchArgument(
        "steps", default_value="", description="Number of future frames (empty: as in params_file)"
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
    chosen = {name: given[name] for name in ("model", "engine", "image_transport") if given[name]}
    if given["steps"]:
        chosen["steps"] = int(given["steps"])
    predictor = LifecycleNode(
        executable="predictor",
        name="predictor",
        parameters=[
            given["params_file"],
            sim_time,
            {"autostart": given["autostart"].lower() == "true"},
            chosen,
        ],
        remappings=[("image", given["image"])],
        **common,
    )
    entities = [SetEnvironmentVariable(name, value) for name, value in profile_environment().items()] + [
        predictor
    ]
    if given["source"]:
        transport = {"image_transport": given["image_transport"]} if given["image_transport"] else {}
        # the camera is the origin of the time, so it does not wait for /clock itself
        clock = {"publish_clock": sim_time["use_sim_time"]}
        entities.append(
            Node(
                executable="camera",
                name="camera",
                parameters=[given["params_file"], {"source": given["source"]}, transport, clock],
                remappings=[
                    ("~/image_raw", given["image"]),
                    ("~/image_raw/compressed", given["image"] + "/compressed"),
                ],
                **common,
            )
        )
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
