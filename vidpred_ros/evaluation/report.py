"""report.html: one self-contained page with pictures, scores, speed, protocol and how to run it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.evaluation import plots
from vidpred_ros.evaluation.label_run import LabelResults
from vidpred_ros.evaluation.label_scores import ENOUGH_WINDOWS
from vidpred_ros.evaluation.labels_report import label_section
from vidpred_ros.evaluation.methods import sees_the_truth
from vidpred_ros.evaluation.pages import (
    FRAME_DIGITS,
    FRAME_TITLES,
    ahead,
    frame_block,
    headline,
    method_names,
    moments,
    render,
)
from vidpred_ros.evaluation.perceptual import BY_HORIZON
from vidpred_ros.evaluation.scores import METRICS, Score, best_method
from vidpred_ros.metrics import HEADLINE


def write_report(
    results: Mapping[str, Any],
    scores: Sequence[Score],
    strips: Mapping[str, NDArray[np.uint8]],
    path: Path,
    labels: LabelResults | None = None,
) -> None:
    """Write the page. ``strips`` holds the filmstrips (uint8 RGB) of the moments good, median and worst."""
    horizons, spread, motion = results["horizons"], results["distribution"], results["motion_bins"]["bins"]
    methods = [name for name, one in horizons[0]["methods"].items() if one["ssim"] is not None]
    names = method_names(results["model"], methods)

    page = render(
        "report.html.jinja",
        results=results,
        labels=None if labels is None else label_section(labels),
        names=names,
        oracle_names=[names[method] for method in methods if sees_the_truth(method)],
        headlines=[headline(horizons, m, FRAME_TITLES[m], FRAME_DIGITS[m], names, best_method) for m in HEADLINE],
        few=results["protocol"]["windows"] < ENOUGH_WINDOWS,
        slow=slower_than_the_camera(results),
        scores=[frame_block(horizons, metric, names, curve=True) for metric in HEADLINE],
        details=[frame_block(horizons, metric, names) for metric in METRICS if metric not in HEADLINE],
        features=[frame_block(horizons, metric, names) for metric in BY_HORIZON] if "videos" in results else [],
        moments=moments(strips, results["protocol"]["windows"]),
        motion=None if motion is None else plots.motion_curve(motion, names),
        spread=None if spread["counts"] is None else plots.distribution_curve(spread, names, ahead(horizons[spread["step"] - 1])),
        spread_when=ahead(horizons[spread["step"] - 1]),
        drive=_drive(scores, names, ahead(horizons[0])),
    )
    path.write_text(page)


def slower_than_the_camera(results: Mapping[str, Any]) -> str:
    """Of a live run that left windows out because the predictor was busy: what that was due to; empty for any other run."""
    if not results.get("transport", {}).get("windows_skipped"):
        return ""
    latency, period = results["latency_ms"], 1e3 * results["protocol"]["period_s"]
    times = latency["stages"].get("predict", latency)
    if times["median"] is None or times["median"] <= period:
        return "windows skipped: now and then the predictor was still busy"
    return f"windows skipped, slower than real time: a forecast takes {times['median']:.0f} ms, and one is due every {period:.0f} ms"


def _drive(scores: Sequence[Score], names: Mapping[str, str], when: str) -> str:
    """The first horizon's LPIPS (SSIM where there is none) along the drive."""
    metric = "ssim" if scores[0].lpips is None else "lpips"
    first = sorted((score for score in scores if score.step == 1), key=lambda score: score.stamp_ns)
    start = first[0].stamp_ns
    stamps = [(score.stamp_ns - start) / 1e9 for score in first if score.method == "predictor"]
    values = {method: [getattr(s, metric) for s in first if s.method == method] for method in reversed(list(names))}
    return plots.score_over_time(stamps, values, f"{FRAME_TITLES[metric]} at {when}", names)
