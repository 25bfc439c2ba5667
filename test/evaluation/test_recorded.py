"""From a recording to trials and a report: each forecast meets the camera frames of its instants."""

import json

import numpy as np
import pytest
from helpers.recordings import PERIOD, make_recording

from vidpred_ros.errors import VidpredError
from vidpred_ros.evaluation.demo import report_demo
from vidpred_ros.evaluation.recorded import recorded_trials
from vidpred_ros.sources import open_source

SIZE = (128, 160)


def levels(frames):
    return [int(frame[0, 0, 0]) for frame in frames]


def test_window_and_truth_are_the_frames_of_the_instants():
    stamps = [i * PERIOD for i in range(20)]
    trials = list(recorded_trials(make_recording(stamps, [7 * PERIOD, 11 * PERIOD]), 8))
    assert [trial.index for trial in trials] == [0, 1]
    assert levels(trials[1].window.frames) == list(range(4, 12))
    assert levels(trials[1].truth) == [12, 13]
    assert levels(trials[1].predicted) == [101, 102]
    assert [h.stamp_ns for h in trials[1].forecast.horizons] == [12 * PERIOD, 13 * PERIOD]


def test_the_order_of_arrival_does_not_matter():
    stamps = [i * PERIOD for i in range(20)]
    shuffled = [int(stamp) for stamp in np.random.default_rng(0).permutation(stamps)]
    trials = list(recorded_trials(make_recording(shuffled, [9 * PERIOD]), 8))
    assert levels(trials[0].window.frames) == list(range(2, 10))


def test_the_nearest_frame_counts_within_half_a_period():
    jitter = np.random.default_rng(1).integers(-PERIOD // 3, PERIOD // 3, 20)
    stamps = [int(i * PERIOD + jitter[i]) for i in range(20)]
    trials = list(recorded_trials(make_recording(stamps, [10 * PERIOD]), 8))
    assert levels(trials[0].window.frames) + levels(trials[0].truth) == list(range(3, 13))


@pytest.mark.parametrize("lost,scored", [(5, [16, 17]), (13, [8])], ids=["in the window", "in the future"])
def test_a_forecast_with_a_lost_camera_frame_is_not_scored(lost, scored):
    stamps = [i * PERIOD for i in range(20) if i != lost]
    sources = [k * PERIOD for k in (8, 11, 16, 17)]
    trials = list(recorded_trials(make_recording(stamps, sources), 8))
    assert [trial.forecast.source_stamp_ns // PERIOD for trial in trials] == scored
    assert [trial.index for trial in trials] == list(range(len(scored)))


def test_only_the_chosen_ones():
    recording = make_recording([i * PERIOD for i in range(20)], [k * PERIOD for k in (7, 8, 9)])
    assert [trial.index for trial in recorded_trials(recording, 8, only={2})] == [2]


def test_report_of_a_demo(tmp_path):
    recording = make_recording([i * PERIOD for i in range(20)], [k * PERIOD for k in (7, 8, 9)], size=SIZE)
    results = report_demo(
        open_source("synthetic:seed=1,seconds=3"), recording, "copy_last", tmp_path, "vidpred demo"
    )
    assert results == json.loads((tmp_path / "metrics.json").read_text())
    assert (results["frames"], results["protocol"]["windows"]) == (30, 3)
    assert (results["latency_ms"]["median"], results["latency_ms"]["count"]) == (5.0, 3)
    assert results["transport"]["camera_frames_lost"] == 10
    assert results["transport"]["dropped_by_the_predictor"] == "predictor busy 3"
    page = (tmp_path / "report.html").read_text()
    assert "camera frames lost" in page
    assert "predictor busy 3" in page
    assert "The same run again" in page and "The same numbers again" not in page


def test_nothing_to_score_says_what_to_do(tmp_path):
    recording = make_recording([i * PERIOD for i in range(9)], [8 * PERIOD])
    with pytest.raises(VidpredError, match="--seconds"):
        report_demo(
            open_source("synthetic:seed=1,seconds=3"), recording, "copy_last", tmp_path, "vidpred demo"
        )
    assert not (tmp_path / "metrics.json").exists()
