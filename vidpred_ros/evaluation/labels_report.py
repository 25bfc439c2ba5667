"""What the report says about label futures: a section of report.html, or a page of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidpred_ros.evaluation import plots
from vidpred_ros.evaluation.label_run import LabelResults
from vidpred_ros.evaluation.label_scores import LABEL_METRICS, best_label_method
from vidpred_ros.evaluation.methods import CEILING, sees_the_truth
from vidpred_ros.evaluation.pages import data_uri, render
from vidpred_ros.semantics import CLASS_NAMES, PALETTE

TITLES = {"miou": "mIoU", "miou_moving": "mIoU of what moves"}
MOMENTS = {
    "median": ("A typical moment", "half of the windows are predicted better than this one, half worse"),
    "good": ("A good moment", "one window in ten is predicted at least this well"),
    "worst": ("The worst moment", "no window is predicted worse"),
}


def label_section(labels: LabelResults) -> dict[str, Any]:
    """What the templates labels.html.jinja and labels_only.html.jinja want to know."""
    horizons = labels.horizons
    methods = list(horizons[0]["methods"])
    names = label_names(labels.about["model"], methods)
    ends = [horizons[0], horizons[-1]] if len(horizons) > 1 else horizons
    present = {name for horizon in ends for name in horizon["methods"]["predictor"]["iou"]}
    return {
        "about": labels.about,
        "horizons": horizons,
        "methods": methods,
        "names": names,
        "oracles": [names[method] for method in methods if sees_the_truth(method) and method != CEILING],
        "metrics": list(TITLES.items()),
        "wins": {(h["step"], metric): best_label_method(h["methods"], metric) for h in horizons for metric in LABEL_METRICS},
        "cell": label_cell,
        "missing": missing(horizons),
        "won": won(horizons, names),
        "verdicts": label_verdicts(horizons),
        "kept": [
            (f"+{h['seconds']:.2g} s", f"{h['methods']['predictor']['kept']['miou']:.0f} %")
            for h in ends
            if h["methods"]["predictor"]["kept"]["miou"] is not None
        ],
        "moments": [
            {"title": title, "meaning": meaning, "picture": data_uri(labels.strips[name])}
            for name, (title, meaning) in MOMENTS.items()
            if name in labels.strips
        ],
        "curves": [(title, plots.horizon_curve(horizons, metric, names)) for metric, title in TITLES.items()],
        "class_title": " and ".join(f"+{h['seconds']:.2g} s" for h in ends) + " ahead",
        "class_horizons": ends,
        "classes": [
            (name, "rgb({}, {}, {})".format(*PALETTE[c])) for c, name in enumerate(CLASS_NAMES) if name in present
        ],
        "iou": class_iou,
    }


def write_labels_page(results: Mapping[str, Any], labels: LabelResults, path: Path) -> None:
    """The page of an evaluation that has label maps only; ``results``: metrics.json's content."""
    path.write_text(render("labels_only.html.jinja", results=results, labels=label_section(labels)))


def label_names(model: str, methods: Sequence[str]) -> dict[str, str]:
    """What the methods are called in tables and plots."""
    return {method: model if method == "predictor" else method.replace("_", " ") for method in methods}


def label_verdicts(horizons: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """For each metric, in words, at how many horizons the predictor beats both baselines."""
    lines = []
    for metric, title in TITLES.items():
        winners = {f"+{h['seconds']:.2g} s": best_label_method(h["methods"], metric) for h in horizons}
        ahead = [when for when, winner in winners.items() if winner == "predictor"]
        if all(winner is None for winner in winners.values()):
            where = "not computed"
        elif len(ahead) == len(winners):
            where = "at every horizon"
        else:
            where = "at " + ", ".join(ahead) if ahead else "at no horizon"
        lines.append((title, where))
    return lines


def won(horizons: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> list[str]:
    """In how many of the windows the predictor is better than each baseline, at the first and the last horizon."""
    lines = []
    for horizon in [horizons[0], horizons[-1]] if len(horizons) > 1 else horizons:
        shares = [f"{names[b]} in {100 * s:.0f} %" for b, s in horizon["windows_won"]["miou"].items() if s is not None]
        if shares:
            lines.append(f"At +{horizon['seconds']:.2g} s {names['predictor']} is better than {', than '.join(shares)} of the windows.")
    return lines


def label_cell(method: Mapping[str, Any], metric: str) -> str:
    """One value with its spread."""
    value = method[metric]
    if value is None:
        return "n/a"
    spread = method["spread"][metric]
    return f"{value:.3f}" if spread is None else f"{value:.3f} ± {spread:.3f}"


def class_iou(horizon: Mapping[str, Any], method: str, name: str) -> str:
    value = horizon["methods"][method]["iou"].get(name)
    return "n/a" if value is None else f"{value:.3f}"


def missing(horizons: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why a metric is null, where one is."""
    found = []
    for metric, title in TITLES.items():
        gaps = [h for h in horizons if h["methods"]["predictor"][metric] is None]
        if gaps:
            where = ", ".join(f"+{h['seconds']:.2g} s" for h in gaps)
            found.append(f"{title} is missing at {where}: {gaps[0]['methods']['predictor'][f'{metric}_reason']}")
    return found
