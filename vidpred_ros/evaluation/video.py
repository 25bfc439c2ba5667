"""Side-by-side video: the camera now, the prediction, and, where it is known, what then happened; of label maps with a legend."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vidpred_ros.evaluation.filmstrip import CELL_WIDTH, GAP, INK, PAPER, enlarge, font
from vidpred_ros.evaluation.legend import class_legend
from vidpred_ros.semantics import CLASS_NAMES

HEADER, WHEN = 36, 100
#: Three panels share about this width; more of them make the video wider.
TOTAL_WIDTH = 1440


class SideBySide:
    """Writes an H.264 (yuv420p) video of equally large panels under fixed titles. Close it when done.

    ``legend``: below the panels, which colour is which class.
    """

    def __init__(self, path: Path, titles: Sequence[str], period_s: float, legend: bool = False) -> None:
        self._titles, self._legend = titles, legend
        self._container = av.open(str(path), "w")
        rate = Fraction(1 / period_s).limit_denominator(1000)
        self._stream = self._container.add_stream(
            "libx264", rate=rate, options={"crf": "18", "preset": "veryfast"}
        )
        self._stream.pix_fmt = "yuv420p"
        self._canvas: NDArray[np.uint8] | None = None

    def add(self, panels: Sequence[NDArray[np.uint8]], when: str = "") -> None:
        """Append one frame from as many HxWx3 uint8 RGB panels as there are titles; ``when`` stands in the upper right corner."""
        large = [enlarge(panel, max(CELL_WIDTH, TOTAL_WIDTH // len(panels))) for panel in panels]
        height, width = large[0].shape[:2]
        if self._canvas is None:
            self._canvas = self._draw_canvas(height, width)
            self._stream.height, self._stream.width = self._canvas.shape[:2]
        for i, panel in enumerate(large):
            x = GAP + i * (width + GAP)
            self._canvas[HEADER : HEADER + height, x : x + width] = panel
        if when:
            corner = Image.new("RGB", (WHEN, HEADER), PAPER)
            ImageDraw.Draw(corner).text((WHEN - GAP, 9), when, INK, font(18), anchor="ra")
            self._canvas[:HEADER, -WHEN:] = np.asarray(corner)
        frame = av.VideoFrame.from_ndarray(self._canvas, format="rgb24")
        self._container.mux(self._stream.encode(frame))

    def _draw_canvas(self, height: int, width: int) -> NDArray[np.uint8]:
        total_w = GAP + len(self._titles) * (width + GAP)
        below = class_legend(range(len(CLASS_NAMES)), total_w - 2 * GAP) if self._legend else np.empty((0, 0, 3), np.uint8)
        total_h = HEADER + height + GAP + len(below)
        # yuv420p halves the colour planes, so both sides have to be even
        image = Image.new("RGB", (total_w + total_w % 2, total_h + total_h % 2), PAPER)
        draw = ImageDraw.Draw(image)
        for i, title in enumerate(self._titles):
            draw.text((GAP + i * (width + GAP), 9), title, INK, font(18))
        canvas = np.array(image)
        canvas[HEADER + height + GAP : total_h, GAP : GAP + below.shape[1]] = below
        return canvas

    def close(self) -> None:
        """Finish the file."""
        if self._canvas is not None:
            self._container.mux(self._stream.encode())
        self._container.close()
