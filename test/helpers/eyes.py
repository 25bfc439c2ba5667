"""A segmenter without a network, and windows of its size."""

from __future__ import annotations

import numpy as np

from helpers.models import SEGMENTER_SIZE
from vidpred_ros.sources.synthetic import SyntheticDrive
from vidpred_ros.window import FrameWindow, Window


class Eyes:
    """A segmenter that classes pixels by their brightness, and counts what it is asked."""

    name, size, engine, weights_sha256 = "eyes", SEGMENTER_SIZE, "none", "0"

    def __init__(self) -> None:
        self.asked = 0

    def segment(self, frame: np.ndarray) -> np.ndarray:
        self.asked += 1
        return frame.mean(axis=2).astype(np.uint8) // 14

    def close(self) -> None:
        """Nothing to free."""


def windows(count: int, length: int = 4) -> list[Window]:
    drive = SyntheticDrive(seed=3, seconds=9, rate=10, width=SEGMENTER_SIZE[1], height=SEGMENTER_SIZE[0])
    window, found = FrameWindow(0.1, length), []
    for frame, _ in zip(drive, range(count + length - 1), strict=False):
        window.add(frame.stamp_ns, frame.image)
        if window.window() is not None:
            found.append(window.window())
    return found
