"""Means, winners and chosen moments from scores that are known."""

import csv
from dataclasses import replace

import pytest

from vidpred_ros.evaluation.scores import Score, best_method, horizons, pick_moments, write_csv


def make_scores(lpips_by_window, steps=2):
    return [
        Score(window, window * 10, step, method, 0.5, 20.0 + step, None if lpips is None else lpips * step, 15.0)
        for window, lpips in enumerate(lpips_by_window)
        for method in ("predictor", "copy_last", "optical_flow")
        for step in range(1, steps + 1)
    ]


def test_means_by_step_and_method():
    table = horizons(make_scores([0.1, 0.3]), 0.12, {})
    assert [(row["step"], row["seconds"]) for row in table] == [(1, 0.12), (2, 0.24)]
    means = table[1]["methods"]["predictor"]
    assert [means[metric] for metric in ("ssim", "psnr", "lpips", "sharpness")] == pytest.approx([0.5, 22.0, 0.4, 15.0])


def test_moving_areas_are_averaged_over_the_windows_in_which_something_moves():
    moving = replace(make_scores([0.1], 1)[0], ssim_moving=0.8, psnr_moving=30.0, sharpness_moving=20.0)
    still = replace(make_scores([0.1], 1)[0], window=1)
    row = horizons([moving, still], 0.1, {})[0]
    assert row["windows_moving"] == 1
    assert row["methods"]["predictor"]["psnr_moving"] == 30
    row = horizons([still], 0.1, {})[0]
    assert row["windows_moving"] == 0
    assert row["methods"]["predictor"]["psnr_moving"] is None
    assert "no pixel" in row["methods"]["predictor"]["psnr_moving_reason"]


def test_a_metric_that_could_not_be_computed_is_null_with_a_reason():
    methods = horizons(make_scores([None]), 0.1, {"lpips": "no weights"})[0]["methods"]
    assert (methods["copy_last"]["lpips"], methods["copy_last"]["lpips_reason"]) == (None, "no weights")
    assert (methods["copy_last"]["ssim"], methods["copy_last"]["psnr"]) == (0.5, 21.0)
    assert best_method(methods, "lpips") is None


@pytest.mark.parametrize(
    "metric,values,winner",
    [
        ("ssim", (0.7, 0.5, 0.6), "predictor"),
        ("ssim", (0.5, 0.7, 0.6), "copy_last"),
        ("lpips", (0.1, 0.2, 0.3), "predictor"),
        ("lpips", (0.3, 0.2, 0.1), "optical_flow"),
        ("lpips", (0.2, 0.2, 0.3), "copy_last"),  # a tie is not a win
    ],
)
def test_best_method(metric, values, winner):
    methods = dict(
        zip(("predictor", "copy_last", "optical_flow"), ({metric: v} for v in values), strict=True)
    )
    assert best_method(methods, metric) == winner


def test_what_was_picked_by_the_truth_wins_nothing():
    methods = {"predictor": {"ssim": 0.6}, "best_of_20": {"ssim": 0.9}, "copy_last": {"ssim": 0.5}}
    assert best_method(methods, "ssim") == "predictor"


def test_moments_are_ranked_by_the_error_of_the_predictor():
    errors = [0.5, 0.1, 0.9, 0.2, 0.3, 0.8, 0.4, 0.7, 0.6, 0.15, 0.05]
    assert pick_moments(make_scores(errors)) == {"good": 1, "median": 6, "worst": 2}


def test_one_window_is_good_median_and_worst():
    assert pick_moments(make_scores([None])) == {"good": 0, "median": 0, "worst": 0}


def test_csv_holds_every_score(tmp_path):
    scores = make_scores([0.1, 0.2])
    write_csv(scores, tmp_path / "scores.csv")
    rows = list(csv.DictReader((tmp_path / "scores.csv").open()))
    assert len(rows) == len(scores)
    assert rows[0] == {
        "window": "0",
        "stamp_ns": "0",
        "step": "1",
        "method": "predictor",
        "ssim": "0.5",
        "psnr": "21.0",
        "lpips": "0.1",
        "sharpness": "15.0",
        "ssim_moving": "",
        "psnr_moving": "",
        "sharpness_moving": "",
    }
