"""The structure lane of an evaluation: label futures replayed, scored and shown; what metrics.json and the report get of it."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidpred_ros.evaluation.label_filmstrip import draw_label_strip
from vidpred_ros.evaluation.label_scores import (
    LabelMeasured,
    LabelMethod,
    label_horizons,
    label_methods,
    measure_labels,
    pick_label_moments,
    truth_name,
    write_label_csv,
)
from vidpred_ros.evaluation.label_trials import LabelTrial, Origin, StructureLane, label_replay, truth_of
from vidpred_ros.evaluation.painted import Painted
from vidpred_ros.evaluation.protocol import latency_summary
from vidpred_ros.evaluation.trials import Watch
from vidpred_ros.evaluation.video import SideBySide
from vidpred_ros.metrics.segmentation import LABEL_DEFINITIONS
from vidpred_ros.semantics import colorize
from vidpred_ros.sources.base import LabelKind, Source

EVERY_WINDOW = (
    "every window that has all its futures, of every phase of the stride, at the steps whose frame has a label map; the same "
    "windows for every method"
)
#: Makes the label trials; given indices, only those.
MakeLabelTrials = Callable[[Container[int] | None], Iterator[LabelTrial]]


@dataclass(frozen=True)
class LabelResults:
    """``horizons``: see ``label_scores.label_horizons``; ``about``: what was evaluated and how; ``strips``: filmstrips
    (uint8 RGB) of the moments good, median and worst; ``painted``: see ``painted.Painted.content``, None without a pixel
    generator."""

    horizons: list[dict[str, Any]]
    about: dict[str, Any]
    strips: dict[str, NDArray[np.uint8]]
    painted: dict[str, Any] | None = None


def evaluate_labels(source: Source, lane: StructureLane, out: Path, watch: Watch = iter) -> LabelResults:
    """Replay ``source`` through the lane; write label_scores.csv, labels.png and labels.mp4 under ``out``.

    Raises VidpredError, before anything is written, where there is no window to score.
    """
    truth = truth_of(source)

    def trials(only: Container[int] | None) -> Iterator[LabelTrial]:
        return label_replay(source, lane, truth, iter if only else watch, only)

    return write_labels(lane, trials, truth, out, kind=source.label_kind)


def write_labels(
    lane: StructureLane,
    make_trials: MakeLabelTrials,
    truth: Origin,
    out: Path,
    methods: Mapping[str, LabelMethod] | None = None,
    kind: LabelKind | None = None,
    scored: str = EVERY_WINDOW,
) -> LabelResults:
    """Score label trials and write the three files; ``methods`` None: all that a replay can compare.

    ``make_trials`` is called twice: for the scores, then for the moments to show. ``kind``: of the source's label maps;
    ``scored``: which windows are, in words.
    """
    methods = label_methods(lane) if methods is None else methods
    painted = None if lane.pixels is None else Painted(lane.pixels, lane.perceptual)
    trials = make_trials(None)
    first = next(trials)  # raises, before anything is written, if there is none
    out.mkdir(parents=True, exist_ok=True)
    period, shown = lane.predictor.period_s, (lane.predictor.steps + 1) // 2
    titles = ("camera now", f"labels predicted +{shown * period:.2g} s", "labels then")
    with closing(SideBySide(out / "labels.mp4", titles, period, legend=True)) as video:

        def show(trial: LabelTrial, maps: Mapping[str, NDArray[np.uint8]]) -> None:
            if trial.phase == 0:
                video.add(_panels(trial, maps["predictor"][shown - 1], shown))
            if painted is not None:
                painted.add(trial, maps)

        measured = measure_labels(chain([first], trials), methods, show)
    write_label_csv(measured.scores, out / "label_scores.csv")
    strips = _draw(make_trials, methods, measured, lane.predictor.model_id, painted)
    if "median" in strips:
        cv2.imwrite(str(out / "labels.png"), cv2.cvtColor(strips["median"], cv2.COLOR_RGB2BGR))
    about = about_labels(lane, measured, truth, kind, scored)
    frames = None if painted is None else painted.content(measured.period_s)
    return LabelResults(label_horizons(measured), about, strips, frames)


def _panels(trial: LabelTrial, predicted: NDArray[np.uint8], step: int) -> list[NDArray[np.uint8]]:
    truth = trial.truth[step - 1]
    height, width = predicted.shape
    camera = cv2.resize(trial.window.frames[-1], (width, height), interpolation=cv2.INTER_AREA)
    return [camera, colorize(predicted), colorize(trial.segmented[step - 1] if truth is None else truth)]


def _draw(
    make_trials: MakeLabelTrials,
    methods: Mapping[str, LabelMethod],
    measured: LabelMeasured,
    model: str,
    painted: Painted | None,
) -> dict[str, NDArray[np.uint8]]:
    moments = pick_label_moments(measured.scores)
    strips = {}
    trials = {trial.index: trial for trial in make_trials(frozenset(moments.values()))} if moments else {}
    for name, index in moments.items():
        maps = {method: run(trials[index]) for method, run in methods.items()}
        here = [score for score in measured.scores if score.window == index]
        row = None if painted is None else painted.row(trials[index], maps["predictor"])
        strips[name] = draw_label_strip(trials[index], maps, here, model, row)
    return strips


def about_labels(lane: StructureLane, measured: LabelMeasured, truth: Origin, kind: LabelKind | None, scored: str) -> dict[str, Any]:
    predictor = lane.predictor
    return {
        "model": predictor.model_id,
        "engine": predictor.engine,
        "weights_sha256": getattr(predictor, "weights_sha256", None),
        "segmenter": lane.segmenter.name,
        "segmenter_engine": lane.segmenter.engine,
        "segmenter_sha256": getattr(lane.segmenter, "weights_sha256", None),
        "against": truth_name(truth, kind),
        "label_kind": kind,
        "context_labels": "the source's own" if lane.context == "source" else "the segmenter's",
        "size": list(lane.label_size),
        "segmenter_size": list(predictor.size),
        "window": predictor.window_length,
        "frames_seen": getattr(predictor, "frames_seen", predictor.window_length),  # by a motion prior, those before the window too
        "period_s": measured.period_s,
        "model_period_s": predictor.period_s,
        "windows": measured.windows,
        "phases": len(measured.phases),
        "scored": scored,
        "samples": lane.best_of or None,
        "latency_ms": latency_summary(measured.latencies_ms),
        "metrics": LABEL_DEFINITIONS,
    }
