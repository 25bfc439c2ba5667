"""The baselines of label futures: the newest label map stays as it is, or goes on moving as the frames did.

Both take what the structure generator takes, so a table compares like with like: a window of frames at the segmenter's
size, and label maps at the label size, either from the segmenter or handed in.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import ConfigError
from vidpred_ros.forecast import Forecast, Horizon
from vidpred_ros.motion import DisFlow, gray, move_labels
from vidpred_ros.preprocess import crop_and_resize, crop_and_resize_labels
from vidpred_ros.window import Window

LABEL_SIZE = (128, 256)


class Segments(Protocol):
    """What a baseline wants of a segmenter: ``vidpred_ros.segmenters`` has the whole of it."""

    def segment(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """HxWx3 uint8 RGB to HxW train ids."""
        ...


class CopyLabels:
    """Repeats the newest label map of a window K times (``Horizon.labels``, HxW uint8 train ids, ``label_size``).

    ``segmenter`` may be None if label maps are handed in with every window. Raises ConfigError for fewer than 1 step.
    """

    model_id = "copy_last"
    engine = "none"
    needs_frames = False

    def __init__(
        self,
        segmenter: Segments | None,
        size: tuple[int, int],
        period_s: float,
        steps: int,
        window_length: int = 4,
        label_size: tuple[int, int] = LABEL_SIZE,
    ) -> None:
        if steps < 1:
            raise ConfigError(f"{self.model_id} predicts 1 step or more, not {steps}")
        self._segmenter = segmenter
        self.size, self.label_size = size, label_size
        self.period_s, self.steps, self.window_length = period_s, steps, window_length

    def predict(self, window: Window, labels: Sequence[NDArray[np.uint8]] | None = None) -> Forecast:
        """Forecast from the window's newest frames; ``labels``, one map for each frame, stand in for the segmenter."""
        start = time.perf_counter()
        newest = self._newest(window, labels)
        segmented = time.perf_counter()
        maps = self._futures(newest, window)
        latency = {"segment": (segmented - start) * 1e3, "forecast": (time.perf_counter() - segmented) * 1e3}
        stamp, period = window.stamps_ns[-1], window.period_ns
        horizons = tuple(Horizon(k, stamp + k * period, labels=labels) for k, labels in enumerate(maps, start=1))
        return Forecast(self.model_id, stamp, period, horizons, latency)

    def _newest(self, window: Window, labels: Sequence[NDArray[np.uint8]] | None) -> NDArray[np.uint8]:
        if labels is not None:
            return crop_and_resize_labels(labels[-1], self.label_size)
        if self._segmenter is None:
            raise ConfigError(f"{self.model_id} has no segmenter and was handed no label maps")
        return crop_and_resize_labels(self._segmenter.segment(window.frames[-1]), self.label_size)

    def _futures(self, labels: NDArray[np.uint8], window: Window) -> list[NDArray[np.uint8]]:
        """K label maps that follow ``labels``, the newest one."""
        return [labels] * self.steps

    def close(self) -> None:
        """Nothing to free: the segmenter belongs to whoever made it."""


class MovedLabels(CopyLabels):
    """Moves the newest label map along the optical flow of the last two frames: step k is sampled at p + k * flow(p).

    The flow is DIS at the label size, refined down to the pixel as ``motion.DisFlow`` says, which is also what the
    structure generator's motion prior sees.
    """

    model_id = "optical_flow"
    needs_frames = True

    @cached_property
    def _dis(self) -> DisFlow:
        return DisFlow()

    def _futures(self, labels: NDArray[np.uint8], window: Window) -> list[NDArray[np.uint8]]:
        before, last = (gray(crop_and_resize(frame, self.label_size)) for frame in window.frames[-2:])
        flow = self._dis(last, before)
        return [move_labels(labels, flow, k) for k in range(1, self.steps + 1)]


#: By name, as ``predictors.BASELINES`` are for frames.
LABEL_BASELINES: dict[str, type[CopyLabels]] = {"copy_last": CopyLabels, "optical_flow": MovedLabels}
