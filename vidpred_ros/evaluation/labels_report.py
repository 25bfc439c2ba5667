"""What the report says about label futures: a section of report.html, or a page of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidpred_ros.evaluation.label_run import LabelResults
from vidpred_ros.evaluation.label_scores import ENOUGH_WINDOWS, best_label_method
from vidpred_ros.evaluation.methods import SEGMENTER, sees_the_truth
from vidpred_ros.evaluation.pages import (
    ahead,
    frame_block,
    headline,
    method_names,
    moments,
    render,
    score_block,
)
from vidpred_ros.evaluation.perceptual import BY_HORIZON
from vidpred_ros.metrics import HEADLINE
from vidpred_ros.semantics import CLASS_NAMES, PALETTE

TITLES = {"miou": "mIoU", "miou_moving": "mIoU of what moves"}


def label_section(labels: LabelResults) -> dict[str, Any]:
    """What the templates labels.html.jinja and labels_only.html.jinja want to know."""
    horizons = labels.horizons
    methods = list(horizons[0]["methods"])
    names = method_names(labels.about["model"], methods)
    ends = [horizons[0], horizons[-1]] if len(horizons) > 1 else horizons
    enough = labels.about["windows"] >= ENOUGH_WINDOWS
    return {
        "about": labels.about,
        "enough": enough,
        "segmenter": SEGMENTER in methods,
        "oracles": [names[method] for method in methods if sees_the_truth(method) and method != SEGMENTER],
        "headlines": [headline(horizons, metric, title, 3, names, best_label_method) for metric, title in TITLES.items()],
        "scores": [
            score_block(horizons, metric, title, names, best_label_method, lambda *one, m=metric: label_cell(m, *one))
            for metric, title in TITLES.items()
        ],
        "kept": [
            (f"{h['methods']['predictor']['kept']['miou']:.0f} %", ahead(h))
            for h in ends
            if enough and h["methods"]["predictor"]["kept"]["miou"] is not None
        ],
        "won": won(ends, names),
        "moments": moments(labels.strips, labels.about["windows"]),
        "classes": [class_table(horizon, names) for horizon in ends],
        "painted": None if labels.painted is None else painted_section(labels.painted, labels.about["model"]),
    }


def painted_section(painted: Mapping[str, Any], structure: str) -> dict[str, Any]:
    """The frames painted on the label maps."""
    methods = list(painted["horizons"][0]["methods"])
    names = method_names(structure, methods)
    metrics = [*HEADLINE, *(BY_HORIZON if "videos" in painted else ())]
    return {
        "about": painted,
        "names": names,
        "oracles": [names[method] for method in methods if sees_the_truth(method) and method != SEGMENTER],
        "scores": [frame_block(painted["horizons"], metric, names, curve=True) for metric in metrics],
    }


def write_labels_page(results: Mapping[str, Any], labels: LabelResults, path: Path) -> None:
    """The page of an evaluation that has label maps only; ``results``: metrics.json's content."""
    path.write_text(render("labels_only.html.jinja", results=results, labels=label_section(labels)))


def won(horizons: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> list[str]:
    """In how many of the windows the predictor is better than each baseline, where there are enough of them."""
    lines = []
    for horizon in (h for h in horizons if h["windows_labelled"] >= ENOUGH_WINDOWS):
        shares = [f"{names[b]} in {100 * s:.0f} %" for b, s in horizon["windows_won"]["miou"].items() if s is not None]
        if shares:
            lines.append(f"At {ahead(horizon)} {names['predictor']} is better than {', than '.join(shares)} of the windows.")
    return lines


def label_cell(metric: str, horizon: Mapping[str, Any], method: str) -> str:
    """One value, with its spread where there are enough windows."""
    scores = horizon["methods"][method]
    value, spread = scores[metric], scores["spread"][metric]
    if value is None:
        return "n/a"
    few = spread is None or horizon["windows_labelled"] < ENOUGH_WINDOWS
    return f"{value:.3f}" if few else f"{value:.3f} ± {spread:.3f}"


def class_table(horizon: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """IoU of each class that occurs, with its colour."""
    iou = {method: horizon["methods"][method]["iou"] for method in names}
    present = [c for c, name in enumerate(CLASS_NAMES) if name in iou["predictor"]]
    return {
        "when": ahead(horizon),
        "methods": list(names.values()),
        "rows": [
            (
                CLASS_NAMES[c],
                "rgb({}, {}, {})".format(*PALETTE[c]),
                [f"{one[CLASS_NAMES[c]]:.3f}" if CLASS_NAMES[c] in one else "n/a" for one in iou.values()],
            )
            for c in present
        ],
    }
