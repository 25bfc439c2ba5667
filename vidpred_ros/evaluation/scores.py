"""Scores of trials: a row for each window, step and method, and what they come to."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.evaluation.methods import Method, frames_by_method, sees_the_truth
from vidpred_ros.evaluation.trials import Trial
from vidpred_ros.metrics import DEFINITIONS, LOWER_IS_BETTER, MOVING, NOTHING_MOVES, FrameMetrics
from vidpred_ros.metrics.moving import MovingAreas

METRICS = tuple(DEFINITIONS)


@dataclass(frozen=True)
class Score:
    """The metrics of one predicted frame; None where one could not be computed."""

    window: int  # index of the trial
    stamp_ns: int  # newest frame of the window
    step: int
    method: str
    ssim: float
    psnr: float
    lpips: float | None
    sharpness: float
    ssim_moving: float | None = None
    psnr_moving: float | None = None
    sharpness_moving: float | None = None


@dataclass
class Measured:
    """What a run over all trials gave."""

    scores: list[Score] = field(default_factory=list)
    periods_ns: list[int] = field(default_factory=list)  # of each window
    latencies_ms: list[float] = field(default_factory=list)
    moving: list[NDArray[np.float64]] = field(default_factory=list)  # of each window, K shares of pixels that move
    phases: set[int] = field(default_factory=set)  # those that gave a window

    @property
    def period_s(self) -> float:
        """The usual distance between horizons."""
        return float(np.median(self.periods_ns)) / 1e9


def measure(
    trials: Iterable[Trial],
    methods: Mapping[str, Method],
    metrics: FrameMetrics,
    show: Callable[[Trial, Mapping[str, NDArray[np.uint8]]], None] = lambda trial, frames: None,
) -> Measured:
    """Score every method on every trial; ``show`` gets each trial's frames as well, for a video."""
    measured, areas = Measured(), MovingAreas()
    for trial in trials:
        frames = frames_by_method(trial, methods)
        moving = areas(trial.window.frames[-1], trial.truth)
        measured.scores += score_trial(trial, frames, metrics, moving)
        measured.periods_ns.append(trial.window.period_ns)
        measured.moving.append(moving.mean((1, 2)))
        measured.phases.add(trial.phase)
        if trial.latency_ms is not None:
            measured.latencies_ms.append(trial.latency_ms)
        show(trial, frames)
    return measured


def score_trial(
    trial: Trial, frames: Mapping[str, NDArray[np.uint8]], metrics: FrameMetrics, moving: NDArray[np.bool_]
) -> list[Score]:
    """K scores for each method. ``moving`` are the masks KxHxW of what moves."""
    stamp = trial.window.stamps_ns[-1]
    return [
        Score(trial.index, stamp, step, method, **values)
        for method, predicted in frames.items()
        for step, values in enumerate(metrics(predicted, trial.truth, moving), start=1)
    ]


def horizons(scores: Sequence[Score], period_s: float, reasons: Mapping[str, str]) -> list[dict[str, Any]]:
    """The ``horizons`` of metrics.json: means over windows; null, with ``<metric>_reason``, where there is none.

    The mean of a metric of moving areas goes over the windows in which something moves: ``windows_moving`` of them.
    """
    table = []
    for step in sorted({score.step for score in scores}):
        here = [score for score in scores if score.step == step]
        methods: dict[str, dict[str, Any]] = {}
        for method in dict.fromkeys(score.method for score in scores):
            mine = [score for score in here if score.method == method]
            methods[method] = {}
            for metric in METRICS:
                values = [v for v in (getattr(score, metric) for score in mine) if v is not None]
                methods[method][metric] = float(np.mean(values)) if values else None
                if not values:
                    methods[method][f"{metric}_reason"] = _reason(metric, reasons)
        moving = {score.window for score in here if score.ssim_moving is not None}
        seconds = round(step * period_s, 6)
        table.append({"step": step, "seconds": seconds, "windows_moving": len(moving), "methods": methods})
    return table


def _reason(metric: str, reasons: Mapping[str, str]) -> str:
    return reasons.get(metric, NOTHING_MOVES if metric in MOVING else "no window was scored")


def best_method(methods: Mapping[str, Mapping[str, Any]], metric: str) -> str | None:
    """The method that wins this metric, or None when it was not computed. The predictor has to win, not to tie."""
    values = {
        name: methods[name][metric]
        for name in reversed(list(methods))
        if methods[name][metric] is not None and not sees_the_truth(name)
    }
    if not values:
        return None
    return (min if metric in LOWER_IS_BETTER else max)(values, key=values.__getitem__)


def pick_moments(scores: Sequence[Score]) -> dict[str, int]:
    """Windows to show: at the 10th, 50th and 100th percentile of the predictor's error averaged over its horizons.

    The error is LPIPS, or 1 - SSIM where there is no LPIPS.
    """
    errors: dict[int, list[float]] = {}
    for score in scores:
        if score.method == "predictor":
            errors.setdefault(score.window, []).append(1 - score.ssim if score.lpips is None else score.lpips)
    ranked = sorted(errors, key=lambda window: np.mean(errors[window]))
    last = len(ranked) - 1
    return {"good": ranked[round(0.1 * last)], "median": ranked[last // 2], "worst": ranked[last]}


def write_csv(scores: Sequence[Score], path: Path) -> None:
    """One line for each score, for whoever wants to look closer than the means."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Score)])
        writer.writeheader()
        writer.writerows(asdict(score) for score in scores)
