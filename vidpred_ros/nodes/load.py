"""The predictor under the load of a real camera, in figures: for `vidpred bench`."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vidpred_ros.errors import VidpredError
from vidpred_ros.evaluation.recording import Recording
from vidpred_ros.nodes.demo import Progress, record_run
from vidpred_ros.window import FrameWindow


def record_load(
    size: tuple[int, int],
    rate: float,
    seconds: float,
    model: str,
    engine: str | None,
    steps: int,
    progress: Progress = lambda done, total: None,
    cameras: int = 1,
) -> Recording:
    """A raw camera of ``size`` (height, width) at ``rate`` Hz into the predictor for ``seconds``, without pictures.

    A short synthetic drive is repeated from memory, so that rendering it costs next to nothing. With ``cameras`` above 1 that
    many of them, on one engine. Raises VidpredError when a node cannot start or dies.
    """
    height, width = size
    camera = {
        "source": f"synthetic:seed=1,seconds=2,rate={rate:g}",
        "rate": float(rate),
        "size": f"{width}x{height}",
        "duration": float(seconds),
    }
    with tempfile.TemporaryDirectory(prefix="vidpred_load_") as folder:
        names = [f"camera_{number}" for number in range(1, cameras + 1)] if cameras > 1 else []
        return record_run(camera, model, engine, steps, seconds, Path(folder), progress, size=None, cameras=names)


def load_figures(recording: Recording, size: tuple[int, int], rate: float) -> dict[str, Any]:
    """The figures of a recording:

      camera: {size, rate_hz, sent, sent_rate_hz}, received, missed (frames that the predictor never saw),
      windows: {expected, predicted, skipped_busy, lost}, rate_out_hz, resets: {reason: count},
      latency_ms: {stage: {median, p99}} (stage "overhead": all but the predictor's own stages), resident_mb: {now, peak},
      cpu_percent of one core used by the predictor, model, engine, steps.
    With several cameras all but resident_mb, cpu_percent and steps is in cameras: {name: figures}. Raises VidpredError if
    nothing was predicted.
    """
    summary = recording.summary
    shared = {name: summary[name] for name in ("resident_mb", "cpu_percent", "steps")}
    if "cameras" not in summary:
        return _camera_figures(summary, size, rate) | shared
    return {"cameras": {name: _camera_figures(one, size, rate) for name, one in summary["cameras"].items()}, **shared}


def _camera_figures(summary: Mapping[str, Any], size: tuple[int, int], rate: float) -> dict[str, Any]:
    report = summary["diagnostics"]
    sent, predicted = summary["sent_stamps_ns"], summary["info_stamps_ns"]
    if not predicted:
        raise VidpredError(f"no forecast arrived; the predictor says: {report.get('message', 'nothing')}")
    busy = int(report.get("dropped/predictor busy", 0))
    expected = count_windows(sent, float(report["period_s"]), int(report["window"].split()[-1]))
    return {
        "camera": {"size": list(size), "rate_hz": rate, "sent": len(sent), "sent_rate_hz": _rate(sent)},
        "received": int(report["received"]),
        "missed": int(report["missed"]),
        "windows": {
            "expected": expected,
            "predicted": len(predicted),
            "skipped_busy": busy,
            "lost": expected - len(predicted) - busy,
        },
        "rate_out_hz": _rate(predicted),
        "resets": {key.split("/")[1]: int(text) for key, text in report.items() if key.startswith("reset/")},
        "latency_ms": summary["latency_ms"],
        "model": summary["model"],
        "engine": summary["engine"],
    }


def count_windows(stamps_ns: Sequence[int], period_s: float, length: int) -> int:
    """Full windows that a receiver gets which loses nothing."""
    window = FrameWindow(period_s, length)
    black = np.zeros((1, 1, 3), np.uint8)
    count = 0
    for stamp in stamps_ns:
        if window.add(stamp, black).take and window.full:
            count += 1
    return count


def _rate(stamps_ns: Sequence[int]) -> float | None:
    """Mean rate in Hz of two or more stamps."""
    if len(stamps_ns) < 2:
        return None
    return (len(stamps_ns) - 1) * 1e9 / (stamps_ns[-1] - stamps_ns[0])
