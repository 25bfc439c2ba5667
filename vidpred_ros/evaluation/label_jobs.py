"""One cell of a table of structure models: one model on one sequence, with the baselines and the segmenter beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import cv2

from vidpred_ros.evaluation import host
from vidpred_ros.evaluation.datasets import open_sequence
from vidpred_ros.evaluation.jobs import Job
from vidpred_ros.evaluation.label_results import label_protocol, label_subject
from vidpred_ros.evaluation.label_run import EVERY_WINDOW, LabelResults, about_labels
from vidpred_ros.evaluation.label_scores import LabelScore, label_horizons, label_methods, measure_labels
from vidpred_ros.evaluation.label_trials import Origin, label_replay, truth_of
from vidpred_ros.evaluation.lanes import open_lane
from vidpred_ros.evaluation.protocol import LOCKSTEP
from vidpred_ros.evaluation.trials import NoWindowError
from vidpred_ros.metrics.segmentation import LABEL_DEFINITIONS
from vidpred_ros.models import find_model


@dataclass(frozen=True)
class LabelSettings:
    """How a table of structure models is measured."""

    segmenter: str
    class_table: str | None = None
    context: Origin = "segmenter"
    period_s: float | None = None  # None: the models' own

    def segmenter_sha256(self) -> str:
        """Of its weights. Raises ModelError for a released segmenter that is not there."""
        path = Path(self.segmenter)
        if path.suffix == ".onnx" and path.is_file():
            return hashlib.sha256(path.read_bytes()).hexdigest()
        return find_model(self.segmenter).card.weights_sha256


@dataclass(frozen=True)
class LabelJob(Job):
    """``size`` is that of the label maps, ``samples`` those of the best of N (0: none)."""

    segmenter: str = ""
    segmenter_sha256: str = ""
    class_table: str | None = None
    context: Origin = "segmenter"

    @property
    def definitions(self) -> Mapping[str, str]:
        return LABEL_DEFINITIONS

    def run(self, command: str) -> dict[str, Any]:
        """metrics.json's content for this model, its baselines and the segmenter, and ``scores`` of every window.

        A sequence without a window that can be scored gives {"key", "left_out": why}. Raises VidpredError where the
        model or the source cannot be used.
        """
        cv2.setNumThreads(1)
        source = open_sequence(self.source)
        lane = open_lane(
            self.model,
            self.segmenter,
            self.engine,
            self.steps,
            samples=self.samples,
            period_s=self.period_s,
            context=self.context,
            class_table=Path(self.class_table) if self.class_table else None,
        )
        truth = truth_of(source)
        try:
            measured = measure_labels(label_replay(source, lane, truth), label_methods(lane))
        except NoWindowError as error:
            return {"key": self.key, "left_out": str(error)}
        finally:
            lane.close()
        about = about_labels(lane, measured, truth, source.label_kind, EVERY_WINDOW)
        subject = label_subject(source, lane)
        labels = LabelResults(label_horizons(measured), about, {})
        return {
            "key": self.key,
            "source": source.name,
            "model": self.row,
            "engine": subject.engine,
            "weights_sha256": self.weights_sha256,
            "protocol": label_protocol(subject, labels, LOCKSTEP, command),
            "data_sha256": self.data_sha256,
            "frames": len(source),
            "horizons": labels.horizons,
            "structure": about,
            "latency_ms": about["latency_ms"],
            "host": host.describe(),
            "scores": {
                "columns": [field.name for field in fields(LabelScore)],
                "rows": [list(astuple(score)) for score in measured.scores],
            },
        }
