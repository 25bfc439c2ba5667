"""The benchmark: every engine that can run here, on the same windows, and figures that follow from what was measured."""

import pytest
from helpers.models import make_model

from vidpred_ros.bench import engines
from vidpred_ros.bench.interleave import WARM_UP
from vidpred_ros.engines import choice, installed_engines
from vidpred_ros.errors import ModelError


def test_every_engine_is_measured_whole_and_streamed(tiny_model):
    seen = []
    results = engines.measure_engines(str(tiny_model), 2, 5, lambda done, total: seen.append((done, total)))
    cases = {(case["engine"], case["mode"]): case for case in results["cases"]}
    assert set(cases) == {(engine, mode) for engine in installed_engines() for mode in ("whole", "streamed")}
    assert results["left_out"] == {}
    for case in cases.values():
        assert 0 < case["infer_ms"]["median"] <= case["predict_ms"]["median"] <= case["predict_ms"]["p99"]
    reference = cases["torch", "whole"]["predict_ms"]["median"]
    assert cases["torch", "whole"]["times_as_fast_as_torch_whole"] == 1
    streamed = cases["torch", "streamed"]
    assert streamed["times_as_fast_as_torch_whole"] == pytest.approx(
        reference / streamed["predict_ms"]["median"]
    )
    assert seen[-1] == (WARM_UP + 5, WARM_UP + 5)


def test_a_model_that_cannot_stream_is_measured_whole(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDPRED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(engines, "candidates", lambda precision: ["torch"])
    model = make_model(tmp_path, form="paper")
    results = engines.measure_engines(str(model), 1, 5)
    assert [(case["engine"], case["mode"]) for case in results["cases"]] == [("torch", "whole")]
    assert "cannot stream" in results["left_out"]["torch streamed"]


def test_those_of_a_gpu_are_among_them(tiny_model, monkeypatch):
    """Here one whose library breaks down."""
    monkeypatch.setattr(choice, "obstacles", lambda: {"tensorrt": "", "torch": ""})
    monkeypatch.setattr("vidpred_ros.engines.find_gpu", lambda: 1 / 0)
    results = engines.measure_engines(str(tiny_model), 1, 5)
    assert {case["engine"] for case in results["cases"]} == {"torch"}
    assert results["left_out"] == {f"tensorrt {mode}": "ZeroDivisionError: division by zero" for mode in ("whole", "streamed")}


def test_unknown_model():
    with pytest.raises(ModelError, match="nothing_like_it"):
        engines.measure_engines("nothing_like_it", 1, 5)
