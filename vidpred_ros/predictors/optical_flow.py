"""The baseline to beat: the motion of the last two frames goes on unchanged."""

from __future__ import annotations

import time
from typing import Any

import cv2
import numpy as np

from vidpred_ros.forecast import Forecast, horizons_from_frames
from vidpred_ros.window import Window


class OpticalFlow:
    """Dense inverse search flow (OpenCV DIS, medium preset) from the newest frame back to the one before.

    Step k samples the newest frame at p + k * flow(p), bilinearly, repeating the border: the flow at a pixel is taken to
    stay what it is, which holds for a road and walls that a car drives along.
    """

    model_id = "optical_flow"
    engine = "none"

    def __init__(self, size: tuple[int, int], period_s: float, steps: int, window_length: int = 8) -> None:
        self.size, self.period_s, self.steps, self.window_length = size, period_s, steps, window_length
        self._dis: Any = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)  # type: ignore[attr-defined]
        rows, columns = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
        self._grid = np.stack([columns, rows], axis=-1)

    def predict(self, window: Window) -> Forecast:
        start = time.perf_counter()
        before, last = window.frames[-2], window.frames[-1]
        flow = self._dis.calc(cv2.cvtColor(last, cv2.COLOR_RGB2GRAY), cv2.cvtColor(before, cv2.COLOR_RGB2GRAY), None)
        measured = time.perf_counter()
        frames = np.empty((self.steps, *last.shape), np.uint8)
        for k in range(1, self.steps + 1):
            where = self._grid + k * flow
            frames[k - 1] = cv2.remap(last, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        latency = {"motion": (measured - start) * 1e3, "infer": (time.perf_counter() - measured) * 1e3}
        stamp = window.stamps_ns[-1]
        horizons = horizons_from_frames(frames, stamp, window.period_ns)
        return Forecast(self.model_id, stamp, window.period_ns, horizons, latency)

    def close(self) -> None:
        """Nothing to free."""
