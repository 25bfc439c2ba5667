"""The structure lane of the predictor as a process in a real graph: every topic of it, and the label maps of another node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from helpers.ros import PERIOD_NS, START_NS, Camera, Graph, level, stamp, values
from lifecycle_msgs.msg import Transition
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vidpred_ros import semantics
from vidpred_ros.nodes.messages import label_message

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
ON_TOPIC = {
    "structure": True,
    "structure_model": "copy_last",
    "segmenter": "topic",
    "qos_overrides./labels.subscription.reliability": "reliable",
    "qos_overrides./labels.subscription.depth": 100,
}


class LabelNode:
    """Another node's segmenter: label maps with stamps of their own that go on 0.1 s for each."""

    def __init__(self, graph: Graph, topic: str = "labels") -> None:
        self.graph = graph
        self.publisher = graph.node.create_publisher(Image, topic, QoSProfile(depth=100))
        self.stamp_ns = START_NS
        graph.until(self.publisher.get_subscription_count, "a subscriber of labels")

    def send(self, labels: np.ndarray, stamp_ns: int | None = None) -> None:
        self.stamp_ns = self.stamp_ns + PERIOD_NS if stamp_ns is None else stamp_ns
        self.publisher.publish(label_message(labels, self.stamp_ns, "front"))
        self.graph.spin(0.02)


def street(height: int = 96, width: int = 192) -> np.ndarray:
    """Sky over road, a car in the middle; no two columns and no two rows alike in where that ends."""
    labels = np.full((height, width), semantics.SKY, np.uint8)
    labels[height // 2 :] = semantics.ROAD
    labels[height // 3 : height * 3 // 4, width // 3 : width // 2] = semantics.CAR
    return labels


def pixels(image: Image) -> np.ndarray:
    kind = {"mono8": np.uint8, "rgb8": np.uint8, "32FC1": np.float32}[image.encoding]
    flat = np.frombuffer(image.data, kind)
    assert image.step * image.height == flat.nbytes
    return flat.reshape(image.height, image.width, -1).squeeze()


def of_labels(reports: list[DiagnosticStatus]) -> list[DiagnosticStatus]:
    return [report for report in reports if report.name == "predictor: labels"]


def told(reports: list[DiagnosticStatus], key: str) -> bool:
    return any(key in values(report) for report in of_labels(reports))


@pytest.fixture(scope="module")
def labels(shared_graph: Graph) -> LabelNode:
    """Label maps that an active predictor copies, all steps alike."""
    shared_graph.predictor(**ON_TOPIC)
    return LabelNode(shared_graph)


def test_label_maps_of_another_node_alone_are_enough(shared_graph: Graph, labels: LabelNode) -> None:
    steps = [shared_graph.listen(Image, f"predictor/future/step_{k}/labels") for k in (1, 2)]
    infos = shared_graph.listen(DiagnosticArray, "predictor/future/labels_info")
    table = shared_graph.listen(String, "predictor/future/label_table", LATCHED)
    reports = shared_graph.reports()
    shared_graph.until(lambda: table, "the latched table of classes, long after it was published")
    assert [row["name"] for row in json.loads(table[0].data)["classes"]] == list(semantics.CLASS_NAMES)

    sent = street()
    sent[:4] = semantics.IGNORE
    while not (infos and all(steps)):
        labels.send(sent)
    shared_graph.until(lambda: stamp(infos[-1]) == labels.stamp_ns, "the forecast of the last label map")
    for k, images in enumerate(steps, start=1):
        shared_graph.until(lambda images=images: stamp(images[-1]) > labels.stamp_ns, "its label maps")
        future = images[-1]
        assert stamp(future) == labels.stamp_ns + k * PERIOD_NS and future.header.frame_id == "front"
        assert (future.encoding, future.height, future.width) == ("mono8", 128, 256)
        rows, columns = np.arange(128) * 96 // 128, np.arange(256) * 192 // 256
        assert np.array_equal(pixels(future), sent[np.ix_(rows, columns)]), "nearest neighbour, ids as they were"
    info = values(infos[-1].status[0])
    assert (info["model"], info["steps"], info["samples"]) == ("copy_last", "2", "0")
    shared_graph.until(lambda: of_labels(reports), "a report of the lane")
    assert values(of_labels(reports)[-1])["topic"] == "/labels"


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("unknown label ids", "does not know: 33"),
        ("corrupt label map", "mono8 or 8UC1"),
        ("corrupt label map", "the mono8 image has 100 bytes"),
        ("label map size changed", "a label map of 64x32 pixels after ones of 192x96"),
    ],
)
def test_a_bad_label_map_is_counted_and_told_and_the_node_lives_on(
    shared_graph: Graph, labels: LabelNode, reason: str, message: str
) -> None:
    reports, infos = shared_graph.reports(), shared_graph.listen(DiagnosticArray, "predictor/future/labels_info")
    while not infos:
        labels.send(street())
    bad = label_message(street(), labels.stamp_ns + PERIOD_NS, "front")
    if reason == "unknown label ids":
        bad.data[5] = 33
    elif "size" in reason:
        bad = label_message(street(32, 64), labels.stamp_ns + PERIOD_NS, "front")
    elif "bytes" in message:
        bad.data = bad.data[:100]
    else:
        bad.encoding = "rgb8"
    labels.publisher.publish(bad)
    shared_graph.until(lambda: any(message in report.message for report in of_labels(reports)), "a report of the fault")
    report = next(report for report in of_labels(reports) if message in report.message)
    assert level(report) == "WARN" and int(values(report)[f"dropped/{reason}"]) >= 1
    infos.clear()
    while not infos:
        labels.send(street())


def test_one_map_of_another_size_is_dropped_and_those_that_follow_fill_the_window_anew(
    shared_graph: Graph, labels: LabelNode
) -> None:
    infos = shared_graph.listen(DiagnosticArray, "predictor/future/labels_info")
    while not infos:
        labels.send(street())
    shared_graph.until(lambda: stamp(infos[-1]) == labels.stamp_ns, "the last forecast")
    infos.clear()
    first = labels.stamp_ns + PERIOD_NS
    for _ in range(5):
        labels.send(street(48, 96))
    shared_graph.until(lambda: infos, "a forecast of the new size")
    assert stamp(infos[0]) == first + 4 * PERIOD_NS, "one is dropped, four fill the window"


def test_reset_and_a_backward_stamp_begin_the_label_window_anew(shared_graph: Graph, labels: LabelNode) -> None:
    infos = shared_graph.listen(DiagnosticArray, "predictor/future/labels_info")
    while not infos:
        labels.send(street())
    shared_graph.until(lambda: stamp(infos[-1]) == labels.stamp_ns, "the last forecast")
    answer = shared_graph.call(Trigger, "/predictor/reset", Trigger.Request())
    assert answer.message == "forgot 0 and 4 frames"
    infos.clear()
    for _ in range(4):
        labels.send(street())
    shared_graph.until(lambda: infos, "a forecast")
    assert stamp(infos[0]) == labels.stamp_ns
    infos.clear()
    labels.send(street(), stamp_ns=START_NS)
    for _ in range(3):
        labels.send(street())
    shared_graph.until(lambda: infos, "a forecast after the loop")
    assert stamp(infos[0]) == START_NS + 3 * PERIOD_NS


def test_deactivation_pauses_both_lanes_and_configuration_makes_them_anew(shared_graph: Graph, labels: LabelNode) -> None:
    assert shared_graph.change_state(Transition.TRANSITION_DEACTIVATE)
    shared_graph.until(lambda: not labels.publisher.get_subscription_count(), "the end of the subscription")
    assert shared_graph.change_state(Transition.TRANSITION_CLEANUP)
    topics = dict(shared_graph.node.get_topic_names_and_types())
    shared_graph.until(
        lambda: not shared_graph.node.count_publishers("/predictor/future/step_1/labels"), f"the end of {sorted(topics)}"
    )
    assert shared_graph.change_state(Transition.TRANSITION_CONFIGURE)
    assert shared_graph.change_state(Transition.TRANSITION_ACTIVATE)
    infos = shared_graph.listen(DiagnosticArray, "predictor/future/labels_info")
    shared_graph.until(labels.publisher.get_subscription_count, "a subscriber of labels")
    while not infos:
        labels.send(street())


def test_a_class_table_of_one_s_own_is_applied(graph: Graph, tmp_path: Path) -> None:
    table = tmp_path / "mine.yaml"
    table.write_text("classes: {7: road, 23: sky, 26: car}\nignore: 0\n")
    graph.predictor("labels:=/seg/ids", **ON_TOPIC, class_table=str(table))
    sender = LabelNode(graph, "/seg/ids")
    futures = graph.listen(Image, "predictor/future/step_1/labels")
    theirs = np.array([[0, 7], [23, 26]], np.uint8).repeat(64, 0).repeat(128, 1)
    while not futures:
        sender.send(theirs)
    ours = np.array([[255, 0], [10, 13]], np.uint8).repeat(64, 0).repeat(128, 1)
    assert np.array_equal(pixels(futures[-1]), ours)


def test_what_cannot_work_stops_configure(graph: Graph, tmp_path: Path) -> None:
    node = graph.predictor(**{**ON_TOPIC, "autostart": False})
    (tmp_path / "wrong.yaml").write_text("classes: {0: motorway}\n")
    wrong = str(tmp_path / "wrong.yaml")
    for name, value, complaint in [
        ("class_table", "nowhere.yaml", "no class table nowhere.yaml"),
        ("class_table", wrong, "unknown class 'motorway'"),
        ("segmenter", str(tmp_path / "mine.onnx"), "motorway"),
        ("class_table", "", "give the class table"),
        ("segmenter", "no_such_segmenter", "no_such_segmenter"),
        ("segmenter", "topic", ""),
        ("structure_model", "no_such_structure", "no_such_structure"),
    ]:
        changed = Parameter(name=name, value=ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=value))
        request = SetParameters.Request(parameters=[changed])
        assert graph.call(SetParameters, "/predictor/set_parameters", request).results[0].successful
        if complaint:
            assert not graph.change_state(Transition.TRANSITION_CONFIGURE)
            assert complaint in node.output.splitlines()[-1]
    assert graph.state() == "unconfigured" and "Traceback" not in node.output
    reports = graph.reports()
    graph.until(lambda: reports and "no_such_structure" in reports[-1].message, "a report of what is wrong")
    assert level(reports[-1]) == "ERROR"
    assert not graph.node.count_publishers("/predictor/future/info"), "the lane of frames is closed again"


def test_label_maps_find_their_camera_frames_or_say_that_there_are_none(graph: Graph) -> None:
    graph.predictor(**{**ON_TOPIC, "structure_model": "optical_flow"})
    camera, sender = graph.camera(), LabelNode(graph)
    camera.wait_for_subscriber()
    steps, reports = graph.listen(Image, "predictor/future/step_1/labels"), graph.reports()
    while not steps:
        camera.send(camera.image())
        sender.send(street(), stamp_ns=camera.stamp_ns + 20_000_000)  # known to be the nearest once the next one is there
    assert (stamp(steps[0]) - START_NS) % PERIOD_NS == 20_000_000
    sender.send(street(), stamp_ns=camera.stamp_ns + 2 * PERIOD_NS)
    camera.stamp_ns += 3 * PERIOD_NS
    camera.send(camera.image())
    graph.until(lambda: told(reports, "dropped/label map without image"), "a report of the map that has no frame")


def test_silence_of_the_label_topic_is_explained(graph: Graph) -> None:
    graph.predictor(**ON_TOPIC, frame_timeout=0.5)
    reports = graph.reports()
    graph.until(lambda: any("no frame for" in report.message for report in of_labels(reports)), "a report of silence")
    assert "nobody publishes /labels; start the camera or remap the topic labels" in of_labels(reports)[-1].message


def test_every_topic_of_a_structure_model_with_its_own_segmenter(graph: Graph, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs torch to make a model")
    from helpers.models import LABEL_SIZE, make_model

    structure = make_model(tmp_path, "tiny_structure", "structure")
    segmenter = make_model(tmp_path, "tiny_segmenter", "segmenter")
    graph.predictor(
        structure=True,
        structure_model=str(structure),
        segmenter=str(segmenter),
        samples=3,
        engine="torch",
        ground=True,
        camera_height=1.4,
        ground_frame="ground",
    )
    infos = graph.listen(DiagnosticArray, "predictor/future/labels_info")
    rgb_infos = graph.listen(DiagnosticArray, "predictor/future/info")
    heard: dict[str, list[Any]] = {
        name: graph.listen(Image, f"predictor/future/{name}")
        for name in (
            *(f"step_{k}/{what}" for k in (1, 2) for what in ("image", "labels", "labels_color")),
            "uncertainty",
            *(f"occupancy_{name}" for name in ("person", "rider", "car")),
        )
    }
    clouds, reports = graph.listen(PointCloud2, "predictor/future/ground"), graph.reports()
    camera = graph.camera()
    calibration = graph.node.create_publisher(CameraInfo, "camera_info", 1)
    camera.wait_for_subscriber()
    graph.until(calibration.get_subscription_count, "a subscriber of camera_info")
    info = CameraInfo(height=96, width=128, k=[100.0, 0.0, 63.5, 0.0, 100.0, 20.0, 0.0, 0.0, 1.0])
    noise = np.random.default_rng(0)

    def forecast() -> object:
        calibration.publish(info)
        image = camera.image()
        image.data[:] = type(image.data)("B", noise.integers(0, 256, len(image.data), np.uint8).tobytes())
        camera.send(image)
        return all(heard.values()) and clouds and infos and rgb_infos

    def stamps(name: str) -> set[int]:
        return {stamp(image) for image in heard[name]}

    graph.until(forecast, "a message on every topic")
    graph.until(
        lambda: forecast() and stamps("step_1/image") & stamps("step_1/labels"), "frame and label map of one instant"
    )

    def newest() -> int:
        """Source of the last forecast of which any map has come: its particulars follow."""
        return max(max(stamps(f"step_{k}/{what}")) - k * PERIOD_NS for k in (1, 2) for what in ("labels", "labels_color"))

    graph.until(lambda: max(stamp(message) for message in infos) >= newest(), "the last forecast's particulars")
    particulars = values(infos[-1].status[0])
    assert (particulars["model"], particulars["samples"]) == ("tiny_structure", "3")
    assert {"latency_ms/predict/segment", "latency_ms/predict/forecast", "latency_ms/total"} <= set(particulars)
    sources = {stamp(message) for message in infos}
    for k in (1, 2):
        for what in ("labels", "labels_color"):
            images = heard[f"step_{k}/{what}"]
            assert {stamp(image) - k * PERIOD_NS for image in images} <= sources, "stamped with the instant predicted"
            assert {(image.height, image.width) for image in images} == {LABEL_SIZE}
            assert {image.header.frame_id for image in images} == {"front"}
        ids, colours = (
            {stamp(image): pixels(image) for image in heard[f"step_{k}/{what}"]} for what in ("labels", "labels_color")
        )
        both = ids.keys() & colours.keys()
        assert both and all(np.array_equal(colours[t], semantics.colorize(ids[t])) for t in both)
        assert all(set(np.unique(labels)) <= set(range(19)) for labels in ids.values())
    for name in ("uncertainty", "occupancy_person", "occupancy_rider", "occupancy_car"):
        images = heard[name]
        assert {stamp(image) for image in images} <= sources, "stamped with the source frame"
        assert {(image.encoding, image.height, image.width) for image in images} == {("32FC1", *LABEL_SIZE)}
        shown = np.stack([pixels(image) for image in images])
        assert shown.min() >= 0 and shown.max() <= (np.log(19) if name == "uncertainty" else 1) + 1e-4
    assert {stamp(cloud) for cloud in clouds} <= sources and {cloud.header.frame_id for cloud in clouds} == {"ground"}
    assert [field.name for field in clouds[-1].fields] == ["x", "y", "z", "label", "probability", "horizon"]
    graph.until(lambda: {"predictor: forecast", "predictor: labels"} <= {r.name for r in reports}, "both lanes' reports")


def test_ground_without_a_calibration_is_warned_of_once(graph: Graph) -> None:
    node = graph.predictor(**ON_TOPIC, ground=True)
    sender = LabelNode(graph)
    infos = graph.listen(DiagnosticArray, "predictor/future/labels_info")
    while len(infos) < 25:
        sender.send(street())
    assert node.output.count("no CameraInfo has come on /camera_info") == 1


def test_without_structure_there_are_no_label_topics(graph: Graph) -> None:
    node = graph.predictor(ground=True)
    camera: Camera = graph.camera()
    camera.wait_for_subscriber()
    topics = [name for name, _ in graph.node.get_topic_names_and_types()]
    assert not [name for name in topics if "labels" in name or "occupancy" in name or "ground" in name]
    assert node.output.count("ground has no effect without structure") == 1
