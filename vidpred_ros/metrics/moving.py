"""Which pixels of a true frame move, so that a score can leave out what copying the last frame already gets right.

Mathieu et al. 2016 (section 4.3, footnote 2) colour EpicFlow with Middlebury's Matlab code, which divides the flow by its
largest vector, and keep the pixels with a colour channel below 0.2. In that code's colours the smallest channel is
1 - |flow| / max |flow| (white stands still, the rim of the wheel has one channel at 0), so they keep what moves faster than
0.8 of the fastest pixel. (The footnote says that these pixels are set to 0; the authors' released code, their figure 3 and
the text say that they are the ones kept.)

Where we depart: on a driving camera that rule keeps 1 to 5 % of the pixels, a rim at the side of the picture, and it moves
with a single outlier. The text's "higher than a fixed threshold" is taken at its word: more than 1 pixel from one frame to
the next, at the size that is scored. The flow is OpenCV's DIS (medium), from each true frame back to the frame before it.

PSNR, SSIM and sharpness of moving areas are means over the whole frame, in which what stands still is 0 in both pictures: so
we read "set to 0". The fewer pixels move, the higher they are; they compare methods on the same windows, not windows.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidpred_ros.motion import gray

#: Pixels of flow from one frame to the next from which on a pixel counts as moving.
THRESHOLD_PX = 1.0


class MovingAreas:
    """Masks of moving pixels. What the call before measured is used again where the frames are the same ones."""

    def __init__(self) -> None:
        # motion.DisFlow refines down to the pixel, which warping needs and a threshold does not
        self._dis: Any = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)  # type: ignore[attr-defined]
        self._frames: NDArray[np.uint8] | None = None
        self._masks: list[NDArray[np.bool_]] = []

    def __call__(self, last: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """KxHxW masks of the K true frames (KxHxWx3 uint8 RGB) that follow the frame ``last`` (HxWx3)."""
        frames = np.concatenate([last[None], truth])
        goes_on = self._frames is not None and np.array_equal(frames[:-1], self._frames[1:])  # one frame further on
        masks = self._masks[1:] if goes_on else []
        masks += [self._moves(frames[k], frames[k - 1]) for k in range(len(masks) + 1, len(frames))]
        self._frames, self._masks = frames, masks
        return np.stack(masks)

    def _moves(self, frame: NDArray[np.uint8], before: NDArray[np.uint8]) -> NDArray[np.bool_]:
        flow = self._dis.calc(gray(frame), gray(before), None)
        return np.linalg.norm(flow, axis=-1) > THRESHOLD_PX
