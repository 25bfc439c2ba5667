"""Label trials from a recording of a running graph: what the node predicted, against the frames that the camera sent."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import VidpredError
from vidpred_ros.evaluation.label_trials import LabelTrial, Origin, Seen, StructureLane, make_trial
from vidpred_ros.evaluation.recorded import nearest
from vidpred_ros.evaluation.recording import LabelRecording, Recording
from vidpred_ros.forecast import Forecast, Horizon
from vidpred_ros.models import ModelCard
from vidpred_ros.segmenters import Segmenter
from vidpred_ros.semantics import CLASS_NAMES, OCCUPANTS
from vidpred_ros.sources.base import Source
from vidpred_ros.window import Window

SCORED = "every forecast whose frames the camera sent, from the first of the window to the last instant predicted"


@dataclass
class RecordedLabels:
    """A predictor of label maps that repeats what one of a graph has said."""

    recording: LabelRecording
    model_id: str
    engine: str
    size: tuple[int, int]
    period_s: float
    window_length: int
    steps: int
    label_size: tuple[int, int]
    weights_sha256: str | None
    frames_seen: int
    needs_frames: bool = False

    def predict(self, window: Window, labels: Sequence[NDArray[np.uint8]] | None = None) -> Forecast:
        """The forecast of the window's newest frame. Raises KeyError where there is none."""
        found = np.flatnonzero(self.recording.source_stamps_ns == window.stamps_ns[-1])
        if not len(found):
            raise KeyError(window.stamps_ns[-1])
        return forecast_of(self.recording, int(found[0]), self.model_id)

    def close(self) -> None:
        """Nothing to free."""


def forecast_of(recording: LabelRecording, index: int, model_id: str) -> Forecast:
    """One recorded forecast. Its uncertainty is a mean over the steps and so belongs to none of them."""
    source, period = int(recording.source_stamps_ns[index]), int(recording.period_ns[index])
    horizons = tuple(
        Horizon(k, source + k * period, labels=labels) for k, labels in enumerate(recording.labels[index], start=1)
    )
    occupancy = {}
    if len(recording.occupancy):
        names = (CLASS_NAMES[id] for id in OCCUPANTS)
        occupancy = dict(zip(names, recording.occupancy[index].astype(np.float32), strict=True))
    return Forecast(model_id, source, period, horizons, occupancy=occupancy)


def recorded_lane(recording: Recording, segmenter: Segmenter, card: ModelCard | None) -> StructureLane:
    """The structure lane that was recorded; ``card``: of its model, None for a baseline.

    Raises VidpredError if it sent no complete forecast.
    """
    labels, summary = recording.labels, recording.summary["labels"]
    if labels is None or not len(labels.labels):
        report = summary["diagnostics"].get("message", "it sent no diagnostics")
        raise VidpredError(f"no forecast of label maps arrived; the predictor says: {report}")
    report = summary["diagnostics"]
    steps, height, width = labels.labels.shape[1:]
    length = int(report["window"].split()[-1])
    predictor = RecordedLabels(
        labels,
        summary["model"],
        summary["engine"],
        segmenter.size,
        float(report["period_s"]),
        length,
        steps,
        (height, width),
        card.weights_sha256 if card else None,
        getattr(card.network, "frames_seen", length) if card else length,
    )
    return StructureLane(predictor, segmenter)


def recorded_label_trials(
    source: Source, recording: Recording, lane: StructureLane, truth: Origin, only: Container[int] | None = None
) -> Iterator[LabelTrial]:
    """A trial for each forecast whose window and K futures the camera sent: frame i of ``source`` with the i-th stamp.

    Raises VidpredError if there is none.
    """
    labels, stamps = recording.labels, np.array(recording.summary["sent_stamps_ns"], np.int64)
    assert labels is not None, "recorded_lane has seen to it"
    seen = [lane.see(replace(frame, stamp_ns=int(stamp))) for frame, stamp in zip(source, stamps, strict=False)]
    stamps = stamps[: len(seen)]
    totals = recording.summary["labels"]["latency_ms_each"].get("total", [])
    length, index, scored = lane.predictor.window_length, -1, False
    for number, (newest, period) in enumerate(zip(labels.source_stamps_ns, labels.period_ns, strict=True)):
        instants = newest + period * np.arange(1 - length, lane.predictor.steps + 1)
        found = nearest(stamps, instants, period / 2)
        if found is None or stamps[found[length - 1]] != newest:
            continue
        index += 1
        if only is not None and index not in only:
            continue
        frames: list[Seen] = [seen[i] for i in found]
        window = Window(tuple(stamps[found].tolist()), tuple(frames), 0, number, int(period))  # type: ignore[arg-type]
        trial = make_trial(index, frames, lane, truth, window)
        if trial is not None:
            scored = True
            yield replace(
                trial,
                latency_ms=totals[number] if len(totals) == len(labels.labels) else None,
                uncertainty=labels.uncertainty[number].astype(np.float32) if len(labels.uncertainty) else None,
            )
    if index < 0:
        raise VidpredError(
            f"none of the {len(labels.labels)} forecasts of label maps has all its frames; let it run for longer (--seconds)"
        )
    if not scored and only is None:
        raise VidpredError(f"{source.name}: no frame that was predicted has a label map to score against, with a class in it")
