"""metrics.json and the report with label futures in them."""

import json

import pytest
from helpers.labels import ColourSegmenter, Guesser, write_label_drive

from vidpred_ros.evaluation.label_results import evaluate_structure
from vidpred_ros.evaluation.label_trials import StructureLane
from vidpred_ros.evaluation.run import evaluate
from vidpred_ros.evaluation.scores import METRICS
from vidpred_ros.evaluation.trials import NoWindowError
from vidpred_ros.predictors import make_predictor
from vidpred_ros.sources import open_source

LABEL_METRICS = ("miou", "miou_moving")


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    return open_source(str(write_label_drive(tmp_path_factory.mktemp("drive") / "street")))


def lane(**settings):
    return StructureLane(Guesser(**settings), ColourSegmenter(8))


def test_label_scores_stand_beside_those_of_frames(drive, tmp_path):
    predictor = make_predictor("optical_flow", steps=3, size=(64, 128))
    plain = evaluate(drive, predictor, tmp_path / "plain", "x")
    results = evaluate(drive, predictor, tmp_path / "both", "x", lane=lane())
    assert json.loads((tmp_path / "both" / "metrics.json").read_text()) == results
    assert results["protocol"]["labels"] == "the source's own labels (shipped with the data)"
    assert results["structure"]["model"] == "guesser"
    assert results["protocol"]["windows"] == 4 and results["structure"]["windows"] == 8
    for horizon, alone in zip(results["horizons"], plain["horizons"], strict=True):
        assert horizon["windows_labelled"] == 8
        for name in ("predictor", "copy_last", "optical_flow"):
            method = horizon["methods"][name]
            assert {m: method[m] for m in METRICS} == {m: alone["methods"][name][m] for m in METRICS}
            assert all(0 < method[m] < 1 for m in LABEL_METRICS)
        segmenter = horizon["methods"]["segmenter"]
        assert segmenter["ssim"] is None and "label maps only" in segmenter["ssim_reason"]
        assert segmenter["miou"] > horizon["methods"]["copy_last"]["miou"]
    page = (tmp_path / "both" / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 6  # three strips of frames, three of label maps
    assert page.count("<svg") == 8
    assert "Class by class" in page and "segmenter</th>" in page
    assert "Class by class" not in (tmp_path / "plain" / "report.html").read_text()


def test_a_method_without_label_maps_says_so(drive, tmp_path):
    predictor = make_predictor("copy_last", steps=3, size=(64, 128))
    results = evaluate(drive, predictor, tmp_path, "x", lane=lane(steps=2))
    last = results["horizons"][2]["methods"]["predictor"]
    assert (last["miou"], last["miou_reason"]) == (None, "no label map of this step was scored")


def test_a_source_that_is_too_short_for_frames_alone(tmp_path):
    short = open_source(str(write_label_drive(tmp_path / "short", 9)))
    predictor = make_predictor("copy_last", steps=3, size=(64, 128))
    results = evaluate(short, predictor, tmp_path / "out", "x", lane=lane())
    ours = results["horizons"][0]["methods"]["predictor"]
    assert ours["miou"] > 0 and ours["ssim"] is None and "no run of 11 frames" in ours["ssim_reason"]
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == results
    with pytest.raises(NoWindowError):
        evaluate(short, predictor, tmp_path / "none", "x")


def test_a_structure_model_alone(drive, tmp_path):
    alone = lane()
    alone.predictor.frames_seen = 8
    results = evaluate_structure(drive, alone, tmp_path, "vidpred evaluate street --model guesser")
    assert json.loads((tmp_path / "metrics.json").read_text()) == results
    assert (results["model"], results["weights_sha256"]) == ("guesser", "0" * 64)
    assert results["protocol"]["windows"] == 8
    for horizon in results["horizons"]:
        ours = horizon["methods"]["predictor"]
        assert 0 < ours["miou"] < 1
        assert ours["ssim"] is None and ours["ssim_reason"] == "guesser predicts label maps, no frames"
    assert results["latency_ms"]["median"] > 0
    page = (tmp_path / "report.html").read_text()
    assert "vidpred evaluate street --model guesser" in page and page.count("<svg") == 2
    assert "from 4 frames (its motion prior from 8), 0.1 s apart" in page and "4 frames in (8 for the motion prior), 3 out" in page


def test_moving_classes_may_be_absent(tmp_path):
    folder = write_label_drive(tmp_path / "street")
    import cv2
    import numpy as np

    for file in (folder / "labels").glob("*.png"):
        labels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(file), np.where(labels >= 11, 0, labels))
    results = evaluate_structure(open_source(str(folder)), lane(), tmp_path / "out", "x")
    ours = results["horizons"][0]["methods"]["predictor"]
    assert ours["miou_moving"] is None and "no class that moves" in ours["miou_moving_reason"]
    assert "mIoU of what moves is missing: no class that moves" in (tmp_path / "out" / "report.html").read_text()
