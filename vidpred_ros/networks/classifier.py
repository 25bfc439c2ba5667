"""The ImageNet classifier behind the Inception Score: frames in, probabilities of 1000 classes out."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from vidpred_ros.networks.efficientnet import pretrained

SIDE = 224
BATCH = 16


class ImageNetClassifier:
    """EfficientNet-Lite0 on the CPU. Raises ModelError when its weights are not installed."""

    def __init__(self) -> None:
        self._network = pretrained()

    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Nx1000 probabilities of N frames (NxHxWx3 uint8 RGB, resized to 224x224 whatever their aspect)."""
        parts = []
        with torch.inference_mode():
            for start in range(0, len(frames), BATCH):
                resized = [cv2.resize(f, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR) for f in frames[start : start + BATCH]]
                images = torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).float() / 255
                parts.append(F.softmax(self._network(images), dim=1).numpy())
        return np.concatenate(parts)
