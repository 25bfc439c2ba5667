"""Filmstrips of label futures: the camera, what happened, what was predicted, and how sure the predictor was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vidpred_ros.evaluation.filmstrip import (
    LABEL_WIDTH,
    PAPER,
    TITLES,
    StripRow,
    colour_scale,
    draw_rows,
    scale_bar,
)
from vidpred_ros.evaluation.label_scores import LabelScore
from vidpred_ros.evaluation.label_trials import LabelTrial
from vidpred_ros.evaluation.legend import class_legend
from vidpred_ros.preprocess import resize
from vidpred_ros.semantics import CLASS_NAMES, IGNORE, colorize

#: In the order of the tables; the best of N samples, where there is one, is not shown.
METHODS = ("predictor", "copy_last", "optical_flow", "segmenter")
#: Nats at which the uncertainty's colours end, the same in every picture: between four classes that are equally likely
#: (1.39) and five.
ENTROPY_END = 1.5
BLANK = 236
#: Share of all pixels from which on a class is in the legend.
STRAY = 1e-4


def entropy_map(entropy: NDArray[np.float32]) -> NDArray[np.uint8]:
    """HxW nats as HxWx3 RGB in viridis, whose lightness grows evenly: dark is certain, yellow is ENTROPY_END or more."""
    return colour_scale(entropy, ENTROPY_END, cv2.COLORMAP_VIRIDIS)


def draw_label_strip(
    trial: LabelTrial,
    maps: Mapping[str, NDArray[np.uint8]],
    scores: Sequence[LabelScore],
    model: str,
    painted: StripRow | None = None,
) -> NDArray[np.uint8]:
    """One picture (uint8 RGB): camera, truth, each of METHODS that there is, uncertainty; a column for each of the K futures.

    ``maps``: KxHxW label maps of each method; ``scores``: of this trial; ``painted``: frames, to stand below the camera's.
    A legend of the classes is below.
    """
    steps = range(1, len(trial.frames) + 1)
    strip = draw_rows(_rows(trial, maps, scores, model, painted), [f"+{k * trial.window.period_ns / 1e9:.2g} s" for k in steps])
    legend = class_legend(_classes(trial, maps), strip.shape[1] - LABEL_WIDTH)
    margin = np.full((len(legend), LABEL_WIDTH, 3), PAPER, np.uint8)
    return np.concatenate([strip, np.concatenate([margin, legend], axis=1)])


def _rows(
    trial: LabelTrial,
    maps: Mapping[str, NDArray[np.uint8]],
    scores: Sequence[LabelScore],
    model: str,
    painted: StripRow | None,
) -> list[StripRow]:
    size = trial.labels[-1].shape[:2]
    captions = {(score.method, score.step): _caption(score) for score in scores}
    details = {"predictor": f"{model}\nfrom this map", "segmenter": "sees the true frame"}
    rows = [
        StripRow("camera", [resize(frame, size) for frame in trial.frames], detail="now", aside=trial.window.frames[-1]),
        *([] if painted is None else [painted]),
        StripRow("labels then", [None if labels is None else _coloured(labels) for labels in trial.truth]),
    ]
    for name in (name for name in METHODS if name in maps):
        pictures = [_coloured(labels) for labels in maps[name]]
        below = [captions.get((name, k), "") for k in range(1, len(pictures) + 1)]
        context = _coloured(trial.labels[-1]) if name == "predictor" else None
        rows.append(StripRow(TITLES[name], pictures, below, details.get(name, ""), context))
    entropies = [horizon.entropy for horizon in trial.forecast.horizons]
    bar, ends = scale_bar(ENTROPY_END, cv2.COLORMAP_VIRIDIS), f"0 to {ENTROPY_END:g} nats"
    if any(entropy is not None for entropy in entropies):
        rows.append(StripRow("uncertainty", [None if e is None else entropy_map(e) for e in entropies], (), ends, bar))
    elif trial.uncertainty is not None:
        rows.append(StripRow("uncertainty,\nmean of all", [entropy_map(trial.uncertainty)], (), ends, bar))
    return rows


def _coloured(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cityscapes' colours; pale grey where there is no label."""
    picture = colorize(labels)
    picture[labels == IGNORE] = BLANK
    return picture


def _classes(trial: LabelTrial, maps: Mapping[str, NDArray[np.uint8]]) -> list[int]:
    """Ids of the classes that are to be seen in the strip, stray pixels aside."""
    shown = [trial.labels[-1], *(labels for labels in trial.truth if labels is not None), *maps.values()]
    pixels = np.sum([np.bincount(labels.ravel(), minlength=256) for labels in shown], axis=0)
    return [c for c in range(len(CLASS_NAMES)) if pixels[c] > STRAY * pixels.sum()]


def _caption(score: LabelScore) -> str:
    if score.miou is None:
        return ""
    text = f"mIoU {score.miou:.2f}"
    return text if score.miou_moving is None else f"{text}    moving {score.miou_moving:.2f}"
