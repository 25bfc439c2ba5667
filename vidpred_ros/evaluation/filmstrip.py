"""Filmstrips: what happened, what was predicted, and what the baselines made of it, one column for each future instant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vidpred_ros.evaluation.scores import Score
from vidpred_ros.evaluation.trials import Trial

TITLES = {
    "truth": "what happened",
    "predictor": "predicted",
    "copy_last": "copy last",
    "optical_flow": "optical flow",
    "segmenter": "segmenter",
}
PAPER, INK, GREY = (255, 255, 255), (24, 24, 27), (82, 82, 91)
#: Frames are enlarged by whole factors, without smoothing, to about this width.
CELL_WIDTH = 320
GAP, LABEL_WIDTH, HEADER, LINE = 10, 190, 40, 26
#: Mean absolute error, of 255, at which its colours end.
ERROR_END = 170


@dataclass(frozen=True)
class StripRow:
    """One row of a filmstrip: at the left its name and, small, what belongs to all of it; then its pictures."""

    title: str
    pictures: Sequence[NDArray[np.uint8] | None]  # HxWx3 RGB, one for each instant
    captions: Sequence[str] = ()
    detail: str = ""  # below the title
    aside: NDArray[np.uint8] | None = None  # below that: the frame that is known, or a scale of colours


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The typeface that Pillow carries, so that a strip looks the same on every machine."""
    return ImageFont.load_default(size)


def enlarge(frame: NDArray[np.uint8], width: int = CELL_WIDTH) -> NDArray[np.uint8]:
    """Repeat each pixel of an HxWx3 frame a whole number of times, to the width nearest to ``width``."""
    factor = max(1, round(width / frame.shape[1]))
    return frame.repeat(factor, axis=0).repeat(factor, axis=1)


def colour_scale(levels: NDArray[np.floating], end: float, colours: int) -> NDArray[np.uint8]:
    """HxW values from 0 to ``end`` as HxWx3 RGB in one of OpenCV's colour maps."""
    scaled = np.clip(levels * (255 / end), 0, 255).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(scaled, colours), cv2.COLOR_BGR2RGB)


def error_map(predicted: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mean absolute error over the channels as a heat map: black is none, the palest is ERROR_END grey levels or more."""
    return colour_scale(np.abs(predicted.astype(np.int16) - truth).mean(-1), ERROR_END, cv2.COLORMAP_INFERNO)


def scale_bar(end: float, colours: int) -> NDArray[np.uint8]:
    """The colours of ``colour_scale`` from 0 to the end."""
    return colour_scale(np.tile(np.linspace(0, end, LABEL_WIDTH - 2 * GAP), (14, 1)), end, colours)


def draw_filmstrip(
    trial: Trial, frames: Mapping[str, NDArray[np.uint8]], scores: Sequence[Score], model: str
) -> NDArray[np.uint8]:
    """One picture (uint8 RGB): rows truth, each method of ``frames``, error; a column for each of the K futures.

    ``scores`` are those of this trial; they are printed below the frames that they belong to.
    """
    captions = {(score.method, score.step): score_caption(score) for score in scores}
    rows = [StripRow(TITLES["truth"], list(trial.truth), detail="now", aside=trial.window.frames[-1])]
    for name, images in frames.items():
        below = [captions.get((name, k), "") for k in range(1, len(images) + 1)]
        detail = model if name == "predictor" else ""
        rows.append(StripRow(TITLES.get(name, name.replace("_", " ")), list(images), below, detail))
    errors = [error_map(a, b) for a, b in zip(frames["predictor"], trial.truth, strict=True)]
    bar = scale_bar(ERROR_END, cv2.COLORMAP_INFERNO)
    rows.append(StripRow("error of the\nprediction", errors, detail=f"0 to {ERROR_END} grey levels", aside=bar))
    ahead = [(horizon.stamp_ns - trial.forecast.source_stamp_ns) / 1e9 for horizon in trial.forecast.horizons]
    return draw_rows(rows, [f"+{seconds:.2g} s" for seconds in ahead])


def draw_rows(rows: Sequence[StripRow], times: Sequence[str]) -> NDArray[np.uint8]:
    """The rows below each other (uint8 RGB), their pictures enlarged, under the ``times`` of the columns."""
    cell_h, cell_w = next(enlarge(picture) for row in rows for picture in row.pictures if picture is not None).shape[:2]
    asides = [None if row.aside is None else thumbnail(row.aside) for row in rows]
    heights = []
    for row, aside in zip(rows, asides, strict=True):
        lines = max((caption.count("\n") + 1 for caption in row.captions if caption), default=0)
        heights.append(GAP + max(cell_h + LINE * lines, _below_title(row) + (0 if aside is None else aside.shape[0])))
    strip = Image.new("RGB", (LABEL_WIDTH + len(times) * (cell_w + GAP), HEADER + sum(heights)), PAPER)
    draw = ImageDraw.Draw(strip)
    for k, time in enumerate(times):
        draw.text((_left(k, cell_w), 6), time, INK, font(24))
    top = HEADER
    for row, aside, height in zip(rows, asides, heights, strict=True):
        draw.multiline_text((GAP, top), row.title, INK, font(22), spacing=4)
        draw.text((GAP, top + LINE * (row.title.count("\n") + 1) + 2), row.detail, GREY, font(16))
        if aside is not None:
            strip.paste(Image.fromarray(aside), (GAP, top + _below_title(row)))
        for k, picture in enumerate(row.pictures):
            if picture is not None:
                strip.paste(Image.fromarray(enlarge(picture)), (_left(k, cell_w), top))
        for k, caption in enumerate(row.captions):
            draw.multiline_text((_left(k, cell_w), top + cell_h + 2), caption, INK, font(20), spacing=3)
        top += height
    return np.asarray(strip)


def _left(column: int, cell_w: int) -> int:
    return LABEL_WIDTH + column * (cell_w + GAP)


def _below_title(row: StripRow) -> int:
    """Rows of pixels that title and detail take."""
    return LINE * (row.title.count("\n") + 1) + (20 * (row.detail.count("\n") + 1) + 4 if row.detail else 0)


def thumbnail(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """As wide as the column of names."""
    height, width = picture.shape[:2]
    wanted = LABEL_WIDTH - 2 * GAP
    return cv2.resize(picture, (wanted, round(height * wanted / width)), interpolation=cv2.INTER_AREA)


def score_caption(score: Score) -> str:
    text = f"SSIM {score.ssim:.3f}    {score.psnr:.1f} dB"
    return text if score.lpips is None else f"{text}\nLPIPS {score.lpips:.3f}"
