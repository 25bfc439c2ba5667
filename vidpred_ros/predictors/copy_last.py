"""The baseline that every table carries: the future looks like the last frame."""

from __future__ import annotations

import numpy as np

from vidpred_ros.forecast import Forecast, horizons_from_frames
from vidpred_ros.window import Window


class CopyLast:
    """Repeats the newest frame K times (Copy-Last-Frame in Shouno 2020, Table 1)."""

    model_id = "copy_last"
    engine = "none"

    def __init__(self, size: tuple[int, int], period_s: float, steps: int, window_length: int = 8) -> None:
        self.size, self.period_s, self.steps, self.window_length = size, period_s, steps, window_length

    def predict(self, window: Window) -> Forecast:
        frames = np.broadcast_to(window.frames[-1], (self.steps, *window.frames[-1].shape))
        stamp = window.stamps_ns[-1]
        return Forecast(self.model_id, stamp, window.period_ns, horizons_from_frames(frames, stamp, window.period_ns))

    def close(self) -> None:
        """Nothing to free."""
