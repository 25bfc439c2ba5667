"""The two baselines: copy-last repeats, optical flow carries on a known motion."""

import cv2
import numpy as np
import pytest

from vidpred_ros.errors import ConfigError
from vidpred_ros.predictors import make_predictor
from vidpred_ros.window import Window

SIZE, PERIOD_NS, STAMP = (128, 160), 100_000_000, 1_700_000_000_000_000_000
INNER = np.s_[24:-24, 24:-24]  # away from the border, where something new comes in


def texture(shift_x=0, shift_y=0, seed=0):
    """A window on a large smooth texture, moved by whole pixels; RGB."""
    large = np.random.default_rng(seed).uniform(0, 255, (300, 300, 3))
    large = cv2.GaussianBlur(large, (0, 0), 3)
    large = cv2.normalize(large, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    return np.ascontiguousarray(large[70 - shift_y : 198 - shift_y, 70 - shift_x : 230 - shift_x])


def window(frames):
    stamps = tuple(STAMP + (i - 7) * PERIOD_NS for i in range(8))
    return Window(stamps, tuple(frames), epoch=0, sequence=8, period_ns=PERIOD_NS)


def mean_error(a, b):
    return np.abs(a[INNER].astype(float) - b[INNER]).mean()


def test_copy_last_repeats_the_newest_frame():
    frames = [texture(i) for i in range(8)]
    predictor = make_predictor("copy_last", steps=4, size=SIZE)
    forecast = predictor.predict(window(frames))
    assert forecast.model_id == "copy_last" and forecast.source_stamp_ns == STAMP
    assert [h.stamp_ns for h in forecast.horizons] == [STAMP + k * PERIOD_NS for k in range(1, 5)]
    for horizon in forecast.horizons:
        np.testing.assert_array_equal(horizon.frame, frames[-1])
    predictor.close()


@pytest.mark.parametrize("motion", [(3, 0), (-2, 0), (0, 3), (2, -2)])
def test_optical_flow_carries_on_a_steady_motion(motion):
    dx, dy = motion
    frames = [texture(i * dx, i * dy) for i in range(-7, 1)]
    predictor = make_predictor("optical_flow", steps=3, size=SIZE)
    forecast = predictor.predict(window(frames))
    for horizon in forecast.horizons:
        k = horizon.step
        truth = texture(k * dx, k * dy)
        assert horizon.stamp_ns == STAMP + k * PERIOD_NS
        assert horizon.frame.shape == (*SIZE, 3) and horizon.frame.dtype == np.uint8
        assert mean_error(horizon.frame, truth) < 0.15 * mean_error(frames[-1], truth)
        assert mean_error(horizon.frame, texture(-k * dx, -k * dy)) > mean_error(frames[-1], truth)  # not backwards
    assert set(forecast.latency_ms) == {"motion", "infer"}
    predictor.close()


def test_optical_flow_leaves_a_still_scene_as_it_is():
    still = texture()
    forecast = make_predictor("optical_flow", steps=5, size=SIZE).predict(window([still] * 8))
    for horizon in forecast.horizons:
        assert np.abs(horizon.frame.astype(int) - still).max() <= 2


def test_optical_flow_uses_only_the_last_two_frames():
    frames = [texture(i * 2) for i in range(-7, 1)]
    other = [texture(seed=9)] * 6 + frames[-2:]
    predictor = make_predictor("optical_flow", steps=2, size=SIZE)
    first, second = predictor.predict(window(frames)), predictor.predict(window(other))
    for a, b in zip(first.horizons, second.horizons, strict=True):
        np.testing.assert_array_equal(a.frame, b.frame)


@pytest.mark.parametrize("name", ["copy_last", "optical_flow"])
def test_a_baseline_takes_the_size_and_period_of_the_model_it_is_compared_with(name):
    predictor = make_predictor(name, steps=3, size=(64, 96), period_s=0.2)
    assert (predictor.size, predictor.period_s, predictor.steps) == ((64, 96), 0.2, 3)
    assert predictor.engine == "none" and predictor.window_length == 8
    frames = [np.random.default_rng(i).integers(0, 256, (64, 96, 3), dtype=np.uint8) for i in range(8)]
    forecast = predictor.predict(window(frames))
    assert len(forecast.horizons) == 3 and forecast.horizons[0].frame.shape == (64, 96, 3)
    with pytest.raises(ConfigError, match="1 step or more, not 0"):
        make_predictor(name, steps=0)
