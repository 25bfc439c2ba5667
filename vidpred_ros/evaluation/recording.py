"""What the collector saw of a graph, as files. Imports no ROS: the evaluation reads it.

A recording is a folder with
  camera.npz      stamps_ns (N) int64; frames (N, height, width, 3) uint8 RGB, cropped and resized as the model sees them
  forecasts.npz   source_stamps_ns (M) and period_ns (M) int64; frames (M, K, height, width, 3) uint8 RGB: complete
                  forecasts only; step k (index k - 1) is for the instant source_stamp + k * period
  recording.json  the counts and latencies of ``Recording.summary``
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import SourceError


@dataclass(frozen=True)
class Recording:
    """Camera frames and forecasts of one run; arrays as in the module's docstring.

    ``summary`` has model, engine, steps, frame_id; camera: {sent, received, lost} frames; forecasts: {announced, complete}
    ("announced" counts info messages); info_stamps_ns: their source stamps; latency_ms: {stage: {median, p99}}, latency_ms_each: {stage: list in order};
    diagnostics: the predictor's last report as {key: text}, with its level and message.
    """

    camera_stamps_ns: NDArray[np.int64]
    camera_frames: NDArray[np.uint8]
    source_stamps_ns: NDArray[np.int64]
    period_ns: NDArray[np.int64]
    forecast_frames: NDArray[np.uint8]
    summary: dict[str, Any]

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / "camera.npz", stamps_ns=self.camera_stamps_ns, frames=self.camera_frames)
        np.savez(
            folder / "forecasts.npz",
            source_stamps_ns=self.source_stamps_ns,
            period_ns=self.period_ns,
            frames=self.forecast_frames,
        )
        (folder / "recording.json").write_text(json.dumps(self.summary, indent=1) + "\n")


def load_recording(folder: Path) -> Recording:
    """Raises SourceError where a file is missing."""
    try:
        with np.load(folder / "camera.npz") as camera, np.load(folder / "forecasts.npz") as forecasts:
            return Recording(
                camera["stamps_ns"],
                camera["frames"],
                forecasts["source_stamps_ns"],
                forecasts["period_ns"],
                forecasts["frames"],
                json.loads((folder / "recording.json").read_text()),
            )
    except FileNotFoundError as error:
        raise SourceError(f"{folder} is no recording: {error.filename} is missing") from error


def summarise(values: Sequence[float]) -> dict[str, float | None]:
    """Median and 99th percentile, None for no values."""
    if not len(values):
        return {"median": None, "p99": None}
    return {"median": float(np.median(values)), "p99": float(np.percentile(values, 99))}


def with_loss(summary: Mapping[str, Any], sent: Sequence[int], received: Sequence[int]) -> dict[str, Any]:
    """The summary with the camera's counts: ``sent`` and ``received`` are stamps in ns."""
    lost = len(set(sent) - set(received))
    return {**summary, "camera": {"sent": len(sent), "received": len(received), "lost": lost}}
