"""The predictor as a process in a real graph, fed by the test."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from helpers.ros import PERIOD_NS, START_NS, Camera, Graph, level, rgb, stamp, values
from lifecycle_msgs.msg import Transition
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger

CONFIGURE, CLEANUP = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_CLEANUP
ACTIVATE, DEACTIVATE = Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_DEACTIVATE


@pytest.fixture(scope="module")
def camera(shared_graph: Graph) -> Camera:
    """A camera that an active predictor listens to."""
    shared_graph.predictor()
    camera = shared_graph.camera()
    camera.wait_for_subscriber()
    return camera


def set_parameter(graph: Graph, name: str, **value: object) -> str:
    """Set a parameter of the predictor; the reason if it refuses."""
    request = SetParameters.Request(parameters=[Parameter(name=name, value=ParameterValue(**value))])
    return graph.call(SetParameters, "/predictor/set_parameters", request).results[0].reason


def reset_count(reports: list, reason: str) -> int:
    return int(values(reports[-1]).get(f"reset/{reason}", 0)) if reports else 0


def test_each_future_carries_the_instant_that_it_predicts(shared_graph: Graph, camera: Camera) -> None:
    infos = shared_graph.listen(DiagnosticArray, "predictor/future/info")
    steps = [shared_graph.listen(Image, f"predictor/future/step_{k}/image") for k in (1, 2)]
    strips = shared_graph.listen(Image, "predictor/future/filmstrip")
    camera.stream_until(lambda: infos and strips and all(steps), "a forecast on every topic")

    last = camera.stamp_ns
    newest = [
        (infos, last),
        (steps[0], last + PERIOD_NS),
        (steps[1], last + 2 * PERIOD_NS),
        (strips, last + 2 * PERIOD_NS),
    ]
    shared_graph.until(
        lambda: all(stamp(messages[-1]) == instant for messages, instant in newest),
        "the last frame's forecast",
    )
    info = values(infos[-1].status[0])
    assert info["source_stamp_ns"] == str(last)
    assert (info["steps"], info["horizon_s"], info["model"]) == ("2", "0.200", "copy_last")
    stages = {"receive", "convert", "wait", "predict", "publish", "total", "overhead"}
    assert stages <= {key.removeprefix("latency_ms/") for key in info}
    for images in steps:
        assert images[-1].header.frame_id == "front"
        assert np.array_equal(
            np.unique(rgb(images[-1])), [camera.count % 256]
        )  # copy_last, through every conversion
    assert rgb(strips[-1]).shape[1] > 3 * steps[0][-1].width


def test_a_corrupt_image_is_counted_and_the_node_lives_on(shared_graph: Graph, camera: Camera) -> None:
    reports, infos = shared_graph.reports(), shared_graph.listen(DiagnosticArray, "predictor/future/info")
    corrupt = camera.image()
    corrupt.data = corrupt.data[:100]
    camera.send(corrupt)
    shared_graph.until(
        lambda: any("dropped/corrupt image" in values(report) for report in reports), "a report of the fault"
    )
    told = next(report for report in reports if "corrupt image" in report.message)
    assert level(told) == "WARN"
    assert "100 bytes" in told.message
    camera.stream_until(lambda: infos, "a forecast after the corrupt image")


@pytest.mark.parametrize(
    ("reason", "height", "jump_ns"),
    [("image changed", 64, 0), ("backward stamp", 96, -60 * 10**9), ("gap", 96, 10**9)],
)
def test_a_break_in_the_stream_starts_the_window_anew(
    shared_graph: Graph, camera: Camera, reason: str, height: int, jump_ns: int
) -> None:
    reports, infos = shared_graph.reports(), shared_graph.listen(DiagnosticArray, "predictor/future/info")
    camera.stream_until(lambda: infos and reports, "a forecast before the break")
    shared_graph.until(lambda: stamp(infos[-1]) == camera.stamp_ns, "the forecast of the last frame")
    before = reset_count(reports, reason)
    infos.clear()
    camera.stamp_ns += jump_ns
    first = camera.stamp_ns + PERIOD_NS
    camera.send(*(camera.image(height=height) for _ in range(8)))
    shared_graph.until(lambda: infos, "a forecast after the break")
    assert stamp(infos[0]) == first + 7 * PERIOD_NS, "the first window after the break has 8 new frames"
    shared_graph.until(lambda: reset_count(reports, reason) > before, f"a report of the reset: {reason}")


def test_the_reset_service_empties_the_window(shared_graph: Graph, camera: Camera) -> None:
    infos = shared_graph.listen(DiagnosticArray, "predictor/future/info")
    camera.stream_until(lambda: infos, "a forecast")
    shared_graph.until(lambda: stamp(infos[-1]) == camera.stamp_ns, "the forecast of the last frame")
    answer = shared_graph.call(Trigger, "/predictor/reset", Trigger.Request())
    assert answer.success and answer.message == "forgot 8 frames"
    infos.clear()
    first = camera.stamp_ns + PERIOD_NS
    camera.send(*(camera.image() for _ in range(8)))
    shared_graph.until(lambda: infos, "a forecast after the reset")
    assert stamp(infos[0]) == first + 7 * PERIOD_NS


def test_deactivation_pauses_and_activation_goes_on(shared_graph: Graph, camera: Camera) -> None:
    reports, infos = shared_graph.reports(), shared_graph.listen(DiagnosticArray, "predictor/future/info")
    camera.stream_until(lambda: infos, "a forecast")
    assert shared_graph.change_state(DEACTIVATE)
    assert shared_graph.state() == "inactive"
    shared_graph.until(lambda: not camera.publisher.get_subscription_count(), "the end of the subscription")
    told = len(reports)
    shared_graph.until(lambda: len(reports) > told, "a report")
    assert level(reports[-1]) == "WARN" and "the node is inactive" in reports[-1].message
    assert "steps is read at configure" in set_parameter(
        shared_graph, "steps", type=ParameterType.PARAMETER_INTEGER, integer_value=3
    )
    assert shared_graph.change_state(ACTIVATE)
    infos.clear()
    camera.stream_until(lambda: infos, "a forecast after activation")


def test_a_bad_parameter_stops_configure_until_it_is_set_right(graph: Graph) -> None:
    node = graph.predictor(model="no_such_model", steps=99, autostart=False)
    assert not graph.change_state(CONFIGURE)
    assert graph.state() == "unconfigured"
    assert "steps must lie in 1..20, not 99" in node.output
    reports = graph.reports()
    graph.until(lambda: reports, "a report")
    assert level(reports[-1]) == "ERROR" and "steps must lie in 1..20" in reports[-1].message

    integer, string = ParameterType.PARAMETER_INTEGER, ParameterType.PARAMETER_STRING
    assert set_parameter(graph, "steps", type=integer, integer_value=3) == ""
    assert not graph.change_state(CONFIGURE), "the model is still wrong"
    assert "no_such_model" in node.output.splitlines()[-1]
    assert set_parameter(graph, "model", type=string, string_value="copy_last") == ""
    assert graph.change_state(CONFIGURE)
    assert "predictor/future/step_3/image" in str(graph.node.get_topic_names_and_types())
    assert graph.change_state(ACTIVATE)
    assert graph.change_state(DEACTIVATE)
    assert graph.change_state(CLEANUP)
    assert graph.state() == "unconfigured"
    assert graph.change_state(CONFIGURE)
    assert node.stop() == 0


def test_a_quality_of_service_that_is_none_stops_activate(graph: Graph) -> None:
    node = graph.predictor(autostart=False, **{"qos_overrides./image.subscription.reliability": "perfect"})
    reports = graph.reports()
    assert graph.change_state(CONFIGURE) and not graph.change_state(ACTIVATE)
    assert graph.state() == "inactive"
    graph.until(lambda: reports and level(reports[-1]) == "ERROR", "a report of the error")
    assert reports[-1].message.startswith("activate failed: cannot subscribe to /image: ") and "perfect" in reports[-1].message
    assert reports[-1].message in node.output and "Traceback" not in node.output
    assert graph.change_state(CLEANUP) and graph.state() == "unconfigured"
    assert node.stop() == 0


def test_autostart_ends_with_one_message_when_it_cannot_start(graph: Graph) -> None:
    node = graph.predictor(model="no_such_model")
    assert node.process.wait(40) == 1
    assert "no_such_model" in node.output
    assert "Traceback" not in node.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_node_cleanly_while_frames_come(graph: Graph, number: int) -> None:
    node = graph.predictor(model="optical_flow")
    camera = graph.camera()
    camera.wait_for_subscriber()
    infos = graph.listen(DiagnosticArray, "predictor/future/info")
    camera.stream_until(lambda: infos, "a forecast")
    node.process.send_signal(number)
    camera.stream_until(lambda: node.process.poll() is not None, "the end of the node")
    assert node.process.returncode == 0, node.output
    assert "Traceback" not in node.output and "rror" not in node.output


def test_a_missing_topic_and_a_wrong_type_are_named(graph: Graph) -> None:
    graph.predictor("image:=/front/image", frame_timeout=0.5, model="copy_last")
    elsewhere = graph.camera("/rear/image")
    reports = graph.reports()
    graph.until(lambda: reports and "no frame for" in reports[-1].message, "a report of silence")
    graph.until(lambda: "/rear/image" in reports[-1].message, "a hint at the topic that has images")
    assert level(reports[-1]) == "ERROR"
    assert "nobody publishes /front/image" in reports[-1].message
    graph.node.destroy_publisher(elsewhere.publisher)
    graph.node.create_publisher(CompressedImage, "/front/image", 1)
    graph.until(lambda: "carries sensor_msgs/msg/CompressedImage" in reports[-1].message, "the type named")


def test_an_incompatible_qos_is_named(graph: Graph) -> None:
    graph.predictor(frame_timeout=0.5)  # asks for reliable: see helpers.ros.NO_LOSS
    camera = graph.camera(qos=QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
    reports = graph.reports()
    graph.until(lambda: reports and "incompatible" in reports[-1].message, "a report of the QoS")
    assert level(reports[-1]) == "ERROR"
    graph.until(
        lambda: "the QoS of probe on /image" in reports[-1].message, "the name of the publisher's node"
    )
    assert "reliable subscription" in reports[-1].message
    assert camera.publisher.get_subscription_count() == 0


def test_compressed_images(graph: Graph) -> None:
    graph.predictor(
        image_transport="compressed",
        **{"qos_overrides./image/compressed.subscription.reliability": "reliable"},
        **{"qos_overrides./image/compressed.subscription.depth": 100},
    )
    camera = Camera(graph, "image/compressed", kind=CompressedImage)
    camera.wait_for_subscriber()
    steps = graph.listen(Image, "predictor/future/step_1/image")
    reports = graph.reports()

    def compressed(height: int = 96) -> CompressedImage:
        image = camera.image(height)
        data = cv2.imencode(".png", rgb(image)[..., ::-1])[1].tobytes()
        return CompressedImage(header=image.header, format="rgb8; png compressed bgr8", data=data)

    def forecast() -> object:
        camera.send(compressed())
        return steps

    graph.until(forecast, "a forecast")
    graph.until(lambda: stamp(steps[-1]) == camera.stamp_ns + PERIOD_NS, "the forecast of the last frame")
    assert np.array_equal(np.unique(rgb(steps[-1])), [camera.count % 256])

    camera.send(*(compressed(height=64) for _ in range(3)))
    graph.until(lambda: reset_count(reports, "image changed") == 1, "a report of the new size")
    broken = compressed()
    broken.data = broken.data[: len(broken.data) // 2]
    camera.send(broken)
    graph.until(lambda: "dropped/corrupt image" in values(reports[-1]), "a report of the broken image")


def test_a_bag_that_loops_under_simulated_time(graph: Graph) -> None:
    graph.predictor(use_sim_time=True)
    camera, clock = graph.camera(), graph.node.create_publisher(Clock, "/clock", 10)
    camera.wait_for_subscriber()
    infos, arrays = (
        graph.listen(DiagnosticArray, topic) for topic in ("predictor/future/info", "/diagnostics")
    )

    def play(frames: int) -> None:
        for _ in range(frames):
            image = camera.image()
            clock.publish(Clock(clock=image.header.stamp))
            camera.send(image)

    play(12)
    graph.until(lambda: infos, "a forecast")
    infos.clear()
    camera.stamp_ns = START_NS  # the bag begins again
    play(8)
    graph.until(
        lambda: infos and stamp(infos[-1]) == START_NS + 8 * PERIOD_NS, "a forecast of the second round"
    )
    seen = len(arrays)
    graph.until(lambda: len(arrays) > seen, "reports go on while simulated time stands still")
    assert values(arrays[-1].status[0])["reset/backward stamp"] == "1"
    assert abs(stamp(arrays[-1]) - camera.stamp_ns) <= 2 * PERIOD_NS, "reports carry simulated time"


def test_only_the_newest_window_is_predicted_on_when_the_predictor_is_busy(graph: Graph) -> None:
    graph.predictor(model="optical_flow", steps=20)
    camera = graph.camera()
    camera.wait_for_subscriber()
    infos, reports = graph.listen(DiagnosticArray, "predictor/future/info"), graph.reports()
    camera.stream_until(lambda: infos, "a forecast")
    burst = [camera.image() for _ in range(60)]
    for image in burst:  # faster than any flow: much faster than the camera's stamps say
        camera.publisher.publish(image)
    graph.until(lambda: stamp(infos[-1]) == camera.stamp_ns, "the forecast of the newest frame")
    sources = [stamp(info) for info in infos]
    assert sources == sorted(set(sources)), "never an older window after a newer one"
    told = len(reports)
    graph.until(lambda: len(reports) > told, "a report")
    assert int(values(reports[-1])["dropped/predictor busy"]) > 0
    assert not any(key.startswith("reset/") for key in values(reports[-1])), "the window had no hole"


def test_parameters_are_described(graph: Graph) -> None:
    from rcl_interfaces.srv import DescribeParameters

    graph.predictor(autostart=False)
    request = DescribeParameters.Request(names=["steps", "frame_timeout", "image_transport"])
    steps, timeout, transport = graph.call(
        DescribeParameters, "/predictor/describe_parameters", request
    ).descriptors
    assert (steps.integer_range[0].from_value, steps.integer_range[0].to_value) == (1, 20)
    assert timeout.floating_point_range[0].to_value == 60.0
    assert transport.additional_constraints == "one of raw, compressed"
    assert all(descriptor.description for descriptor in (steps, timeout, transport))


@pytest.mark.parametrize("kind", ["multiscale", "stochastic"])
def test_a_released_model_of_any_kind_is_named_like_a_baseline(graph: Graph, tmp_path: Path, kind: str) -> None:
    pytest.importorskip("torch", reason="needs torch to make a model")
    from helpers.models import SIZE, make_model

    graph.predictor(model=str(make_model(tmp_path, "tiny", kind)), engine="torch")
    infos = graph.listen(DiagnosticArray, "predictor/future/info")
    futures = graph.listen(Image, "predictor/future/step_2/image")
    camera = graph.camera()
    camera.wait_for_subscriber()
    camera.stream_until(lambda: infos and futures, "a forecast")
    info = values(infos[-1].status[0])
    assert (info["model"], info["engine"], info["steps"]) == ("tiny", "torch fp32", "2")
    assert rgb(futures[-1]).shape == (*SIZE, 3)
