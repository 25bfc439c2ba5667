"""report.html: one self-contained page with pictures, scores, speed, protocol and how to get the same numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.evaluation import plots
from vidpred_ros.evaluation.label_run import LabelResults
from vidpred_ros.evaluation.labels_report import label_section
from vidpred_ros.evaluation.methods import sees_the_truth
from vidpred_ros.evaluation.pages import data_uri, render
from vidpred_ros.evaluation.perceptual import BY_HORIZON
from vidpred_ros.evaluation.scores import METRICS, Score, best_method
from vidpred_ros.metrics import HEADLINE, LOWER_IS_BETTER

TITLES = {
    "ssim": "SSIM",
    "psnr": "PSNR, dB",
    "lpips": "LPIPS",
    "sharpness": "sharpness, dB",
    "ssim_moving": "SSIM, moving",
    "psnr_moving": "PSNR, moving, dB",
    "sharpness_moving": "sharpness, moving, dB",
}
TITLES |= {"csim": "CSIM", "inception_score": "Inception Score"}
SHOWN = (*METRICS, *BY_HORIZON)
DIGITS = {metric: 3 if metric in ("ssim", "lpips", "ssim_moving", "csim") else 1 for metric in SHOWN}
DIGITS["inception_score"] = 2
ARROWS = {metric: f"{'lower' if metric in LOWER_IS_BETTER else 'higher'} is better" for metric in SHOWN}
MOMENTS = {
    "median": ("A typical moment", "half of the windows are predicted better than this one, half worse"),
    "good": ("A good moment", "one window in ten is predicted at least this well"),
    "worst": ("The worst moment", "no window of the drive is predicted worse"),
}


def write_report(
    results: Mapping[str, Any],
    scores: Sequence[Score],
    strips: Mapping[str, NDArray[np.uint8]],
    path: Path,
    labels: LabelResults | None = None,
) -> None:
    """Write the page. ``strips`` holds the filmstrips (uint8 RGB) of the moments good, median and worst."""
    methods = [name for name, one in results["horizons"][0]["methods"].items() if one["ssim"] is not None]
    names = method_names(results["model"], methods)
    page = render(
        "report.html.jinja",
        results=results,
        labels=None if labels is None else label_section(labels),
        names=names,
        tables=[
            [(metric, TITLES[metric], ARROWS[metric]) for metric in group]
            for group in (HEADLINE, [metric for metric in METRICS if metric not in HEADLINE], BY_HORIZON)
        ],
        methods=methods,
        oracles=[names[method] for method in methods if sees_the_truth(method)],
        cell=_cell,
        wins={
            (horizon["step"], metric): best_method(horizon["methods"], metric)
            for horizon in results["horizons"]
            for metric in (SHOWN if "videos" in results else METRICS)
        },
        verdicts=verdicts(results["horizons"]),
        moments=[
            {"title": title, "meaning": meaning, "picture": data_uri(strips[name])}
            for name, (title, meaning) in MOMENTS.items()
        ],
        curves=[
            (TITLES[metric], ARROWS[metric], plots.horizon_curve(results["horizons"], metric, names))
            for metric in HEADLINE
        ],
        motion=None if results["motion_bins"]["bins"] is None else plots.motion_curve(results["motion_bins"]["bins"], names),
        spread=None if results["distribution"]["counts"] is None else plots.distribution_curve(results["distribution"], names),
        drive=_drive(scores, names),
    )
    path.write_text(page)


def method_names(model: str, methods: Sequence[str]) -> dict[str, str]:
    """What the methods are called in tables and plots."""
    return {method: model if method == "predictor" else method.replace("_", " ") for method in methods}


def verdicts(horizons: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """For each metric, in words, at how many horizons the predictor beats both baselines."""
    lines = []
    for metric in HEADLINE:
        ahead = [
            f"+{h['seconds']:.2g} s" for h in horizons if best_method(h["methods"], metric) == "predictor"
        ]
        if best_method(horizons[0]["methods"], metric) is None:
            where = "not computed"
        elif not ahead:
            where = "at no horizon"
        else:
            where = "at every horizon" if len(ahead) == len(horizons) else "at " + ", ".join(ahead)
        lines.append((TITLES[metric].split(",")[0], where))
    return lines


def _cell(methods: Mapping[str, Mapping[str, Any]], method: str, metric: str) -> str:
    value = methods[method][metric]
    return "n/a" if value is None else f"{value:.{DIGITS[metric]}f}"


def _drive(scores: Sequence[Score], names: Mapping[str, str]) -> str:
    """The first horizon's LPIPS (SSIM where there is none) along the drive."""
    metric = "ssim" if scores[0].lpips is None else "lpips"
    first = sorted((score for score in scores if score.step == 1), key=lambda score: score.stamp_ns)
    start = first[0].stamp_ns
    stamps = [(score.stamp_ns - start) / 1e9 for score in first if score.method == "predictor"]
    values = {
        method: [getattr(s, metric) for s in first if s.method == method] for method in reversed(list(names))
    }
    return plots.score_over_time(stamps, values, f"{TITLES[metric]} at step 1", names)
