"""Recordings of a graph that never ran."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vidpred_ros.evaluation.recording import Recording

PERIOD = 100_000_000  # ns


def make_recording(
    stamps: Sequence[int], sources: Sequence[int], steps: int = 2, size: tuple[int, int] = (8, 8)
) -> Recording:
    """Camera frame of stamp t is the grey level t / period; step k of a forecast is 100 + k."""
    camera = [np.full((*size, 3), round(stamp / PERIOD), np.uint8) for stamp in stamps]
    forecast = np.stack([np.full((*size, 3), 100 + k, np.uint8) for k in range(1, steps + 1)])
    summary = {
        "model": "copy_last",
        "engine": "none",
        "camera": {"sent": 30, "received": len(stamps), "lost": 30 - len(stamps)},
        "forecasts": {"announced": len(sources), "complete": len(sources)},
        "latency_ms": {"total": {"median": 5.0, "p99": 9.0}, "receive": {"median": 1.0, "p99": 2.0}},
        "latency_ms_each": {"total": [5.0] * len(sources)},
        "diagnostics": {"dropped/predictor busy": "3", "dropped/between": "0", "kept": "20"},
    }
    return Recording(
        np.array(stamps, np.int64),
        np.stack(camera),
        np.array(sources, np.int64),
        np.full(len(sources), PERIOD, np.int64),
        np.stack([forecast] * len(sources)),
        summary,
    )
