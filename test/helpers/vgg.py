"""VGG-16 written down a second time, slowly."""

from __future__ import annotations

import numpy as np
from scipy.signal import correlate

from training.losses.perceptual import MEAN, STD
from vidpred_ros.pretrained import load_vgg16


def slow_vgg_features(image: np.ndarray) -> list[np.ndarray]:
    """Feature maps after the last convolution of each block, with scipy, image by image and channel by channel."""
    x = (image - np.array(MEAN)[:, None, None]) / np.array(STD)[:, None, None]
    maps, layers = [], iter(load_vgg16())
    for block, count in enumerate((2, 2, 3, 3, 3)):
        if block:
            x = x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2).max((2, 4))
        for _ in range(count):
            weight, bias = next(layers)
            padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
            x = np.stack([correlate(padded, w, "valid")[0] + b for w, b in zip(weight, bias, strict=True)])
            x = np.maximum(x, 0)
        maps.append(x)
    return maps
