"""The ablation "RGB propagation" (Lee 2021, section 5 and figure G): what a structure generator hands on goes through pixels.

Instead of its own label map, the next step sees the label map that a segmenter finds in the frame that the pixel generator
makes of it. In the paper errors then pile up from step to step, which is the point of staying in label space.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.predictors.pixels import PixelRoll
from vidpred_ros.preprocess import crop_and_resize, crop_and_resize_labels
from vidpred_ros.segmenters import Segmenter


class RgbPropagation:
    """Label map to frame to label map; ``roll`` has been started. ``frame`` is the newest frame, HxWx3 uint8 at the roll's size.

    Neither the roll nor the segmenter is closed with it.
    """

    def __init__(self, roll: PixelRoll, segmenter: Segmenter) -> None:
        self._roll, self._segmenter = roll, segmenter
        self.frame: NDArray[np.uint8] | None = None

    def __call__(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The label map (HxW uint8 train ids, of the roll's size) that is handed on in place of ``labels`` (the same)."""
        self.frame = self._roll.step(labels)
        seen = crop_and_resize(self.frame, self._segmenter.size)
        return crop_and_resize_labels(self._segmenter.segment(seen), self._roll.size)
