"""What the collector saw of a graph, as files. Imports no ROS: the evaluation reads it.

A recording is a folder with
  camera.npz      stamps_ns (N) int64; frames (N, height, width, 3) uint8 RGB, cropped and resized as the model sees them
  forecasts.npz   source_stamps_ns (M) and period_ns (M) int64; frames (M, K, height, width, 3) uint8 RGB: complete
                  forecasts only; step k (index k - 1) is for the instant source_stamp + k * period
  labels.npz      only of a predictor with a structure lane: see ``LabelRecording``
  recording.json  the counts and latencies of ``Recording.summary``
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import SourceError
from vidpred_ros.semantics import CLASS_NAMES, OCCUPANTS

#: Topics of a structure lane, below the predictor's own name, that hold a number for each pixel.
VALUE_TOPICS = ("future/uncertainty", *(f"future/occupancy_{CLASS_NAMES[id]}" for id in OCCUPANTS))


def label_topics(steps: int) -> list[str]:
    """All topics of a structure lane that are recorded."""
    return ["future/labels_info", *(f"future/step_{k}/labels" for k in range(1, steps + 1)), *VALUE_TOPICS]


@dataclass(frozen=True)
class LabelRecording:
    """The complete forecasts of label maps, M of them; step k (index k - 1) is for the instant source_stamp + k * period.

    A predictor that draws no samples leaves ``uncertainty`` and ``occupancy`` empty: their first length is 0.
    """

    source_stamps_ns: NDArray[np.int64]  # M
    period_ns: NDArray[np.int64]  # M
    labels: NDArray[np.uint8]  # M x K x height x width, train ids
    uncertainty: NDArray[np.float16]  # M x height x width, nats
    occupancy: NDArray[np.float16]  # M x classes x height x width, in the order of semantics.OCCUPANTS

    def save(self, file: Path) -> None:
        np.savez_compressed(file, **{field.name: getattr(self, field.name) for field in fields(self)})


@dataclass(frozen=True)
class Recording:
    """Camera frames and forecasts of one run; arrays as in the module's docstring.

    ``summary`` has model, engine, steps, frame_id; camera: {sent, received, lost} frames; forecasts: {announced, complete}
    ("announced" counts info messages); info_stamps_ns: their source stamps; latency_ms: {stage: {median, p99}}, latency_ms_each: {stage: list in order};
    diagnostics: the predictor's last report as {key: text}, with its level and message. With a structure lane ``labels`` in it has
    model, engine, samples, forecasts, latency_ms, latency_ms_each and diagnostics of that lane.
    """

    camera_stamps_ns: NDArray[np.int64]
    camera_frames: NDArray[np.uint8]
    source_stamps_ns: NDArray[np.int64]
    period_ns: NDArray[np.int64]
    forecast_frames: NDArray[np.uint8]
    summary: dict[str, Any]
    labels: LabelRecording | None = None

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / "camera.npz", stamps_ns=self.camera_stamps_ns, frames=self.camera_frames)
        np.savez(
            folder / "forecasts.npz",
            source_stamps_ns=self.source_stamps_ns,
            period_ns=self.period_ns,
            frames=self.forecast_frames,
        )
        if self.labels is not None:
            self.labels.save(folder / "labels.npz")
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
                _load_labels(folder / "labels.npz"),
            )
    except FileNotFoundError as error:
        raise SourceError(f"{folder} is no recording: {error.filename} is missing") from error


def _load_labels(file: Path) -> LabelRecording | None:
    if not file.exists():
        return None
    with np.load(file) as arrays:
        return LabelRecording(**arrays)


def summarise(values: Sequence[float]) -> dict[str, float | None]:
    """Median and 99th percentile, None for no values."""
    if not len(values):
        return {"median": None, "p99": None}
    return {"median": float(np.median(values)), "p99": float(np.percentile(values, 99))}


def with_loss(summary: Mapping[str, Any], sent: Sequence[int], received: Sequence[int]) -> dict[str, Any]:
    """The summary with the camera's counts: ``sent`` and ``received`` are stamps in ns."""
    lost = len(set(sent) - set(received))
    return {**summary, "camera": {"sent": len(sent), "received": len(received), "lost": lost}}
