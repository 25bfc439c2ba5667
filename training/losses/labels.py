"""Losses between logits and label maps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vidpred_ros.semantics import IGNORE, MOVING


def cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean over the pixels whose label is not 255, in nats: logits (..., C, H, W), labels (..., H, W) of any integer type.

    ``weights`` (C,) make it a weighted mean over pixels, each with its class's. Without any labelled pixel it is 0.
    """
    labels = labels.flatten(0, -3).long()
    loss = F.cross_entropy(logits.flatten(0, -4), labels, weights, ignore_index=IGNORE, reduction="sum")
    known = labels[labels != IGNORE]
    total = torch.as_tensor(len(known)) if weights is None else weights[known].sum()
    return loss / total.clamp(min=1).to(loss)


def class_weights(classes: int, moving: float) -> Tensor | None:
    """Weight 1 for each class, ``moving`` for those that move by themselves, (C,); None where all are 1."""
    if moving == 1.0:
        return None
    weights = torch.ones(classes)
    weights[[c for c in MOVING if c < classes]] = moving
    return weights
