"""Filmstrips of label futures: the camera, what happened, what was predicted, and how sure the predictor was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vidpred_ros.evaluation.filmstrip import (
    CAPTION,
    GAP,
    GREY,
    HEADER,
    INK,
    LABEL_WIDTH,
    PAPER,
    enlarge,
    font,
)
from vidpred_ros.evaluation.label_scores import LabelScore
from vidpred_ros.evaluation.label_trials import LabelTrial
from vidpred_ros.evaluation.methods import CEILING
from vidpred_ros.preprocess import resize
from vidpred_ros.semantics import CLASS_NAMES, IGNORE, PALETTE, colorize

ROWS = {
    "camera": "camera",
    "truth": "labels then",
    "predictor": "predicted",
    "optical_flow": "optical flow",
    "copy_last": "copy last",
    CEILING: "segmenter\n(the ceiling)",
    "uncertainty": "uncertainty",
    "mean_uncertainty": "uncertainty,\nmean over\nthe steps",
}
#: Below the label map that the predictor starts from, in the column of now.
SEEN = "what it starts from"
#: Nats at which the uncertainty's colours end, the same in every picture: between four classes that are equally likely
#: (1.39) and five.
ENTROPY_END = 1.5
BLANK = 236
#: Share of all pixels from which on a class is in the legend.
STRAY = 1e-4
LEGEND_HEIGHT, LEGEND_COLUMN = 30, 165


def entropy_map(entropy: NDArray[np.float32]) -> NDArray[np.uint8]:
    """HxW nats as HxWx3 RGB in viridis, whose lightness grows evenly: dark is certain, yellow is ENTROPY_END or more."""
    levels = np.clip(entropy * (255 / ENTROPY_END), 0, 255).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)


def draw_label_strip(
    trial: LabelTrial, maps: Mapping[str, NDArray[np.uint8]], scores: Sequence[LabelScore], model: str
) -> NDArray[np.uint8]:
    """One picture (uint8 RGB): a row for each of ROWS that there is; columns now, then the K futures; a legend of classes.

    ``maps``: KxHxW label maps of each method; ``scores``: of this trial.
    """
    rows = _rows(trial, maps)
    captions = {("predictor", 0): SEEN} | {(score.method, score.step): _caption(score) for score in scores}
    first = next(image for image in rows["camera"] if image is not None)
    cell_h, cell_w = first.shape[:2]
    captioned = {name for name in rows if any((name, k) in captions for k in range(1, len(trial.frames) + 1))}
    heights = [cell_h + (CAPTION if name in captioned or "uncertainty" in name else 0) + GAP for name in rows]
    width = LABEL_WIDTH + (len(trial.frames) + 1) * (cell_w + GAP) + GAP
    present = _classes(trial, maps)
    columns = max(1, (width - LABEL_WIDTH) // LEGEND_COLUMN)
    legend = LEGEND_HEIGHT * -(-len(present) // columns) + GAP
    strip = Image.new("RGB", (width, HEADER + sum(heights) + legend + GAP), PAPER)
    draw = ImageDraw.Draw(strip)
    for k in range(len(trial.frames) + 1):
        ahead = k * trial.window.period_ns / 1e9
        draw.text((_left(k, cell_w), 8), f"+{ahead:.2g} s" if k else "now", INK, font(24))
    top = HEADER
    for (name, images), height in zip(rows.items(), heights, strict=True):
        draw.multiline_text((GAP, top + 4), ROWS[name], INK, font(22), spacing=4)
        draw.text((GAP, top + 34), model if name == "predictor" else "", GREY, font(15))
        for k, image in enumerate(images):
            if image is not None:
                strip.paste(Image.fromarray(image), (_left(k, cell_w), top))
            draw.text((_left(k, cell_w), top + cell_h + 4), captions.get((name, k), ""), GREY, font(18))
        if "uncertainty" in name:
            _draw_scale(strip, draw, _left(name == "uncertainty", cell_w), top + cell_h + 6)
        top += height
    for i, c in enumerate(present):
        x, y = LABEL_WIDTH + i % columns * LEGEND_COLUMN, top + i // columns * LEGEND_HEIGHT
        draw.rectangle((x, y + 4, x + 22, y + 22), fill=tuple(int(v) for v in PALETTE[c]))
        draw.text((x + 30, y + 2), CLASS_NAMES[c], INK, font(17))
    return np.asarray(strip)


def _rows(trial: LabelTrial, maps: Mapping[str, NDArray[np.uint8]]) -> dict[str, list[NDArray[np.uint8] | None]]:
    """The pictures of each row, now first; None: nothing to show there."""
    size = trial.labels[-1].shape[:2]
    frames = [resize(frame, size) for frame in (trial.window.frames[-1], *trial.frames)]
    truth = [labels if labels is not None else np.full(size, IGNORE, np.uint8) for labels in trial.truth]
    rows: dict[str, list[NDArray[np.uint8] | None]] = {
        "camera": [enlarge(frame) for frame in frames],
        "truth": [None, *(_coloured(labels) for labels in truth)],
    }
    for name in ROWS:
        if name in maps:
            seen = _coloured(trial.labels[-1]) if name == "predictor" else None
            rows[name] = [seen, *(_coloured(labels) for labels in maps[name])]
    entropies = [horizon.entropy for horizon in trial.forecast.horizons]
    if any(entropy is not None for entropy in entropies):
        rows["uncertainty"] = [None, *(None if e is None else enlarge(entropy_map(e)) for e in entropies)]
    elif trial.uncertainty is not None:
        rows["mean_uncertainty"] = [enlarge(entropy_map(trial.uncertainty))]
    return rows


def _coloured(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cityscapes' colours; pale grey where there is no label."""
    picture = colorize(labels)
    picture[labels == IGNORE] = BLANK
    return enlarge(picture)


def _left(column: int, cell_w: int) -> int:
    return LABEL_WIDTH + column * (cell_w + GAP)


def _classes(trial: LabelTrial, maps: Mapping[str, NDArray[np.uint8]]) -> list[int]:
    """Ids of the classes that are to be seen in the strip, stray pixels aside."""
    shown = [trial.labels[-1], *(labels for labels in trial.truth if labels is not None), *maps.values()]
    pixels = np.sum([np.bincount(labels.ravel(), minlength=256) for labels in shown], axis=0)
    return [c for c in range(len(CLASS_NAMES)) if pixels[c] > STRAY * pixels.sum()]


def _draw_scale(strip: Image.Image, draw: ImageDraw.ImageDraw, left: int, top: int) -> None:
    """The uncertainty's colours with their ends."""
    bar = entropy_map(np.tile(np.linspace(0, ENTROPY_END, 200, dtype=np.float32), (16, 1)))
    draw.text((left, top - 2), "0", GREY, font(17))
    strip.paste(Image.fromarray(bar), (left + 18, top))
    draw.text((left + 226, top - 2), f"{ENTROPY_END:g} nats", GREY, font(17))


def _caption(score: LabelScore) -> str:
    if score.miou is None:
        return ""
    text = f"mIoU {score.miou:.2f}"
    return text if score.miou_moving is None else f"{text}    moving {score.miou_moving:.2f}"
