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
from vidpred_ros.evaluation.breakdown import distribution, motion_bins
from vidpred_ros.evaluation.filmstrip import draw_filmstrip
from vidpred_ros.evaluation.methods import Method, baselines, best_of, frames_by_method, predicted
from vidpred_ros.evaluation.report import write_report
from vidpred_ros.evaluation.scores import Measured, Score, horizons, measure, pick_moments, write_csv
from vidpred_ros.evaluation.trials import Trial, Watch, replay
from vidpred_ros.evaluation.video import SideBySide
from vidpred_ros.metrics import DEFINITIONS, FrameMetrics
from vidpred_ros.predictors import Predictor
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
    source: Source,
    predictor: Predictor,
    out: Path,
    command: str,
    watch: Watch = iter,
    samples: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """Replay ``source`` in lockstep, write everything under ``out`` and return metrics.json's content.

    ``command`` is what the report names as the way to the same numbers. With ``samples`` the best of so many draws of a
    stochastic predictor is scored beside its forecast; raises ConfigError for a predictor that draws none.
    """

    def trials(only: Container[int] | None) -> Iterator[Trial]:
        return replay(source, predictor, iter if only else watch, only)

    more = best_of(predictor, samples, seed) if samples else {}
    mode = "Lockstep replay: no frame is lost"
    drawn = {"samples": samples, "seed": seed} if samples else {}
    return write_results(Subject.of(source, predictor), trials, out, command, mode, more=more, drawn=drawn)


def write_results(
    subject: Subject,
    make_trials: MakeTrials,
    out: Path,
    command: str,
    mode: str,
    extra: Mapping[str, Any] | None = None,
    more: Mapping[str, Method] | None = None,
    drawn: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Score the trials against the baselines and write the five files.

    ``extra`` is added to metrics.json; ``more`` are further methods to score, ``drawn`` the samples and seed behind them.
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
    (out / "metrics.json").write_text(json.dumps(results, indent=1, allow_nan=False) + "\n")
    write_csv(measured.scores, out / "scores.csv")
    strips = _draw_moments(make_trials, methods, measured.scores, subject.model)
    cv2.imwrite(str(out / "filmstrip.png"), cv2.cvtColor(strips["median"], cv2.COLOR_RGB2BGR))
    write_report(results, measured.scores, strips, out / "report.html")
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


def protocol(
    subject: Subject, measured: Measured, mode: str, command: str, drawn: Mapping[str, int]
) -> dict[str, Any]:
    """How the numbers came about. ``drawn``: samples and seed, where something was drawn."""
    height, width = subject.size
    by_chance = "the draws of best_of_N" if drawn else "nothing in this evaluation is drawn at random"
    return {
        "mode": mode,
        "command": command,
        "size": [height, width],
        "crop": f"largest centred {width}:{height} rectangle, area resize to {width}x{height}",
        "period_s": measured.period_s,
        "model_period_s": subject.period_s,
        "source_rate_hz": subject.source.rate_hz,
        "stride": stride_for(subject.source.rate_hz, subject.period_s),
        "phases": measured.phases,
        "window": subject.window_length,
        "steps": subject.steps,
        "windows": len(measured.periods_ns),
        "scored": "every window that has all its futures, of every phase of the stride; the same windows for every horizon "
        "and method",
        "moving_share": [round(float(share), 4) for share in np.mean(measured.moving, axis=0)],
        "samples": drawn.get("samples"),
        "seed": drawn.get("seed"),
        "seed_reason": by_chance,
        "metrics": DEFINITIONS,
    }


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
