"""Several cameras in one process: they share an engine and a thread, and each has topics, a window and counters of its own."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from diagnostic_msgs.msg import DiagnosticArray
from helpers.ros import PERIOD_NS, START_NS, Camera, Graph, level, rgb, stamp, values
from lifecycle_msgs.msg import Transition
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from vidpred_ros.errors import ConfigError
from vidpred_ros.nodes.lanes import check_cameras
from vidpred_ros.nodes.predictor import PredictorNode

NAMES = ["front", "left", "rear"]


def no_loss(*names: str) -> dict[str, object]:
    topics = [f"qos_overrides./{name}/image.subscription" for name in names]
    return {f"{topic}.reliability": "reliable" for topic in topics} | {f"{topic}.depth": 100 for topic in topics}


def ready(graph: Graph, *names: str) -> dict[str, Camera]:
    cameras = {name: graph.camera(f"/{name}/image") for name in names}
    for number, camera in enumerate(cameras.values()):
        camera.wait_for_subscriber()
        camera.count = 60 * number  # so that their greys differ
    return cameras


def test_three_cameras_of_one_model(graph: Graph, tiny_model: Path) -> None:
    """Each on its own clock, one of them late, and one that loops."""
    graph.predictor(model=str(tiny_model), engine="torch", cameras=NAMES, **no_loss(*NAMES))
    cameras = ready(graph, *NAMES)
    infos = {name: graph.listen(DiagnosticArray, f"predictor/{name}/future/info") for name in NAMES}
    futures = {name: graph.listen(Image, f"predictor/{name}/future/step_2/image") for name in NAMES}
    strips = graph.listen(Image, "predictor/left/future/filmstrip")
    reports = graph.reports()
    for number, camera in enumerate(cameras.values()):
        camera.stamp_ns += number * 33_000_000
    for turn in range(14):
        for name, camera in cameras.items():
            if name != "rear" or turn >= 4:
                camera.send(camera.image())
    # a busy computer may skip a window, but never the newest one
    graph.until(
        lambda: all(infos[n] and stamp(infos[n][-1]) == c.stamp_ns for n, c in cameras.items()), "a forecast of each camera"
    )
    for name, camera in cameras.items():
        sources = [stamp(info) for info in infos[name]]
        assert sources == sorted(set(sources)), "never an older window after a newer one"
        graph.until(lambda n=name, c=camera: stamp(futures[n][-1]) == c.stamp_ns + 2 * PERIOD_NS, "the future itself")
        grey, seen = rgb(futures[name][-1]).mean(), camera.count % 256
        assert futures[name][-1].header.frame_id == "front"
        assert abs(grey - seen) < 40, f"{name} shows {grey:.0f} after greys up to {seen}"
    assert strips
    told = len(reports)
    graph.until(lambda: {f"predictor: {n}" for n in NAMES} <= {r.name for r in reports[told:]}, "a status of each camera")
    newest = {report.name.removeprefix("predictor: "): values(report) for report in reports}
    assert [newest[n]["received"] for n in NAMES] == ["14", "14", "10"]
    for name in NAMES:
        skipped = int(newest[name].get("dropped/predictor busy", 0))
        assert int(newest[name]["predicted"]) + skipped == int(newest[name]["received"]) - 7
        assert newest[name]["topic"] == f"/{name}/image" and newest[name]["window"] == "8 of 8"

    cameras["left"].stamp_ns = START_NS  # its bag begins again
    for camera in cameras.values():
        camera.send(camera.image())
    graph.until(lambda: "reset/backward stamp" in values(last(reports, "left")), "a report of the loop")
    assert "reset/backward stamp" not in values(last(reports, "rear"))
    answer = graph.call(Trigger, "/predictor/reset", Trigger.Request())
    assert answer.message == "forgot 8 and 1 and 8 frames"


def last(reports: list, name: str) -> object:
    return next(report for report in reversed(reports) if report.name == f"predictor: {name}")


def test_drops_are_counted_for_the_camera_that_had_them(graph: Graph) -> None:
    names = ["calm", "hasty", "silent"]
    quick = {"model": "optical_flow", "steps": 20, "frame_timeout": 0.5}
    graph.predictor(cameras=names, **quick, **no_loss(*names))
    cameras = ready(graph, *names)
    calm = graph.listen(DiagnosticArray, "predictor/calm/future/info")
    hasty = graph.listen(DiagnosticArray, "predictor/hasty/future/info")
    reports = graph.reports()
    cameras["calm"].send(*(cameras["calm"].image() for _ in range(7)))
    for image in [cameras["hasty"].image() for _ in range(60)]:
        cameras["hasty"].publisher.publish(image)
    cameras["calm"].send(cameras["calm"].image())
    newest = cameras["hasty"].stamp_ns
    graph.until(lambda: hasty and stamp(hasty[-1]) == newest and calm, "the newest of both")
    assert [stamp(info) for info in calm] == [START_NS + 8 * PERIOD_NS], "the hasty one does not keep it waiting for ever"
    told = time.monotonic()
    graph.until(lambda: reports and time.monotonic() - told > 1.5, "a report")
    counts = {name: values(last(reports, name)) for name in names}
    assert int(counts["hasty"]["dropped/predictor busy"]) + int(counts["hasty"]["predicted"]) == 53
    assert int(counts["hasty"]["dropped/predictor busy"]) > 0 and "dropped/predictor busy" not in counts["calm"]
    assert level(last(reports, "silent")) == "ERROR" and "/silent/image" in last(reports, "silent").message

    assert graph.change_state(Transition.TRANSITION_DEACTIVATE)
    assert graph.change_state(Transition.TRANSITION_CLEANUP)
    assert graph.change_state(Transition.TRANSITION_CONFIGURE), "the shared engine was let go and opens again"


def test_label_maps_and_bad_names_are_refused_at_configure(graph: Graph) -> None:
    node = graph.predictor(cameras=["front"], structure=True)
    assert node.process.wait(40) == 1
    assert "label maps are predicted for one camera" in node.output and "Traceback" not in node.output
    for names in (["front left"], ["front", "front"], ["1st"]):
        with pytest.raises(ConfigError, match="parameter cameras wants names"):
            check_cameras(names, False)
    check_cameras(["front", "rear_2"], False)


def test_missed_frames_are_counted_for_each_topic_where_publishers_have_no_id() -> None:
    """Jazzy's rclpy numbers the messages of a publisher and does not tell whose they are."""
    node: Any = SimpleNamespace(_newest_sent={})

    def missed(topic: str, number: int) -> int:
        return PredictorNode._missed_before(node, topic, {"publication_sequence_number": number})

    assert [missed("front/image", number) for number in (5, 6)] == [0, 0]
    assert missed("left/image", 1000) == 0, "the first of another publisher"
    assert (missed("front/image", 9), missed("left/image", 1003)) == (2, 2)
