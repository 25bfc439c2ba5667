"""Filmstrips: what happened, what was predicted, and what the baselines made of it, one column for each instant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vidpred_ros.evaluation.scores import Score
from vidpred_ros.evaluation.trials import Trial

LABELS = {
    "truth": "what happened",
    "predictor": "predicted",
    "copy_last": "copy last",
    "optical_flow": "optical flow",
    "error": "error of the\nprediction",
}
PAPER, INK, GREY = (255, 255, 255), (24, 24, 27), (113, 113, 122)
#: Frames are enlarged by whole factors, without smoothing, to about this width.
CELL_WIDTH = 320
GAP, LABEL_WIDTH, HEADER, CAPTION = 10, 185, 42, 32


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The typeface that Pillow carries, so that a strip looks the same on every machine."""
    return ImageFont.load_default(size)


def enlarge(frame: NDArray[np.uint8], width: int = CELL_WIDTH) -> NDArray[np.uint8]:
    """Repeat each pixel of an HxWx3 frame a whole number of times, to the width nearest to ``width``."""
    factor = max(1, round(width / frame.shape[1]))
    return frame.repeat(factor, axis=0).repeat(factor, axis=1)


def error_map(predicted: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mean absolute error over the channels as a heat map: black is none, white is 170 grey levels or more."""
    error = np.abs(predicted.astype(np.int16) - truth).mean(-1)
    heat = cv2.applyColorMap(np.clip(error * 1.5, 0, 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return cv2.cvtColor(heat, cv2.COLOR_BGR2RGB)


def draw_filmstrip(
    trial: Trial, frames: Mapping[str, NDArray[np.uint8]], scores: Sequence[Score], model: str
) -> NDArray[np.uint8]:
    """One picture (uint8 RGB): rows truth, each method of ``frames``, error; columns now, then the K futures.

    ``scores`` are those of this trial; they are printed below the frames that they belong to.
    """
    captions = {(score.method, score.step): _caption(score) for score in scores}
    rows = {"truth": trial.truth, **frames}
    rows["error"] = np.stack([error_map(a, b) for a, b in zip(frames["predictor"], trial.truth, strict=True)])
    now = enlarge(trial.window.frames[-1])
    cell_h, cell_w = now.shape[:2]
    heights = [cell_h + (CAPTION if name in frames else 0) + GAP for name in rows]
    width = LABEL_WIDTH + (len(trial.truth) + 1) * (cell_w + GAP) + GAP
    strip = Image.new("RGB", (width, HEADER + sum(heights) + GAP), PAPER)
    draw = ImageDraw.Draw(strip)

    def left(column: int) -> int:
        return LABEL_WIDTH + column * (cell_w + GAP)

    draw.text((left(0), 8), "now", INK, font(24))
    for k, horizon in enumerate(trial.forecast.horizons, start=1):
        ahead = (horizon.stamp_ns - trial.forecast.source_stamp_ns) / 1e9
        draw.text((left(k), 8), f"+{ahead:.2g} s", INK, font(24))
    top = HEADER
    for (name, images), height in zip(rows.items(), heights, strict=True):
        label = model if name == "predictor" else ""
        draw.multiline_text((GAP, top + 4), LABELS.get(name, name.replace("_", " ")), INK, font(22), spacing=4)
        draw.text((GAP, top + 34), label, GREY, font(17))
        if name == "truth":
            strip.paste(Image.fromarray(now), (left(0), top))
        for k, image in enumerate(images, start=1):
            strip.paste(Image.fromarray(enlarge(image)), (left(k), top))
            if name in frames:
                draw.text((left(k), top + cell_h + 4), captions.get((name, k), ""), GREY, font(18))
        top += height
    return np.asarray(strip)


def _caption(score: Score) -> str:
    text = f"SSIM {score.ssim:.3f}    PSNR {score.psnr:.1f}"
    return text if score.lpips is None else f"{text}    LPIPS {score.lpips:.3f}"
