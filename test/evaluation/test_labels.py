"""The structure lane of an evaluation: which windows there are, what is compared with what, and what comes of it."""

import csv
import json

import cv2
import numpy as np
import pytest
from helpers.labels import LABEL_SIZE, ColourSegmenter, Guesser, label_scene, write_label_drive

from vidpred_ros.errors import ConfigError, SourceError
from vidpred_ros.evaluation.filmstrip import GAP, HEADER, LABEL_WIDTH, enlarge, thumbnail
from vidpred_ros.evaluation.label_filmstrip import ENTROPY_END, draw_label_strip, entropy_map
from vidpred_ros.evaluation.label_run import evaluate_labels
from vidpred_ros.evaluation.label_scores import best_label_method, label_methods, measure_labels
from vidpred_ros.evaluation.label_trials import StructureLane, label_replay, truth_of
from vidpred_ros.evaluation.trials import NoWindowError
from vidpred_ros.forecast import Forecast, Horizon
from vidpred_ros.metrics.segmentation import ConfusionMatrix
from vidpred_ros.preprocess import crop_and_resize_labels
from vidpred_ros.semantics import colorize
from vidpred_ros.sources import open_source


def lane(**settings):
    wrong, context, best_of = (settings.pop(key, default) for key, default in (("wrong", 8), ("context", "segmenter"), ("best_of", 0)))
    return StructureLane(Guesser(**settings), ColourSegmenter(wrong), context, best_of)


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    return open_source(str(write_label_drive(tmp_path_factory.mktemp("drive") / "street")))


def truth_map(i):
    return crop_and_resize_labels(label_scene(i), LABEL_SIZE)


def test_trials_have_the_labels_of_their_frames(drive):
    mine = lane()
    trials = list(label_replay(drive, mine, "source"))
    assert [trial.index for trial in trials] == list(range(14 - 4 - 3 + 1))
    assert mine.segmenter.count == 14  # each frame once
    for trial in trials:
        for k in range(3):
            np.testing.assert_array_equal(trial.truth[k], truth_map(trial.index + 4 + k))
        for i, labels in enumerate(trial.labels):
            clean = truth_map(trial.index + i)
            clean[:, ::4] = 0  # the segmenter's fault
            np.testing.assert_array_equal(labels, clean)
        assert trial.forecast.source_stamp_ns == trial.window.stamps_ns[-1]


def test_the_predictor_may_see_the_sources_labels(drive):
    mine = lane(context="source")
    first = next(label_replay(drive, mine, "source"))
    np.testing.assert_array_equal(first.labels[3], truth_map(3))
    np.testing.assert_array_equal(mine.predictor.seen[0][3], truth_map(3))


def test_a_faster_camera_is_replayed_at_every_phase(tmp_path):
    drive = open_source(str(write_label_drive(tmp_path / "fast", frames=16, fps=20)))
    mine = lane(steps=2)
    trials = list(label_replay(drive, mine, "source"))
    assert [trial.phase for trial in trials] == [0] * 3 + [1] * 3
    assert mine.segmenter.count == 16
    stamps = [round(s / 5e7) for s in trials[3].window.stamps_ns]
    assert stamps == [1, 3, 5, 7]
    np.testing.assert_array_equal(trials[3].truth[0], truth_map(9))


class Rememberer(Guesser):
    """Says how many windows it has seen in a row, up to eight."""

    def __init__(self):
        super().__init__(steps=1)
        self.sequence, self.row = -9, 0

    def predict(self, window, labels=None):
        self.row = min(8, self.row + 1) if window.sequence == self.sequence + 1 else 1
        self.sequence = window.sequence
        horizon = Horizon(1, 0, labels=np.full(LABEL_SIZE, self.row, np.uint8))
        return Forecast(self.model_id, window.stamps_ns[-1], window.period_ns, (horizon,))


def test_moments_to_show_are_predicted_as_they_were_scored(tmp_path):
    drive = open_source(str(write_label_drive(tmp_path / "long", 40, fps=20)))
    every, few = (StructureLane(Rememberer(), ColourSegmenter()) for _ in range(2))
    first = {trial.index: trial.predicted[0, 0, 0] for trial in label_replay(drive, every, "source")}
    assert list(first.values()) == [1, 2, 3, 4, 5, 6, 7, *[8] * 9] * 2
    wanted = frozenset({2, 13, 14, 17, 31})
    again = {trial.index: trial.predicted[0, 0, 0] for trial in label_replay(drive, few, "source", only=wanted)}
    assert again == {index: first[index] for index in sorted(wanted)}


def test_scores_are_those_of_a_loop_over_windows(drive):
    mine = lane()
    measured = measure_labels(label_replay(drive, mine, "source"), label_methods(mine))
    for step in (1, 3):
        copied, segmenter = ConfusionMatrix(), ConfusionMatrix()
        for now in range(3, 14 - 3):
            segmented = truth_map(now)
            segmented[:, ::4] = 0
            copied.update(truth_map(now + step), segmented)
            after = truth_map(now + step)
            clean = after.copy()
            after[:, ::4] = 0
            segmenter.update(clean, after)
        np.testing.assert_array_equal(measured.matrices[step, "copy_last"].counts, copied.counts)
        np.testing.assert_array_equal(measured.matrices[step, "segmenter"].counts, segmenter.counts)
    assert measured.windows == 8


@pytest.fixture(scope="module")
def evaluated(drive, tmp_path_factory):
    out = tmp_path_factory.mktemp("labels") / "new"
    return out, evaluate_labels(drive, lane(best_of=4, truth=True), out)


def test_every_method_has_every_number(evaluated):
    results = evaluated[1]
    assert [(h["step"], h["seconds"], h["windows_labelled"]) for h in results.horizons] == [(1, 0.1, 8), (2, 0.2, 8), (3, 0.3, 8)]
    for horizon in results.horizons:
        methods = horizon["methods"]
        assert list(methods) == ["predictor", "best_of_4", "copy_last", "optical_flow", "segmenter"]
        for method in methods.values():
            assert 0 < method["miou"] <= 1
            assert method["spread"]["miou"] >= 0
            assert method["kept"]["miou"] == pytest.approx(100 * method["miou"] / methods["segmenter"]["miou"])
            assert np.mean(list(method["iou"].values())) == pytest.approx(method["miou"])
            moving = np.mean([method["iou"][name] for name in ("car", "person") if name in method["iou"]])
            assert moving == pytest.approx(method["miou_moving"])
        assert methods["best_of_4"]["miou"] == 1  # one of its futures is what happens
        assert methods["optical_flow"]["miou"] == methods["predictor"]["miou"] > methods["copy_last"]["miou"]
        assert best_label_method(methods, "miou") == "optical_flow"  # a tie is no win, the segmenter and the best of 4 do not count
    assert results.about["against"] == "the source's own labels (shipped with the data)"
    json.dumps(results.about | {"horizons": results.horizons}, allow_nan=False)


def test_windows_won_are_counted_one_by_one(evaluated):
    with (evaluated[0] / "label_scores.csv").open() as file:
        rows = {(r["window"], r["step"], r["method"]): r for r in csv.DictReader(file)}
    for horizon in evaluated[1].horizons:
        step, wins = str(horizon["step"]), []
        for window in range(8):
            ours, copied = (float(rows[str(window), step, m]["miou"]) for m in ("predictor", "copy_last"))
            wins.append(1 if ours > copied else 0.5 if ours == copied else 0)
        assert horizon["windows_won"]["miou"]["copy_last"] == np.mean(wins)
        assert horizon["windows_won"]["miou"]["optical_flow"] == 0.5  # the same maps


def test_files_are_written(evaluated):
    out, results = evaluated
    with (out / "label_scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8 * 3 * 5
    ours = [float(row["miou"]) for row in rows if (row["step"], row["method"]) == ("1", "predictor")]
    assert results.horizons[0]["methods"]["predictor"]["spread"]["miou"] == pytest.approx(np.std(ours, ddof=1))
    strip = cv2.imread(str(out / "labels.png"))
    assert strip.shape[0] > 7 * 5 * LABEL_SIZE[0]  # seven rows, enlarged five times
    assert (out / "labels.mp4").stat().st_size > 1000


def test_without_labels_the_segmenter_is_the_truth(tmp_path):
    drive = open_source(str(write_label_drive(tmp_path / "bare", labelled=())))
    assert truth_of(drive) == "segmenter"
    results = evaluate_labels(drive, lane(), tmp_path / "out")
    assert results.about["against"] == "the segmenter's own label maps"
    assert results.horizons[0]["methods"]["segmenter"]["miou"] == 1
    with pytest.raises(ConfigError, match="no label map of its own"):
        evaluate_labels(drive, lane(context="source"), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_one_labelled_frame_is_scored_from_each_distance(tmp_path):
    drive = open_source(str(write_label_drive(tmp_path / "one", labelled=(8,))))
    mine = lane()
    measured = measure_labels(label_replay(drive, mine, "source"), label_methods(mine))
    assert [(s.window, s.step) for s in measured.scores if s.method == "predictor"] == [(2, 3), (3, 2), (4, 1)]
    assert len(mine.predictor.seen) == 8  # the other windows are predicted too: a predictor may remember them


def test_a_label_where_nothing_is_predicted(tmp_path):
    drive = open_source(str(write_label_drive(tmp_path / "early", labelled=(1,))))
    with pytest.raises(SourceError, match="no frame that is predicted has a label map"):
        evaluate_labels(drive, lane(), tmp_path / "out")
    with pytest.raises(NoWindowError):
        evaluate_labels(open_source(str(write_label_drive(tmp_path / "short", frames=6))), lane(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_strip_has_what_the_predictor_starts_from_beside_what_it_predicts(drive):
    trial = next(label_replay(drive, lane(), "source"))
    strip = draw_label_strip(trial, {"predictor": trial.predicted}, [], "mine")
    height, width = enlarge(colorize(trial.labels[-1])).shape[:2]
    row = HEADER + height + GAP  # of the truth; the one of the forecast is as much further down
    for top, maps in ((row, trial.truth), (row + height + GAP, trial.predicted)):
        for k, labels in enumerate(maps):
            left = LABEL_WIDTH + k * (width + GAP)
            np.testing.assert_array_equal(strip[top : top + height, left : left + width], enlarge(colorize(labels)))
    context = thumbnail(colorize(trial.labels[-1]))
    known = strip[row + height + GAP :, GAP : GAP + context.shape[1]]
    assert any((known[y : y + len(context)] == context).all() for y in range(len(known) - len(context)))


def test_uncertainty_gets_lighter_evenly():
    ramp = np.linspace(0, ENTROPY_END, 64, dtype=np.float32)[None]
    lightness = cv2.cvtColor(entropy_map(ramp), cv2.COLOR_RGB2LAB)[0, :, 0].astype(float)
    assert (np.diff(lightness) >= -1).all() and lightness[-1] - lightness[0] > 150
    np.testing.assert_array_equal(entropy_map(np.full((1, 1), 9, np.float32)), entropy_map(np.full((1, 1), 1.5, np.float32)))
