"""What the report says in words: headline figures, few windows, a live run that does not keep up."""

import numpy as np

from vidpred_ros.evaluation.labels_report import label_cell, won
from vidpred_ros.evaluation.pages import headline, moments, score_block
from vidpred_ros.evaluation.report import slower_than_the_camera
from vidpred_ros.evaluation.scores import best_method

NAMES = {"predictor": "mine", "best_of_4": "best of 4", "copy_last": "copy last", "optical_flow": "optical flow"}


def horizon(seconds, *values):
    methods = {name: {"psnr": value, "psnr_reason": "of a reason"} for name, value in zip(NAMES, values, strict=True)}
    return {"seconds": seconds, "methods": methods}


def test_the_headline_names_the_figure_the_baselines_and_where_it_wins():
    horizons = [horizon(0.1, 28.26, 40, 20, 26), horizon(0.2, 20, 40, 19, 21)]
    figure, text = headline(horizons, "psnr", "PSNR, dB", 1, NAMES, best_method)
    assert (figure, text) == ("28.3 dB", "PSNR at +0.1 s (copy last 20.0, optical flow 26.0), best at +0.1 s")
    assert headline(horizons[:1], "psnr", "PSNR, dB", 1, NAMES, best_method)[1].endswith("best at every horizon")
    assert headline(horizons[1:], "psnr", "PSNR, dB", 1, NAMES, best_method)[1].endswith("best at no horizon")
    assert headline([horizon(0.1, None, 1, 1, 1)], "psnr", "PSNR, dB", 1, NAMES, best_method) == ("n/a", "PSNR: not computed")


def test_a_block_marks_who_wins_and_says_what_is_missing():
    horizons = [horizon(0.1, 28, 40, 20, 26), horizon(0.2, None, None, 19, 21)]
    block = score_block(horizons, "psnr", "PSNR, dB", NAMES, best_method, lambda h, method: str(h["methods"][method]["psnr"]), curve=False)
    assert block["rows"][0] == ("+0.1 s", [("28", True, True), ("40", False, False), ("20", False, False), ("26", False, False)])
    assert [wins for _, _, wins in block["rows"][1][1]] == [False, False, False, True]
    assert block["missing"] == "PSNR, dB is missing at +0.2 s: of a reason" and block["curve"] is None


def test_few_windows_have_no_spread_and_no_shares():
    scores = {"miou": 0.4, "spread": {"miou": 0.05}}
    many = {"seconds": 0.1, "windows_labelled": 10, "methods": {"predictor": scores}, "windows_won": {"miou": {"copy_last": 0.9}}}
    few = many | {"windows_labelled": 9}
    assert (label_cell("miou", many, "predictor"), label_cell("miou", few, "predictor")) == ("0.400 ± 0.050", "0.400")
    assert won([few, many], NAMES) == ["At +0.1 s mine is better than copy last in 90 % of the windows."]
    strips = dict.fromkeys(("good", "median", "worst"), np.zeros((8, 8, 3), np.uint8))
    assert "One window in ten" in moments(strips, 10)[1]["meaning"]
    assert [moment["meaning"] for moment in moments(strips, 3)][:2] == ["The middle one of only 3", "Among the better of only 3"]
    assert len(moments({"median": strips["median"]}, 3)) == 1


def test_a_live_run_that_does_not_keep_up_says_so():
    live = {"transport": {"windows_skipped": 148}, "protocol": {"period_s": 0.1}}
    live["latency_ms"] = {"median": 427.3, "stages": {"predict": {"median": 346.3}}}
    assert slower_than_the_camera(live).endswith("slower than real time: a forecast takes 346 ms, and one is due every 100 ms")
    live["latency_ms"]["stages"] = {"predict": {"median": 60.0}}
    assert "slower" not in slower_than_the_camera(live) and "still busy" in slower_than_the_camera(live)
    live["transport"]["windows_skipped"] = 0
    assert slower_than_the_camera(live) == slower_than_the_camera({}) == ""
