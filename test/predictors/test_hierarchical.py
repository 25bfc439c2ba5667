from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.models import SIZE, make_model

from vidpred_ros.errors import ConfigError, ModelError
from vidpred_ros.predictors import Hierarchical, make_predictor
from vidpred_ros.sources.synthetic import SyntheticDrive
from vidpred_ros.window import FrameWindow, Window

PERIOD = 100_000_000


@pytest.fixture
def model(tiny_model: Path) -> Path:
    return tiny_model


def windows(count: int = 16) -> list[Window]:
    drive = SyntheticDrive(seed=3, seconds=3, rate=10, width=SIZE[1], height=SIZE[0])
    window, found = FrameWindow(0.1), []
    for frame, _ in zip(drive, range(count + 7), strict=False):
        window.add(frame.stamp_ns, frame.image)
        if window.window() is not None:
            found.append(window.window())
    return found


@pytest.mark.parametrize("engine", ["torch", "onnxruntime"])
def test_streaming_forecasts_equal_whole_window_forecasts(model: Path, engine: str) -> None:
    stream, whole = (make_predictor(str(model), engine, 2, stream=streamed) for streamed in (True, False))
    for window in windows(12):
        a, b = stream.predict(window), whole.predict(window)
        assert a.source_stamp_ns == window.stamps_ns[-1] and [h.step for h in a.horizons] == [1, 2]
        assert [h.stamp_ns - a.source_stamp_ns for h in a.horizons] == [PERIOD, 2 * PERIOD]
        for x, y in zip(a.horizons, b.horizons, strict=True):
            assert np.abs(x.frame.astype(int) - y.frame).max() <= 1


def test_skipped_windows_do_no_harm(model: Path) -> None:
    """A busy node predicts on some windows only; what it gets must be what a fresh look would give."""
    every, some = (make_predictor(str(model), "onnxruntime", 2) for _ in range(2))
    for i, window in enumerate(windows(16)):
        expected = every.predict(window)
        if i in (0, 1, 3, 4, 9, 10, 15):
            got = some.predict(window)
            assert np.abs(got.horizons[0].frame.astype(int) - expected.horizons[0].frame).max() <= 1


def test_a_reset_forgets_the_frames_before_it(model: Path) -> None:
    """After a loop of the bag, a forecast is that of a predictor which never saw what came before."""
    first, second = windows(4), windows(4)
    used = make_predictor(str(model), "onnxruntime", 2)
    for window in first:
        used.predict(window)
    fresh = make_predictor(str(model), "onnxruntime", 2)
    for window in second:
        again = Window(window.stamps_ns, window.frames, window.epoch + 1, window.sequence + 50, window.period_ns)
        assert np.array_equal(used.predict(again).horizons[0].frame, fresh.predict(window).horizons[0].frame)


def test_a_forecast_is_made_of_the_newest_frame_alone(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All else that is new, or that came before the window was full, is taken in by the shorter pass."""
    predictor = make_predictor(str(model), "onnxruntime", 2)
    assert isinstance(predictor, Hierarchical) and predictor._stream is not None
    passes: list[str] = []
    for name, method in (("push", predictor._stream.push), ("advance", predictor._stream.advance)):
        monkeypatch.setattr(predictor._stream, name, lambda inputs, name=name, method=method: passes.append(name) or method(inputs))
    seen = windows(12)
    for index, missed in ((0, 7), (1, 0), (4, 2), (11, 6)):
        passes.clear()
        predictor.predict(seen[index])
        assert passes == ["advance"] * missed + ["push"]
    passes.clear()
    again = Window(seen[0].stamps_ns[:3], seen[0].frames[:3], 1, 90, PERIOD)
    predictor.follow(again)
    assert passes == ["advance"] * 3


def test_a_window_may_be_predicted_on_twice_and_out_of_order(model: Path) -> None:
    """A report goes back to its best and worst moments."""
    predictor = make_predictor(str(model), "onnxruntime", 2)
    seen = windows(6)
    forecasts = [predictor.predict(window) for window in seen]
    for i in (5, 5, 1, 3, 0):
        got = predictor.predict(seen[i]).horizons[0].frame
        # the flow of the window's oldest frame is not known now: a few pixels may differ
        assert np.abs(got.astype(int) - forecasts[i].horizons[0].frame).mean() < 0.5


def test_forecast_frames_are_the_callers_to_keep(model: Path) -> None:
    predictor = make_predictor(str(model), "openvino", 2)
    forecasts, copies = [], []
    for window in windows(4):
        forecasts.append(predictor.predict(window))
        copies.append([h.frame.copy() for h in forecasts[-1].horizons])
    for forecast, copy in zip(forecasts, copies, strict=True):
        assert all(np.array_equal(h.frame, c) for h, c in zip(forecast.horizons, copy, strict=True))
    assert set(forecasts[0].latency_ms) == {"motion", "infer"}


def test_paper_form_recursive_without_prior(tmp_path: Path) -> None:
    folder = make_model(tmp_path, "paper", form="paper", head="pixels", motion_prior="none", sway=False, steady=False, rollout="recursive")
    predictor = make_predictor(str(folder), "onnxruntime", 2)
    reference = make_predictor(str(folder), "torch", 2)
    for window in windows(2):
        for a, b in zip(predictor.predict(window).horizons, reference.predict(window).horizons, strict=True):
            assert np.abs(a.frame.astype(int) - b.frame).max() <= 1
    with pytest.raises(ConfigError, match="cannot stream"):
        make_predictor(str(folder), "torch", 1, stream=True)


def test_wrong_names_and_steps(model: Path) -> None:
    with pytest.raises(ModelError, match="no model 'hrp_giant'"):
        make_predictor("hrp_giant")
    with pytest.raises(ConfigError, match="1 to 5 steps, not 6"):
        make_predictor(str(model), "torch", 6)
