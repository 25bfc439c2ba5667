"""Scores of label futures: one confusion matrix for each method and step, and IoUs of single windows for their spread."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.evaluation.label_trials import LabelTrial, StructureLane
from vidpred_ros.evaluation.methods import SEGMENTER, sees_the_truth
from vidpred_ros.metrics.segmentation import LABEL_DEFINITIONS, ConfusionMatrix
from vidpred_ros.predictors import BASELINES
from vidpred_ros.semantics import CLASS_NAMES, MOVING

LABEL_METRICS = tuple(LABEL_DEFINITIONS)
REASONS = {
    "miou": "no label map of this step has a class to score",
    "miou_moving": "no class that moves by itself occurs in the truth: " + ", ".join(CLASS_NAMES[c] for c in MOVING),
}
#: Against whose label maps the scores are.
TRUTHS = {"source": "the source's own labels", "segmenter": "the segmenter's own label maps"}
#: How a source came by its labels (``Source.label_kind``).
KINDS = {"labels": "shipped with the data", "pseudo": "made by a network", "exact": "rendered with the frames"}
#: Windows from which on their spread, or a share of them, says something.
ENOUGH_WINDOWS = 10

#: K label maps (KxHxW uint8) of one method for a trial.
LabelMethod = Callable[[LabelTrial], NDArray[np.uint8]]


@dataclass(frozen=True)
class LabelScore:
    """IoUs of one predicted label map; None where the truth has no such class."""

    window: int
    stamp_ns: int  # newest frame of the window
    step: int
    method: str
    miou: float | None
    miou_moving: float | None


@dataclass
class LabelMeasured:
    """What a run over all label trials gave."""

    matrices: dict[tuple[int, str], ConfusionMatrix] = field(default_factory=dict)  # by step and method
    scores: list[LabelScore] = field(default_factory=list)
    periods_ns: list[int] = field(default_factory=list)  # of each window
    latencies_ms: list[float] = field(default_factory=list)
    phases: set[int] = field(default_factory=set)

    @property
    def windows(self) -> int:
        return len(self.periods_ns)

    @property
    def period_s(self) -> float:
        return float(np.median(self.periods_ns)) / 1e9


def truth_name(truth: str, kind: str | None) -> str:
    """Against whose label maps the scores are, and how the source came by them."""
    return TRUTHS[truth] if kind is None else f"{TRUTHS[truth]} ({KINDS[kind]})"


def label_methods(lane: StructureLane) -> dict[str, LabelMethod]:
    """The predictor, the best of its samples if the lane asks for it, the baselines, and the segmenter."""
    methods: dict[str, LabelMethod] = {"predictor": lambda trial: trial.predicted}
    if lane.best_of:
        methods[f"best_of_{lane.best_of}"] = best_sample
    for name, baseline in lane.baselines().items():
        methods[name] = _of(baseline)
    return methods | {SEGMENTER: lambda trial: np.stack(trial.segmented)}


def best_sample(trial: LabelTrial) -> NDArray[np.uint8]:
    """The sampled future KxHxW with the best mIoU, averaged over the steps (Lee 2021, appendix A).

    It is chosen with the truth in hand, so it tells how far the samples reach and not how good one forecast is. A
    predictor that draws none has one future.
    """
    if trial.forecast.samples is None:
        return trial.predicted
    return max(trial.forecast.samples, key=lambda maps: _mean_miou(trial, maps))


def _mean_miou(trial: LabelTrial, maps: NDArray[np.uint8]) -> float:
    values = []
    for labels, truth in zip(maps, trial.truth, strict=True):
        if truth is not None:
            matrix = ConfusionMatrix()
            matrix.update(truth, labels)
            values.append(matrix.miou())
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else 0.0


def measure_labels(
    trials: Iterable[LabelTrial],
    methods: Mapping[str, LabelMethod],
    show: Callable[[LabelTrial, Mapping[str, NDArray[np.uint8]]], None] = lambda trial, maps: None,
) -> LabelMeasured:
    """Score every method on every trial; ``show`` gets each trial's label maps as well, for a video."""
    measured = LabelMeasured()
    for trial in trials:
        maps = {name: method(trial) for name, method in methods.items()}
        stamp = trial.window.stamps_ns[-1]
        for step in trial.steps:
            truth = trial.truth[step - 1]
            assert truth is not None  # that is what makes it one of the steps
            for method, predicted in maps.items():
                matrix = ConfusionMatrix()
                matrix.update(truth, predicted[step - 1])
                known = measured.matrices.setdefault((step, method), ConfusionMatrix())
                measured.matrices[step, method] = known + matrix
                measured.scores.append(LabelScore(trial.index, stamp, step, method, **matrix.scores()))
        measured.periods_ns.append(trial.window.period_ns)
        measured.phases.add(trial.phase)
        if trial.latency_ms is not None:
            measured.latencies_ms.append(trial.latency_ms)
        show(trial, maps)
    return measured


def label_horizons(measured: LabelMeasured) -> list[dict[str, Any]]:
    """For each step that was scored: seconds, windows, ``windows_won`` (in which share of them the predictor is better than each
    baseline, by metric, ties being half a win), and for each method

    ``miou`` and ``miou_moving`` (null, with ``<metric>_reason``); ``spread``: the standard deviation of each over windows
    (of a sample; null for one window); ``kept``: each in per cent of the segmenter's; ``iou``: of each class that occurs.
    """
    table = []
    for step in sorted({step for step, _ in measured.matrices}):
        methods = {method: matrix for (k, method), matrix in measured.matrices.items() if k == step}
        here = [score for score in measured.scores if score.step == step]
        segmenter = methods[SEGMENTER].scores() if SEGMENTER in methods else dict.fromkeys(LABEL_METRICS)
        table.append(
            {
                "step": step,
                "seconds": round(step * measured.period_s, 6),
                "windows_labelled": len({score.window for score in here}),
                "windows_won": _won(here),
                "methods": {
                    name: _summary(matrix, [score for score in here if score.method == name], segmenter)
                    for name, matrix in methods.items()
                },
            }
        )
    return table


def _summary(
    matrix: ConfusionMatrix, scores: list[LabelScore], segmenter: Mapping[str, float | None]
) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    values = matrix.scores()
    for metric, value in values.items():
        summary[metric] = value
        if value is None:
            summary[f"{metric}_reason"] = REASONS[metric]
    summary["spread"] = {metric: _deviation([getattr(s, metric) for s in scores]) for metric in values}
    summary["kept"] = {metric: _percent(value, segmenter[metric]) for metric, value in values.items()}
    iou, occurs = matrix.iou(), matrix.occurs
    summary["iou"] = {CLASS_NAMES[c]: float(iou[c]) for c in range(matrix.classes) if occurs[c]}
    return summary


def _won(scores: list[LabelScore]) -> dict[str, dict[str, float | None]]:
    """The predictor's share of windows against each baseline that was scored; None where no window has a value."""
    by_method: dict[str, dict[int, LabelScore]] = {}
    for score in scores:
        by_method.setdefault(score.method, {})[score.window] = score
    ours = by_method.get("predictor", {})
    won: dict[str, dict[str, float | None]] = {}
    for metric in LABEL_METRICS:
        won[metric] = {}
        for baseline in (name for name in BASELINES if name in by_method):
            gaps = [
                getattr(score, metric) - getattr(by_method[baseline][window], metric)
                for window, score in ours.items()
                if getattr(score, metric) is not None
            ]
            won[metric][baseline] = float(np.mean((np.sign(gaps) + 1) / 2)) if gaps else None
    return won


def _deviation(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.std(known, ddof=1)) if len(known) > 1 else None


def _percent(value: float | None, whole: float | None) -> float | None:
    return None if value is None or not whole else 100 * value / whole


def best_label_method(methods: Mapping[str, Mapping[str, Any]], metric: str) -> str | None:
    """The method that wins this metric: the predictor has to win, not to tie; what sees the truth cannot."""
    values = {
        name: one[metric]
        for name, one in reversed(list(methods.items()))
        if one.get(metric) is not None and not sees_the_truth(name)
    }
    return max(values, key=values.__getitem__) if values else None


def pick_label_moments(scores: Iterable[LabelScore]) -> dict[str, int]:
    """Windows to show: at the 10th, 50th and 100th percentile of the predictor's mIoU averaged over its steps, best first."""
    by_window: dict[int, list[float]] = {}
    for score in scores:
        if score.method == "predictor" and score.miou is not None:
            by_window.setdefault(score.window, []).append(score.miou)
    ranked = sorted(by_window, key=lambda window: -np.mean(by_window[window]))
    last = len(ranked) - 1
    return {"good": ranked[round(0.1 * last)], "median": ranked[last // 2], "worst": ranked[last]} if ranked else {}


def write_label_csv(scores: Iterable[LabelScore], path: Path) -> None:
    """One line for each window, step and method."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(LabelScore)])
        writer.writeheader()
        writer.writerows(asdict(score) for score in scores)


def _of(baseline: Any) -> LabelMethod:
    return lambda trial: np.stack([h.labels for h in baseline.predict(trial.window, trial.labels).horizons])
