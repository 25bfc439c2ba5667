"""The demo's graph: camera, predictor and collector as processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from helpers.ros import write_sequence

from vidpred_ros.errors import VidpredError
from vidpred_ros.evaluation.recording import load_recording
from vidpred_ros.nodes.demo import run_demo_graph
from vidpred_ros.nodes.graph import Child, Graph
from vidpred_ros.nodes.load import load_figures, record_load
from vidpred_ros.preprocess import crop_and_resize
from vidpred_ros.sources import open_source


@pytest.fixture
def drive(tmp_path: Path) -> str:
    return write_sequence(tmp_path / "drive", 20, 10.0, 128, 160)


@pytest.fixture(autouse=True)
def own_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", "100")  # the namespace holds the process id


def test_the_recording_holds_what_was_sent_and_what_was_predicted(tmp_path: Path, drive: str) -> None:
    told = []
    recording = run_demo_graph(drive, "copy_last", None, 2, 5.0, tmp_path, lambda *done: told.append(done))
    assert recording.summary["camera"] == {"sent": 20, "received": 20, "lost": 0}
    assert (told[0], told[-1]) == ((0.0, 5.0), (5.0, 5.0))
    frames = [crop_and_resize(frame.image, (128, 160)) for frame in open_source(drive)]
    assert np.array_equal(recording.camera_frames, frames)
    assert 1 <= len(recording.source_stamps_ns) <= 13
    assert recording.summary["forecasts"]["announced"] == int(recording.summary["diagnostics"]["predicted"]), "none is unheard"
    stamps = recording.camera_stamps_ns.tolist()
    for source, predicted in zip(recording.source_stamps_ns, recording.forecast_frames, strict=True):
        assert np.array_equal(predicted, [frames[stamps.index(source)]] * 2), "copy_last"
    assert recording.summary["model"] == "copy_last" and recording.summary["steps"] == 2
    assert recording.summary["latency_ms"]["total"]["median"] > 0
    assert recording.summary["diagnostics"]["state"] == "active"
    assert np.array_equal(load_recording(tmp_path / "recording").camera_frames, recording.camera_frames)


def test_the_recording_of_a_structure_lane(tmp_path: Path, drive: str) -> None:
    pytest.importorskip("torch", reason="needs torch to make a model")
    from helpers.models import LABEL_SIZE, make_model

    lane = {
        "structure_model": str(make_model(tmp_path / "models", "tiny_structure", "structure")),
        "segmenter": str(make_model(tmp_path / "models", "tiny_segmenter", "segmenter")),
        "samples": 2,
    }
    recording = run_demo_graph(drive, "copy_last", "torch", 2, 5.0, tmp_path / "out", structure=lane)
    labels, summary = recording.labels, recording.summary["labels"]
    assert labels is not None and len(labels.labels) >= 1
    assert labels.labels.shape[1:] == (2, *LABEL_SIZE) and labels.labels.max() < 19
    assert labels.uncertainty.shape == (len(labels.labels), *LABEL_SIZE) and labels.uncertainty.max() > 0
    assert labels.occupancy.shape == (len(labels.labels), 3, *LABEL_SIZE)
    assert set(labels.source_stamps_ns) <= set(recording.summary["sent_stamps_ns"])
    assert (summary["model"], summary["samples"]) == ("tiny_structure", 2)
    assert summary["forecasts"]["complete"] == len(labels.labels)
    assert (summary["diagnostics"]["state"], summary["diagnostics"]["window"]) == ("active", "4 of 4")
    again = load_recording(tmp_path / "out" / "recording").labels
    assert again is not None and np.array_equal(again.labels, labels.labels)


def test_a_node_that_cannot_start_is_an_error_with_its_last_words(tmp_path: Path, drive: str) -> None:
    (tmp_path / "recording").mkdir()
    (tmp_path / "recording" / "camera.npz").write_text("of an earlier run")
    with pytest.raises(VidpredError, match="the predictor node ended with exit code 1(.|\n)*no_such_engine"):
        run_demo_graph(drive, "copy_last", "no_such_engine", 2, 5.0, tmp_path)
    assert (tmp_path / "recording" / "camera.npz").read_text() == "of an earlier run"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drive", "log", "recording"]


def test_the_load_test_measures_the_predictor() -> None:
    figures = load_figures(record_load((180, 320), 10.0, 2.0, "copy_last", None, 1), (180, 320), 10.0)
    assert figures["camera"]["sent"] == 20
    windows = figures["windows"]
    assert 0 < windows["predicted"] <= windows["expected"] <= 13
    assert figures["received"] + figures["missed"] <= 20
    assert figures["resident_mb"]["peak"] > 20 and figures["latency_ms"]["overhead"]["median"] > 0
    assert (figures["model"], figures["steps"]) == ("copy_last", 1)


def test_the_load_test_of_several_cameras_tells_them_apart() -> None:
    figures = load_figures(record_load((180, 320), 10.0, 2.0, "copy_last", None, 1, cameras=2), (180, 320), 10.0)
    assert list(figures["cameras"]) == ["camera_1", "camera_2"] and figures["resident_mb"]["peak"] > 20
    for one in figures["cameras"].values():
        assert one["camera"]["sent"] == 20 and one["model"] == "copy_last"
        assert 0 < one["windows"]["predicted"] <= one["windows"]["expected"] <= 13
        assert one["latency_ms"]["total"]["median"] > 0


def test_a_node_that_writes_at_its_end_is_given_the_time_for_it(tmp_path: Path) -> None:
    slow = (
        "import pathlib, sys, time\n"
        "try: print('ready', flush=True); time.sleep(60)\n"
        "except KeyboardInterrupt: time.sleep(1); pathlib.Path(sys.argv[1]).touch()"
    )
    graph = Graph("/nowhere", tmp_path)
    for patience_s, written in ((0.0, False), (30.0, True)):
        process = subprocess.Popen([sys.executable, "-c", slow, str(tmp_path / "written")], stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline()
        graph._children["slow"] = Child("slow", process, tmp_path / "log")
        graph.stop("slow", patience_s)
        assert (tmp_path / "written").exists() is written


def test_a_graph_without_ros_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(VidpredError, match="needs ROS 2"):
        Graph("/nowhere", tmp_path)
