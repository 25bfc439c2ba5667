"""Scores of trials: a row for each window, step and method, and what they come to."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.evaluation.trials import Trial, stack_frames
from vidpred_ros.metrics import DEFINITIONS, LOWER_IS_BETTER, FrameMetrics
from vidpred_ros.predictors import BASELINES, Predictor

METRICS = tuple(DEFINITIONS)
#: Every table has these columns, in this order.
METHODS = ("predictor", *BASELINES)


@dataclass(frozen=True)
class Score:
    """The metrics of one predicted frame."""

    window: int  # index of the trial
    stamp_ns: int  # newest frame of the window
    step: int
    method: str
    ssim: float
    psnr: float
    lpips: float | None


def frames_by_method(trial: Trial, baselines: Mapping[str, Predictor]) -> dict[str, NDArray[np.uint8]]:
    """KxHxWx3 frames of the predictor and of each baseline on the same window."""
    return {
        "predictor": trial.predicted,
        **{name: stack_frames(baseline.predict(trial.window)) for name, baseline in baselines.items()},
    }


def score_trial(trial: Trial, frames: Mapping[str, NDArray[np.uint8]], metrics: FrameMetrics) -> list[Score]:
    """K scores for each method."""
    stamp = trial.window.stamps_ns[-1]
    return [
        Score(trial.index, stamp, step, method, **values)
        for method, predicted in frames.items()
        for step, values in enumerate(metrics(predicted, trial.truth), start=1)
    ]


def horizons(scores: Sequence[Score], period_s: float, reasons: Mapping[str, str]) -> list[dict[str, Any]]:
    """The ``horizons`` of metrics.json: means over windows; null, with ``<metric>_reason``, where there is none."""
    table = []
    for step in sorted({score.step for score in scores}):
        methods: dict[str, dict[str, Any]] = {}
        for method in METHODS:
            here = [score for score in scores if score.step == step and score.method == method]
            means: dict[str, Any] = {}
            for metric in METRICS:
                if metric in reasons:
                    means |= {metric: None, f"{metric}_reason": reasons[metric]}
                else:
                    means[metric] = float(np.mean([getattr(score, metric) for score in here]))
            methods[method] = means
        table.append({"step": step, "seconds": round(step * period_s, 6), "methods": methods})
    return table


def best_method(methods: Mapping[str, Mapping[str, Any]], metric: str) -> str | None:
    """The method that wins this metric, or None when it was not computed. The predictor has to win, not to tie."""
    values = {name: methods[name][metric] for name in reversed(METHODS) if methods[name][metric] is not None}
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
