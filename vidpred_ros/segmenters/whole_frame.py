"""Label maps of whole frames, whatever their aspect: a segmenter sees parts of its own aspect, side by side."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from vidpred_ros.preprocess import crop_window, resize
from vidpred_ros.segmenters.base import Segmenter


def label_whole_frame(segmenter: Segmenter, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The label map (HxW uint8 train ids) of a frame (HxWx3 uint8 RGB) of any size.

    The largest parts of the segmenter's aspect that cover the frame, evenly spaced, are segmented each; a pixel has the label
    that the part gives whose centre is nearest. Label maps are resized by nearest neighbour.
    """
    height, width = frame.shape[:2]
    _, _, part_h, part_w = crop_window(height, width, segmenter.size)
    labels = np.empty((height, width), np.uint8)
    for top, rows in parts(height, part_h):
        for left, columns in parts(width, part_w):
            part = frame[top : top + part_h, left : left + part_w]
            found = segmenter.segment(np.ascontiguousarray(resize(part, segmenter.size)))
            found = cv2.resize(found, (part_w, part_h), interpolation=cv2.INTER_NEAREST)
            labels[rows, columns] = found[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    return labels


def parts(length: int, part: int) -> list[tuple[int, slice]]:
    """As few parts as cover a length, evenly spaced: the first pixel of each, and the pixels whose nearest centre is its own."""
    count = -(-length // part)
    firsts = [round(i * (length - part) / max(1, count - 1)) for i in range(count)]
    ends = [0, *((a + b + part) // 2 for a, b in pairwise(firsts)), length]
    return [(first, slice(ends[i], ends[i + 1])) for i, first in enumerate(firsts)]
