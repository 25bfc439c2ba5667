"""From a recording to label trials and a report: each recorded forecast meets the source's frames of its instants."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.recordings import PERIOD, make_recording

from vidpred_ros.errors import VidpredError
from vidpred_ros.evaluation.demo import report_demo
from vidpred_ros.evaluation.label_filmstrip import entropy_map
from vidpred_ros.evaluation.recorded_labels import recorded_label_trials, recorded_lane
from vidpred_ros.evaluation.recording import LabelRecording, Recording
from vidpred_ros.preprocess import crop_and_resize_labels
from vidpred_ros.sources import Source, open_source
from vidpred_ros.window import Window

SENT = [50 + i * PERIOD for i in range(20)]  # the stamps that the camera gave to the source's frames
SIZE, LABEL_SIZE, STEPS = (64, 128), (32, 64), 2


@dataclass
class Painter:
    """A segmenter that finds the same class everywhere."""

    name: str = "painter"
    size: tuple[int, int] = SIZE
    engine: str = "none"

    def segment(self, frame: np.ndarray) -> np.ndarray:
        assert frame.shape == (*SIZE, 3)
        return np.full(SIZE, 2, np.uint8)

    def close(self) -> None:
        """Nothing to free."""


@pytest.fixture(scope="module")
def source() -> Source:
    return open_source("synthetic:seed=1,seconds=2,width=128,height=64")


def recorded(source: Source, newest: list[int], samples: bool = True) -> Recording:
    """Forecasts of the frames ``newest`` that copy the source's own labels, but for step 2: that is all road."""
    own = [crop_and_resize_labels(frame.labels, LABEL_SIZE) for frame in source]
    maps = np.stack([np.stack([own[i], np.zeros(LABEL_SIZE, np.uint8)]) for i in newest])
    stamps = [SENT[i] for i in newest]
    count = len(newest) if samples else 0
    labels = LabelRecording(
        np.array(stamps),
        np.full(len(newest), PERIOD),
        maps,
        np.full((count, *LABEL_SIZE), 0.5, np.float16),
        np.full((count, 3, *LABEL_SIZE), 0.25, np.float16),
    )
    frames = make_recording(SENT, stamps, STEPS, size=(32, 40))
    lane = {
        "model": "copies",
        "engine": "none",
        "samples": 8,
        "forecasts": {"announced": 9, "complete": len(newest)},
        "latency_ms_each": {"total": [7.0] * len(newest)},
        "diagnostics": {"period_s": "0.100", "window": "4 of 4"},
    }
    summary = {**frames.summary, "sent_stamps_ns": SENT, "labels": lane}
    return replace(frames, labels=labels, summary=summary)


def test_context_and_truth_are_the_source_s_frames_of_the_instants(source: Source) -> None:
    recording = recorded(source, [8, 12])
    lane = recorded_lane(recording, Painter(), None)
    assert (lane.predictor.window_length, lane.predictor.steps, lane.predictor.label_size) == (4, STEPS, LABEL_SIZE)
    trials = list(recorded_label_trials(source, recording, lane, "source"))
    assert [trial.index for trial in trials] == [0, 1]
    own = [crop_and_resize_labels(frame.labels, LABEL_SIZE) for frame in source]
    last = trials[1]
    assert last.window.stamps_ns == tuple(SENT[9:13])
    assert all(np.array_equal(a, b) for a, b in zip(last.truth, own[13:15], strict=True))
    assert np.array_equal(last.predicted[0], own[12]) and not last.predicted[1].any()
    assert all((labels == 2).all() for labels in last.labels), "the predictor saw the segmenter's label maps"
    assert last.latency_ms == 7.0
    assert last.uncertainty is not None and np.allclose(last.uncertainty, 0.5)
    assert np.allclose(last.forecast.occupancy["rider"], 0.25)
    chosen = list(recorded_label_trials(source, recording, lane, "source", only={1}))
    assert [trial.window.stamps_ns for trial in chosen] == [last.window.stamps_ns]


def test_a_forecast_without_its_frames_is_not_scored(source: Source) -> None:
    recording = recorded(source, [2, 10, 18])  # too early, and too late for a truth
    lane = recorded_lane(recording, Painter(), None)
    trials = list(recorded_label_trials(source, recording, lane, "source"))
    assert [trial.window.stamps_ns[-1] for trial in trials] == [SENT[10]]
    none = recorded(source, [2])
    with pytest.raises(VidpredError, match="--seconds"):
        list(recorded_label_trials(source, none, lane, "source"))
    blank = [replace(frame, labels=np.full_like(frame.labels, 255)) for frame in source]
    Blank = type("Blank", (list,), {"name": "blank"})
    with pytest.raises(VidpredError, match="blank: no frame that was predicted has a label map to score against"):
        list(recorded_label_trials(Blank(blank), recording, lane, "source"))


def test_the_recorded_predictor_knows_its_own_windows_only(source: Source) -> None:
    lane = recorded_lane(recorded(source, [8], samples=False), Painter(), None)
    window = Window((0, 1, 2, SENT[8]), (np.zeros((*SIZE, 3), np.uint8),) * 4, 0, 4, PERIOD)
    forecast = lane.predictor.predict(window)
    assert [h.stamp_ns for h in forecast.horizons] == SENT[9:11] and not forecast.occupancy
    with pytest.raises(KeyError):
        lane.predictor.predict(replace(window, stamps_ns=(0, 1, 2, 3)))


def test_a_lane_that_sent_nothing_says_why(source: Source) -> None:
    recording = recorded(source, [8])
    recording.summary["labels"]["diagnostics"] = {"message": "no frame for 3 s"}
    with pytest.raises(VidpredError, match="no frame for 3 s"):
        recorded_lane(replace(recording, labels=None), Painter(), None)


def test_the_report_of_a_demo_shows_both_lanes(source: Source, tmp_path: Path) -> None:
    results = report_demo(
        source, recorded(source, [8, 9, 12]), "copy_last", tmp_path, "vidpred demo", Painter(), "copy_last"
    )
    assert results == json.loads((tmp_path / "metrics.json").read_text())
    first, second = (horizon["methods"] for horizon in results["horizons"])
    assert first["predictor"]["miou"] > 0.3 > second["predictor"]["miou"]
    assert set(first) == {"predictor", "copy_last", "optical_flow", "segmenter"}
    assert first["predictor"]["ssim"] is not None
    assert results["protocol"]["labels"] == "the source's own labels (rendered with the frames)"
    assert results["structure"]["scored"].startswith("every forecast")
    assert results["transport"]["label_forecasts_announced"] == 9
    page = (tmp_path / "report.html").read_text()
    assert "Label maps" in page and "label forecasts received complete" in page
    assert (tmp_path / "labels.mp4").stat().st_size > 0
    strip = cv2.cvtColor(cv2.imread(str(tmp_path / "labels.png")), cv2.COLOR_BGR2RGB)
    half_a_nat = entropy_map(np.full((1, 1), 0.5, np.float32))[0, 0]
    assert (strip == half_a_nat).all(-1).sum() > LABEL_SIZE[0] * LABEL_SIZE[1], "the uncertainty that the node published is shown"
