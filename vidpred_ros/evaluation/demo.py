"""From the recording of a demo to its report."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

from vidpred_ros.evaluation.label_run import LabelResults, write_labels
from vidpred_ros.evaluation.label_trials import LabelTrial, truth_of
from vidpred_ros.evaluation.protocol import Subject
from vidpred_ros.evaluation.recorded import recorded_trials
from vidpred_ros.evaluation.recorded_labels import SCORED, recorded_label_trials, recorded_lane
from vidpred_ros.evaluation.recording import Recording
from vidpred_ros.evaluation.run import write_results
from vidpred_ros.evaluation.trials import Trial
from vidpred_ros.models import find_model
from vidpred_ros.predictors import BASELINES, make_predictor
from vidpred_ros.segmenters import Segmenter
from vidpred_ros.sources.base import Source


def report_demo(
    source: Source,
    recording: Recording,
    model: str,
    out: Path,
    command: str,
    segmenter: Segmenter | None = None,
    structure_model: str = "",
) -> dict[str, Any]:
    """Score a recorded run of ``model`` on ``source`` and write the report's files under ``out``. Returns metrics.json's content.

    With ``segmenter``, that of the structure lane, the label maps of ``structure_model`` are scored too. Raises
    VidpredError when no forecast can be scored.
    """
    subject = _subject(source, recording, model)

    def trials(only: Container[int] | None) -> Iterator[Trial]:
        return recorded_trials(recording, subject.window_length, only)

    total = recording.summary["latency_ms"].get("total", {"median": None, "p99": None})
    extra = {
        "frames": recording.summary["camera"]["sent"],
        "latency_ms": {
            **total,
            "count": len(recording.summary["latency_ms_each"].get("total", [])),
            "what": "from a camera frame sent to all its futures published",
            "stages": recording.summary["latency_ms"],
        },
        "transport": transport(recording.summary),
    }
    mode = "Live: camera, predictor and evaluation as three processes of a ROS 2 graph, in real time"
    labels = None if segmenter is None else _labels(source, recording, segmenter, structure_model, out)
    return write_results(subject, trials, out, command, mode, extra, labels=labels)


def _labels(source: Source, recording: Recording, segmenter: Segmenter, model: str, out: Path) -> LabelResults:
    card = None if model in BASELINES else find_model(model).card
    lane, truth = recorded_lane(recording, segmenter, card), truth_of(source)

    def trials(only: Container[int] | None) -> Iterator[LabelTrial]:
        return recorded_label_trials(source, recording, lane, truth, only)

    return write_labels(lane, trials, truth, out, kind=source.label_kind, scored=SCORED)


def transport(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What got lost between the nodes, for metrics.json and the report."""
    camera, forecasts, report = summary["camera"], summary["forecasts"], summary["diagnostics"]
    drops = {
        key.removeprefix("dropped/"): int(value)
        for key, value in report.items()
        if key.startswith("dropped/")
    }
    lane = summary.get("labels")
    labels = {} if lane is None else {
        "label_forecasts_announced": lane["forecasts"]["announced"],
        "label_forecasts_received_complete": lane["forecasts"]["complete"],
    }
    return {
        "camera_frames_sent": camera["sent"],
        "camera_frames_received": camera["received"],
        "camera_frames_lost": camera["lost"],
        "forecasts_announced": forecasts["announced"],
        "forecasts_received_complete": forecasts["complete"],
        "windows_skipped": drops.get("predictor busy", 0),
        "dropped_by_the_predictor": ", ".join(f"{reason} {count}" for reason, count in drops.items() if count)
        or "none",
        **labels,
    }


def _subject(source: Source, recording: Recording, model: str) -> Subject:
    height, width = recording.forecast_frames.shape[2:4]
    steps = recording.forecast_frames.shape[1]
    if model in BASELINES:
        baseline = make_predictor(model, steps=steps, size=(height, width))
        period_s, length, sha256 = baseline.period_s, baseline.window_length, None
    else:
        card = find_model(model).card
        period_s, length, sha256 = card.period, card.window, card.weights_sha256
    return Subject(
        source,
        recording.summary["model"],
        recording.summary["engine"],
        (height, width),
        period_s,
        length,
        steps,
        sha256,
    )
