"""Numbering and stamping of the predicted frames."""

import numpy as np

from vidpred_ros.forecast import Forecast, horizons_from_frames


def test_step_k_lies_k_periods_after_the_source():
    frames = np.arange(3 * 4 * 5 * 3, dtype=np.uint8).reshape(3, 4, 5, 3)
    horizons = horizons_from_frames(frames, source_stamp_ns=1_000, period_ns=100)
    assert [(h.step, h.stamp_ns) for h in horizons] == [(1, 1_100), (2, 1_200), (3, 1_300)]
    for horizon, frame in zip(horizons, frames, strict=True):
        np.testing.assert_array_equal(horizon.frame, frame)
        assert horizon.labels is None and horizon.entropy is None and horizon.confidence is None


def test_stamps_of_today_stay_exact():
    now, period = 1_790_000_000_123_456_789, 33_333_333
    horizons = horizons_from_frames(np.zeros((8, 2, 2, 3), np.uint8), now, period)
    assert [h.stamp_ns for h in horizons] == [now + k * period for k in range(1, 9)]


def test_a_forecast_without_latency_has_none():
    assert Forecast("copy_last", 0, 1, ()).latency_ms == {}
