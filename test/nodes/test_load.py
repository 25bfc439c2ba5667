import numpy as np
import pytest

from vidpred_ros.evaluation.recording import Recording
from vidpred_ros.nodes.load import count_windows, load_figures


@pytest.mark.parametrize(("rate", "kept_of_60"), [(10, 60), (30, 20), (60, 10)])
def test_windows_of_a_camera_that_loses_nothing(rate: int, kept_of_60: int) -> None:
    stamps = [round(i * 1e9 / rate) for i in range(60)]
    assert count_windows(stamps, 0.1, 8) == kept_of_60 - 7
    assert count_windows(stamps[:5], 0.1, 8) == 0


def test_a_window_that_was_neither_predicted_nor_skipped_is_lost() -> None:
    stamps = [i * 100_000_000 for i in range(20)]
    report = {
        "period_s": "0.100",
        "window": "8 of 8",
        "received": "19",
        "missed": "1",
        "dropped/predictor busy": "2",
        "reset/gap": "1",
    }
    summary = {
        "diagnostics": report,
        "sent_stamps_ns": stamps,
        "info_stamps_ns": stamps[10:],
        "latency_ms": {"total": {"median": 1.0, "p99": 2.0}},
        "resident_mb": {"now": 90.0, "peak": 99.0},
        "cpu_percent": 12.0,
        "model": "copy_last",
        "engine": "none",
        "steps": 1,
    }
    none = np.zeros(0, np.int64)
    figures = load_figures(Recording(none, none, none, none, none, summary), (720, 1280), 10.0)
    assert figures["windows"] == {"expected": 13, "predicted": 10, "skipped_busy": 2, "lost": 1}
    assert figures["camera"] == {"size": [720, 1280], "rate_hz": 10.0, "sent": 20, "sent_rate_hz": 10.0}
    assert (figures["received"], figures["missed"], figures["resets"]) == (19, 1, {"gap": 1})
    assert figures["rate_out_hz"] == 10.0
