"""Behind the means: bins of motion and distributions of scores that are known."""

import pytest

from vidpred_ros.evaluation.breakdown import distribution, motion_bins
from vidpred_ros.evaluation.scores import Score


def make_scores(copied, predicted, steps=1):
    """Windows whose copied last frame, and whose prediction, have these LPIPS at every step."""
    return [
        Score(window, window, step, method, 0.5 + window / 10, 20.0, lpips, 15.0)
        for window, pair in enumerate(zip(copied, predicted, strict=True))
        for method, lpips in zip(("copy_last", "predictor"), pair, strict=True)
        for step in range(1, steps + 1)
    ]


def test_windows_are_sorted_by_motion():
    bins = motion_bins(make_scores([0.001, 0.031, 0.039], [0.01, 0.02, 0.04]))["bins"]
    assert [(one["from"], one["to"], one["windows"]) for one in bins] == [(0.0, 0.02, 1), (0.02, 0.04, 2)]
    assert bins[0]["methods"]["copy_last"] == pytest.approx({"ssim": 0.5, "lpips": 0.001})
    assert bins[1]["methods"]["predictor"] == pytest.approx({"ssim": 0.65, "lpips": 0.03})


def test_only_the_next_frame_counts():
    scores = make_scores([0.03], [0.01]) + [Score(0, 0, 2, "copy_last", 0.1, 10.0, 0.9, 1.0)]
    assert [one["windows"] for one in motion_bins(scores)["bins"]] == [1]


def test_without_lpips_there_is_no_motion():
    found = motion_bins(make_scores([None, None], [None, None]))
    assert found["bins"] is None
    assert "LPIPS" in found["bins_reason"]
    assert distribution(make_scores([None], [None]))["counts"] is None


@pytest.mark.parametrize("steps,shown", [(1, 1), (5, 5), (9, 9), (10, 9)])
def test_the_distribution_is_shown_at_step_nine_or_the_last(steps, shown):
    assert distribution(make_scores([0.2], [0.1], steps))["step"] == shown


def test_every_window_is_in_the_distribution():
    spread = distribution(make_scores([0.1, 0.2, 0.4], [0.0, 0.01, 0.4]))
    assert (spread["edges"][0], spread["edges"][-1]) == (0, 0.4)
    assert spread["counts"]["predictor"][0] == 2
    assert spread["counts"]["predictor"][-1] == spread["counts"]["copy_last"][-1] == 1
    assert sum(spread["counts"]["copy_last"]) == 3


def test_perfect_predictions_have_a_distribution_too():
    assert distribution(make_scores([0.0], [0.0]))["counts"] == {"copy_last": [1] + [0] * 19, "predictor": [1] + [0] * 19}
