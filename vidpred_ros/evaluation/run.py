"""From trials to out/: metrics.json, scores.csv, filmstrip.png, forecast.mp4 and report.html."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidpred_ros.evaluation import host
from vidpred_ros.evaluation.breakdown import distribution, motion_bins
from vidpred_ros.evaluation.filmstrip import draw_filmstrip
from vidpred_ros.evaluation.label_results import label_subject, merge_labels, write_label_results
from vidpred_ros.evaluation.label_run import LabelResults, evaluate_labels
from vidpred_ros.evaluation.label_trials import StructureLane
from vidpred_ros.evaluation.methods import Method, baselines, best_of, frames_by_method, predicted
from vidpred_ros.evaluation.perceptual import Perceptual
from vidpred_ros.evaluation.protocol import LOCKSTEP, Subject, latency_summary, protocol
from vidpred_ros.evaluation.report import write_report
from vidpred_ros.evaluation.scores import Score, horizons, measure, pick_moments, write_csv
from vidpred_ros.evaluation.trials import NoWindowError, Trial, Watch, replay
from vidpred_ros.evaluation.video import SideBySide
from vidpred_ros.metrics import FrameMetrics
from vidpred_ros.predictors import Predictor
from vidpred_ros.sources.base import Source

#: Makes the trials; given indices, only those. Called twice: for the scores, then for the moments to show. Raises
#: VidpredError when there is none.
MakeTrials = Callable[[Container[int] | None], Iterator[Trial]]


def evaluate(
    source: Source,
    predictor: Predictor,
    out: Path,
    command: str,
    watch: Watch = iter,
    samples: int = 0,
    seed: int = 0,
    lane: StructureLane | None = None,
    perceptual: bool = False,
) -> dict[str, Any]:
    """Replay ``source`` in lockstep, write everything under ``out`` and return metrics.json's content.

    ``command`` is what the report names as the way to the same numbers. With ``samples`` the best of so many draws of a
    stochastic predictor is scored beside its forecast; raises ConfigError for a predictor that draws none. With ``lane``
    label maps are predicted and scored too, in a replay of their own; where the source has windows for them alone, which
    are shorter, the scores of frames are null. ``perceptual``: CSIM, FVD and Inception Score too.
    """

    def trials(only: Container[int] | None) -> Iterator[Trial]:
        return replay(source, predictor, iter if only else watch, only)

    more = best_of(predictor, samples, seed) if samples else {}
    drawn = {"samples": samples, "seed": seed} if samples else {}
    labels = None if lane is None else evaluate_labels(source, lane, out, watch)
    subject, see = Subject.of(source, predictor), Perceptual() if perceptual else None
    try:
        return write_results(subject, trials, out, command, LOCKSTEP, more=more, drawn=drawn, labels=labels, perceptual=see)
    except NoWindowError as error:
        if lane is None or labels is None:
            raise
        return write_label_results(label_subject(source, lane), labels, out, command, no_frames=str(error))


def write_results(
    subject: Subject,
    make_trials: MakeTrials,
    out: Path,
    command: str,
    mode: str,
    extra: Mapping[str, Any] | None = None,
    more: Mapping[str, Method] | None = None,
    drawn: Mapping[str, int] | None = None,
    labels: LabelResults | None = None,
    perceptual: Perceptual | None = None,
) -> dict[str, Any]:
    """Score the trials against the baselines and write the five files.

    ``extra`` is added to metrics.json; ``more`` are further methods to score, ``drawn`` the samples and seed behind them;
    ``labels`` are put beside the scores of the frames, and what ``perceptual`` finds in them.
    """
    trials = make_trials(None)
    first = next(trials)  # raises, before anything is written, if there is none
    out.mkdir(parents=True, exist_ok=True)
    metrics = FrameMetrics()
    methods: dict[str, Method] = {
        "predictor": predicted,
        **(more or {}),
        **baselines(subject.size, subject.period_s, subject.steps),
    }
    shown = (subject.steps + 1) // 2
    titles = ("camera now", f"predicted +{shown * subject.period_s:.2g} s", "what happened then")
    with closing(SideBySide(out / "forecast.mp4", titles, subject.period_s)) as video:

        def show(trial: Trial, frames: Mapping[str, NDArray[np.uint8]]) -> None:
            if trial.phase == 0:  # the other phases show the same drive again
                video.add((trial.window.frames[-1], frames["predictor"][shown - 1], trial.truth[shown - 1]))
            if perceptual is not None:
                perceptual.add(trial, frames)

        measured = measure(chain([first], trials), methods, metrics, show)

    results: dict[str, Any] = {
        "source": subject.source.name,
        "model": subject.model,
        "engine": subject.engine,
        "weights_sha256": subject.weights_sha256,
        "protocol": protocol(subject, measured, mode, command, drawn or {}),
        "data_sha256": subject.source.fingerprint(),
        "frames": len(subject.source),
        "horizons": horizons(measured.scores, measured.period_s, metrics.reasons),
        "motion_bins": motion_bins(measured.scores),
        "distribution": distribution(measured.scores),
        "latency_ms": latency_summary(measured.latencies_ms),
        "host": host.describe(),
        **(extra or {}),
    }
    if perceptual is not None:
        perceptual.fill(results)
    if labels is not None:
        merge_labels(results, labels)
    (out / "metrics.json").write_text(json.dumps(results, indent=1, allow_nan=False) + "\n")
    write_csv(measured.scores, out / "scores.csv")
    strips = _draw_moments(make_trials, methods, measured.scores, subject.model)
    cv2.imwrite(str(out / "filmstrip.png"), cv2.cvtColor(strips["median"], cv2.COLOR_RGB2BGR))
    write_report(results, measured.scores, strips, out / "report.html", labels)
    return results


def _draw_moments(
    make_trials: MakeTrials, methods: Mapping[str, Method], scores: list[Score], model: str
) -> dict[str, NDArray[np.uint8]]:
    """A filmstrip for each of the good, median and worst windows."""
    moments = pick_moments(scores)
    strips = {}
    trials = {trial.index: trial for trial in make_trials(frozenset(moments.values()))}
    for name, index in moments.items():
        frames = frames_by_method(trials[index], methods)
        here = [score for score in scores if score.window == index]
        strips[name] = draw_filmstrip(trials[index], frames, here, model)
    return strips
