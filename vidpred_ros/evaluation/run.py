"""From trials to out/: metrics.json, scores.csv, filmstrip.png, forecast.mp4 and report.html."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidpred_ros.evaluation import host
from vidpred_ros.evaluation.filmstrip import draw_filmstrip
from vidpred_ros.evaluation.report import write_report
from vidpred_ros.evaluation.scores import (
    Score,
    frames_by_method,
    horizons,
    pick_moments,
    score_trial,
    write_csv,
)
from vidpred_ros.evaluation.trials import Trial, Watch, replay
from vidpred_ros.evaluation.video import SideBySide
from vidpred_ros.metrics import DEFINITIONS, FrameMetrics
from vidpred_ros.predictors import BASELINES, Predictor, make_predictor
from vidpred_ros.sources.base import Source
from vidpred_ros.window import stride_for

#: Makes the trials; given indices, only those. Called twice: for the scores, then for the moments to show. Raises
#: VidpredError when there is none.
MakeTrials = Callable[[Container[int] | None], Iterator[Trial]]


@dataclass(frozen=True)
class Subject:
    """What was evaluated on what: the head of metrics.json."""

    source: Source
    model: str
    engine: str
    size: tuple[int, int]
    period_s: float
    window_length: int
    steps: int
    weights_sha256: str | None = None

    @classmethod
    def of(cls, source: Source, predictor: Predictor) -> Subject:
        return cls(
            source,
            predictor.model_id,
            predictor.engine,
            predictor.size,
            predictor.period_s,
            predictor.window_length,
            predictor.steps,
            getattr(predictor, "weights_sha256", None),
        )


def evaluate(
    source: Source, predictor: Predictor, out: Path, command: str, watch: Watch = iter
) -> dict[str, Any]:
    """Replay ``source`` in lockstep, write everything under ``out`` and return metrics.json's content.

    ``command`` is what the report names as the way to the same numbers.
    """

    def trials(only: Container[int] | None) -> Iterator[Trial]:
        return replay(source, predictor, iter if only else watch, only)

    return write_results(
        Subject.of(source, predictor), trials, out, command, "Lockstep replay: no frame is lost"
    )


def write_results(
    subject: Subject,
    make_trials: MakeTrials,
    out: Path,
    command: str,
    mode: str,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Score the trials against the baselines and write the five files. ``extra`` is added to metrics.json."""
    trials = make_trials(None)
    first = next(trials)  # raises, before anything is written, if there is none
    out.mkdir(parents=True, exist_ok=True)
    metrics = FrameMetrics()
    baselines = {
        name: make_predictor(name, steps=subject.steps, size=subject.size, period_s=subject.period_s)
        for name in BASELINES
    }
    scores: list[Score] = []
    latencies: list[float] = []
    periods: list[int] = []
    shown = (subject.steps + 1) // 2
    titles = ("camera now", f"predicted +{shown * subject.period_s:.2g} s", "what happened then")
    with closing(SideBySide(out / "forecast.mp4", titles, subject.period_s)) as video:
        for trial in chain([first], trials):
            frames = frames_by_method(trial, baselines)
            scores += score_trial(trial, frames, metrics)
            video.add((trial.window.frames[-1], frames["predictor"][shown - 1], trial.truth[shown - 1]))
            periods.append(trial.window.period_ns)
            if trial.latency_ms is not None:
                latencies.append(trial.latency_ms)

    period_s = float(np.median(periods)) / 1e9
    results: dict[str, Any] = {
        "source": subject.source.name,
        "model": subject.model,
        "engine": subject.engine,
        "weights_sha256": subject.weights_sha256,
        "protocol": _protocol(subject, period_s, len(periods), mode, command),
        "data_sha256": subject.source.fingerprint(),
        "frames": len(subject.source),
        "horizons": horizons(scores, period_s, metrics.reasons),
        "latency_ms": latency_summary(latencies),
        "host": host.describe(),
        **(extra or {}),
    }
    (out / "metrics.json").write_text(json.dumps(results, indent=1, allow_nan=False) + "\n")
    write_csv(scores, out / "scores.csv")
    strips = _draw_moments(make_trials, baselines, scores, subject.model)
    cv2.imwrite(str(out / "filmstrip.png"), cv2.cvtColor(strips["median"], cv2.COLOR_RGB2BGR))
    write_report(results, scores, strips, out / "report.html")
    return results


def latency_summary(latencies: list[float]) -> dict[str, Any]:
    """Median and 99th percentile in ms, without the first prediction (it warms the engine up) if there are more."""
    if not latencies:
        return {"median": None, "p99": None, "reason": "no latency was measured"}
    steady = latencies[1:] or latencies
    return {
        "median": float(np.median(steady)),
        "p99": float(np.percentile(steady, 99)),
        "count": len(steady),
        "what": f"one prediction of all horizons (the first, {latencies[0]:.1f} ms, warms up and is left out)",
    }


def _protocol(subject: Subject, period_s: float, windows: int, mode: str, command: str) -> dict[str, Any]:
    height, width = subject.size
    return {
        "mode": mode,
        "command": command,
        "size": [height, width],
        "crop": f"largest centred {width}:{height} rectangle, area resize to {width}x{height}",
        "period_s": period_s,
        "model_period_s": subject.period_s,
        "source_rate_hz": subject.source.rate_hz,
        "stride": stride_for(subject.source.rate_hz, subject.period_s),
        "window": subject.window_length,
        "steps": subject.steps,
        "windows": windows,
        "scored": "every window that has all its futures; the same windows for every horizon and method",
        "seed": None,
        "seed_reason": "nothing in this evaluation is drawn at random",
        "metrics": DEFINITIONS,
    }


def _draw_moments(
    make_trials: MakeTrials, baselines: Mapping[str, Predictor], scores: list[Score], model: str
) -> dict[str, NDArray[np.uint8]]:
    """A filmstrip for each of the good, median and worst windows."""
    moments = pick_moments(scores)
    strips = {}
    trials = {trial.index: trial for trial in make_trials(frozenset(moments.values()))}
    for name, index in moments.items():
        frames = frames_by_method(trials[index], baselines)
        here = [score for score in scores if score.window == index]
        strips[name] = draw_filmstrip(trials[index], frames, here, model)
    return strips
