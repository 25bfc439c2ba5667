"""HTML pages from the templates of this folder, each one file with everything in it, and what all of them show."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import jinja2
import numpy as np
from numpy.typing import NDArray

from vidpred_ros.evaluation import plots
from vidpred_ros.evaluation.label_scores import ENOUGH_WINDOWS
from vidpred_ros.evaluation.methods import sees_the_truth
from vidpred_ros.evaluation.scores import best_method
from vidpred_ros.metrics import LOWER_IS_BETTER

#: Which method of a horizon wins a metric: ``best_method`` or ``best_label_method``.
Best = Callable[[Mapping[str, Mapping[str, Any]], str], str | None]
Horizons = Sequence[Mapping[str, Any]]

#: Of metrics of frames.
FRAME_TITLES = {
    "ssim": "SSIM",
    "psnr": "PSNR, dB",
    "lpips": "LPIPS",
    "sharpness": "Sharpness, dB",
    "ssim_moving": "SSIM, moving",
    "psnr_moving": "PSNR, moving, dB",
    "sharpness_moving": "Sharpness, moving, dB",
    "csim": "CSIM",
    "inception_score": "Inception Score",
}
FRAME_DIGITS = {metric: 1 if "dB" in title else 3 for metric, title in FRAME_TITLES.items()} | {"inception_score": 2}


def render(template: str, **values: Any) -> str:
    """The page that a template makes of ``values``; a name that the template uses and nobody gave is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vidpred_ros.evaluation", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(**values)


def data_uri(image: NDArray[np.uint8]) -> str:
    """A picture (HxWx3 RGB) inside the page.

    JPEG, a quarter of PNG's size: enlarged twice, even the halved colour planes keep every pixel of the network.
    """
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 93])
    if not ok:
        raise OSError("OpenCV could not encode a JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def method_names(model: str, methods: Sequence[str]) -> dict[str, str]:
    """What the methods are called in tables and plots."""
    return {method: model if method == "predictor" else method.replace("_", " ") for method in methods}


def ahead(horizon: Mapping[str, Any]) -> str:
    """When a horizon is."""
    return f"+{horizon['seconds']:.2g} s"


def moments(strips: Mapping[str, NDArray[np.uint8]], windows: int) -> list[dict[str, str]]:
    """The filmstrips of the moments median, good and worst (those that there are), and in words which of ``windows`` they are."""
    few = windows < ENOUGH_WINDOWS
    told = {
        "median": ("A typical moment", f"The middle one of only {windows}" if few else "Half of the windows are predicted better, half worse"),
        "good": ("A good moment", f"Among the better of only {windows}" if few else "One window in ten is predicted at least this well"),
        "worst": ("The worst moment", "No window is predicted worse"),
    }
    return [
        {"title": title, "meaning": meaning, "picture": data_uri(strips[name])}
        for name, (title, meaning) in told.items()
        if name in strips
    ]


def headline(horizons: Horizons, metric: str, title: str, digits: int, names: Mapping[str, str], best: Best) -> tuple[str, str]:
    """The predictor's figure at the first horizon that has one; in words the baselines' there, and where it is the best.

    ``title`` may end with a unit: "PSNR, dB".
    """
    title, _, unit = title.partition(", ")
    known = [horizon for horizon in horizons if horizon["methods"]["predictor"][metric] is not None]
    if not known:
        return "n/a", f"{title}: not computed"
    methods = known[0]["methods"]
    others = [
        f"{name} {methods[method][metric]:.{digits}f}"
        for method, name in names.items()
        if method != "predictor" and not sees_the_truth(method) and methods[method][metric] is not None
    ]
    won = [ahead(horizon) for horizon in known if best(horizon["methods"], metric) == "predictor"]
    where = "every horizon" if len(won) == len(known) else ", ".join(won) or "no horizon"
    return f"{methods['predictor'][metric]:.{digits}f} {unit}".strip(), f"{title} at {ahead(known[0])} ({', '.join(others)}), best at {where}"


def score_block(
    horizons: Horizons,
    metric: str,
    title: str,
    names: Mapping[str, str],
    best: Best,
    cell: Callable[[Mapping[str, Any], str], str],
    curve: bool = True,
) -> dict[str, Any]:
    """One metric for the macro ``score_blocks``: a curve where there are values, and a row of cells for each horizon.

    ``cell`` writes the value of a horizon and a method.
    """
    winners = [best(horizon["methods"], metric) for horizon in horizons]
    return {
        "title": title,
        "arrow": f"{'lower' if metric in LOWER_IS_BETTER else 'higher'} is better",
        "curve": plots.horizon_curve(horizons, metric, names) if curve else None,
        "methods": list(names.values()),
        "rows": [
            (ahead(horizon), [(cell(horizon, method), method == "predictor", method == winner) for method in names])
            for horizon, winner in zip(horizons, winners, strict=True)
        ],
        "missing": missing(horizons, metric, title),
    }


def frame_block(horizons: Horizons, metric: str, names: Mapping[str, str], curve: bool = False) -> dict[str, Any]:
    """``score_block`` of one of FRAME_TITLES."""

    def cell(horizon: Mapping[str, Any], method: str) -> str:
        value = horizon["methods"][method][metric]
        return "n/a" if value is None else f"{value:.{FRAME_DIGITS[metric]}f}"

    return score_block(horizons, metric, FRAME_TITLES[metric], names, best_method, cell, curve)


def missing(horizons: Horizons, metric: str, title: str) -> str:
    """Where the predictor's metric is null, and why; empty if it is nowhere."""
    gaps = [horizon for horizon in horizons if horizon["methods"]["predictor"][metric] is None]
    if not gaps:
        return ""
    where = "" if len(gaps) == len(horizons) else " at " + ", ".join(map(ahead, gaps))
    return f"{title} is missing{where}: {gaps[0]['methods']['predictor'][f'{metric}_reason']}"
