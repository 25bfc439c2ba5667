"""metrics.json of label futures: beside the scores of frames, or alone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vidpred_ros.evaluation import host
from vidpred_ros.evaluation.label_run import LabelResults, evaluate_labels
from vidpred_ros.evaluation.label_trials import StructureLane
from vidpred_ros.evaluation.labels_report import write_labels_page
from vidpred_ros.evaluation.protocol import LOCKSTEP, Subject
from vidpred_ros.evaluation.scores import METRICS
from vidpred_ros.evaluation.trials import Watch
from vidpred_ros.metrics.segmentation import LABEL_DEFINITIONS
from vidpred_ros.sources.base import Source
from vidpred_ros.window import stride_for


def evaluate_structure(source: Source, lane: StructureLane, out: Path, command: str, watch: Watch = iter) -> dict[str, Any]:
    """Replay ``source`` through a structure lane alone: metrics.json, label_scores.csv, labels.png, labels.mp4, report.html."""
    labels = evaluate_labels(source, lane, out, watch)
    return write_label_results(label_subject(source, lane), labels, out, command)


def label_subject(source: Source, lane: StructureLane) -> Subject:
    """The lane's predictor as the one that is evaluated."""
    p = lane.predictor
    weights = getattr(p, "weights_sha256", None)
    return Subject(source, p.model_id, p.engine, p.size, p.period_s, p.window_length, p.steps, weights)


def merge_labels(results: dict[str, Any], labels: LabelResults) -> None:
    """Put label scores beside those of frames, in place: every method of every horizon gets both, null with a reason.

    Steps are matched by their number.
    """
    by_step = {horizon["step"]: horizon for horizon in labels.horizons}
    names = list(dict.fromkeys(name for horizon in labels.horizons for name in horizon["methods"]))
    for horizon in results["horizons"]:
        mine = by_step.get(horizon["step"], {"methods": {}, "windows_labelled": 0})
        horizon["windows_labelled"] = mine["windows_labelled"]
        for name in dict.fromkeys([*horizon["methods"], *names]):
            method = horizon["methods"].setdefault(name, _nulls(METRICS, f"{name} makes label maps only"))
            why = f"{name} makes no label maps" if mine["methods"] else "no label map of this step was scored"
            method.update(mine["methods"].get(name, _nulls(LABEL_DEFINITIONS, why)))
    results["protocol"]["labels"] = labels.about["against"]
    results["protocol"]["metrics"] = {**results["protocol"]["metrics"], **LABEL_DEFINITIONS}
    results["structure"] = labels.about
    if labels.painted is not None:
        results["painted"] = labels.painted


def write_label_results(
    subject: Subject, labels: LabelResults, out: Path, command: str, mode: str = LOCKSTEP, no_frames: str | None = None
) -> dict[str, Any]:
    """metrics.json and report.html of an evaluation that has label maps only; returns metrics.json's content.

    ``no_frames``: why, where it is not that the model predicts none.
    """
    why = no_frames or f"{subject.model} predicts label maps, no frames"
    if labels.painted is not None and no_frames is None:
        why += "; `painted` has the scores of what is painted on them"
    results: dict[str, Any] = {
        "source": subject.source.name,
        "model": subject.model,
        "engine": subject.engine,
        "weights_sha256": subject.weights_sha256,
        "protocol": label_protocol(subject, labels, mode, command),
        "data_sha256": subject.source.fingerprint(),
        "frames": len(subject.source),
        "horizons": [
            {
                **horizon,
                "methods": {name: _nulls(METRICS, why) | scores for name, scores in horizon["methods"].items()},
            }
            for horizon in labels.horizons
        ],
        "structure": labels.about,
        **({} if labels.painted is None else {"painted": labels.painted}),
        "latency_ms": labels.about["latency_ms"],
        "host": host.describe(),
    }
    (out / "metrics.json").write_text(json.dumps(results, indent=1, allow_nan=False) + "\n")
    write_labels_page(results, labels, out / "report.html")
    return results


def label_protocol(subject: Subject, labels: LabelResults, mode: str, command: str) -> dict[str, Any]:
    """How the numbers came about, as ``protocol.protocol`` says it of frames."""
    height, width = labels.about["size"]
    return {
        "mode": mode,
        "command": command,
        "labels": labels.about["against"],
        "size": [height, width],
        "crop": f"largest centred {subject.size[1]}:{subject.size[0]} rectangle; label maps by nearest neighbour to {width}x{height}",
        "period_s": labels.about["period_s"],
        "model_period_s": subject.period_s,
        "source_rate_hz": subject.source.rate_hz,
        "stride": stride_for(subject.source.rate_hz, subject.period_s),
        "phases": labels.about["phases"],
        "window": subject.window_length,
        "frames_seen": labels.about["frames_seen"],
        "steps": subject.steps,
        "windows": labels.about["windows"],
        "scored": labels.about["scored"],
        "samples": labels.about["samples"],
        "metrics": LABEL_DEFINITIONS,
    }


def _nulls(metrics: Iterable[str], why: str) -> dict[str, Any]:
    """Each of the metrics null, with the reason beside it."""
    return {key: value for metric in metrics for key, value in ((metric, None), (f"{metric}_reason", why))}
