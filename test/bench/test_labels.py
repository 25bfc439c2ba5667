"""The benchmark of label futures: every engine that can run here, and the segmenter apart."""

import pytest
from helpers.models import make_model

from vidpred_ros.bench import labels
from vidpred_ros.errors import ModelError


def test_label_futures_are_measured_and_the_segmenter_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(labels, "candidates", lambda precision: ["torch"])
    structure, segmenter = make_model(tmp_path, "tiny_s", "structure"), make_model(tmp_path, "tiny_e", "segmenter")
    results = labels.measure_structure(str(structure), str(segmenter), 2, 3, 5)
    assert [(case["engine"], case["mode"]) for case in results["cases"]] == [("torch", "whole"), ("torch", "streamed")]
    assert results["samples"] == 3 and results["left_out"] == {}
    whole, streamed = results["cases"]
    assert whole["encode_ms"]["median"] == 0 < streamed["encode_ms"]["median"], "a whole window encodes within the forecast"
    for case in results["cases"]:
        assert 0 < case["motion_ms"]["median"] and case["forecast_ms"]["median"] < case["predict_ms"]["median"]
        assert case["forecasts_per_s"] == pytest.approx(1000 / case["predict_ms"]["median"])
    assert results["segmenters"][0]["predict_ms"]["median"] > 0
    with pytest.raises(ModelError, match="predicts no label maps"):
        labels.measure_structure(str(segmenter), str(segmenter), 2, 3, 5)
