"""Inception Score (Salimans 2016): whether single frames look like something, and different ones like different things.

Lee 2021 (appendix A) classifies with a ResNet-18 trained on Places 365, on dancers with Inception V3. Where we depart: neither's
weights are to be had from a package index, so frames are classified by EfficientNet-Lite0 (ImageNet), the backbone of the
segmenter. Scores compare with each other and not with the paper's.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import ConfigError, ModelError

INCEPTION_DEFINITION = (
    "Inception Score (Salimans 2016) of the predicted frames by EfficientNet-Lite0 (ImageNet) at 224x224, where Lee 2021 has "
    "ResNet-18 (Places 365): compares with other scores of this table only; 1 is the least; higher is better"
)


class Classifier(Protocol):
    """Frames in, probabilities of classes out."""

    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """NxHxWx3 uint8 RGB to NxC, rows that sum to 1."""
        ...


def inception_score(probabilities: NDArray[np.floating]) -> float:
    """exp of the mean Kullback-Leibler divergence of each row of NxC from the mean of all rows; between 1 and C.

    One split, as there are few frames. Raises ConfigError for no frame.
    """
    if probabilities.ndim != 2 or not len(probabilities):
        raise ConfigError(f"an Inception Score needs probabilities NxC of one frame or more, got {probabilities.shape}")
    p = probabilities.astype(np.float64)
    mean = np.broadcast_to(p.mean(0), p.shape)
    ratio = np.divide(p, mean, out=np.ones_like(p), where=p > 0)  # p log p is 0 where p is
    return float(np.exp((p * np.log(ratio)).sum(1).mean()))


def load_classifier() -> Classifier:
    """EfficientNet-Lite0. Raises ModelError, with what to do, where torch or the weights are missing."""
    try:
        from vidpred_ros.networks.classifier import ImageNetClassifier
    except ImportError as error:
        raise ModelError(f"the Inception Score needs PyTorch ({error}): pip install torch") from None
    return ImageNetClassifier()
