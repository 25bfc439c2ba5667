from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from helpers.models import make_model

from vidpred_ros.models import ReleasedModel
from vidpred_ros.predictors.pixels import PixelRoll
from vidpred_ros.predictors.rgb_propagation import RgbPropagation


class Brightness:
    """A segmenter of twice the roll's size that knows two classes: darker (0) and lighter (13) than the frame."""

    name, engine, weights_sha256 = "brightness", "none", ""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size

    def segment(self, frame: np.ndarray) -> np.ndarray:
        assert frame.shape == (*self.size, 3) and frame.dtype == np.uint8
        return np.where(frame.mean(2) > frame.mean(), 13, 0).astype(np.uint8)

    def close(self) -> None:
        pass


def test_what_is_handed_on_is_seen_in_the_frame(tmp_path: Path) -> None:
    model = ReleasedModel(make_model(tmp_path, "plain", "pixels"))
    roll, alone = PixelRoll(model, "torch"), PixelRoll(model, "torch")
    height, width = roll.size
    rng = np.random.default_rng(0)
    frames = list(rng.integers(0, 256, (2, height, width, 3), dtype=np.uint8))
    labels = [np.full((height, width), 13, np.uint8)] * 2
    roll.start(frames, labels)
    alone.start(frames, labels)
    through = RgbPropagation(roll, Brightness((2 * height, 2 * width)))
    now = wanted = labels[-1]
    for _ in range(3):
        now, frame = through(now), alone.step(wanted)
        large = cv2.resize(frame, (2 * width, 2 * height), interpolation=cv2.INTER_CUBIC)
        wanted = np.where(large.mean(2) > large.mean(), 13, 0).astype(np.uint8)[::2, ::2]
        np.testing.assert_array_equal(through.frame, frame)
        np.testing.assert_array_equal(now, wanted)
        assert set(np.unique(now)) == {0, 13}
    roll.close()
    alone.close()
