"""Boundaries of objects, which the edge generator learns to make of label maps (Lee 2021, section 2.1 and appendix C.2).

A pixel is on a boundary where one of its four neighbours is of another class or another instance (as in vid2vid, so a
boundary is two pixels wide). Pixels without a class (255) have no boundary, for nobody knows what they are. Without
instances (instances.py says who has them) boundaries are those of the classes alone, and two cars in a row are one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vidpred_ros.semantics import IGNORE


def boundaries(labels: Tensor, instances: Tensor | None = None) -> Tensor:
    """Label maps (..., H, W) of train ids, and instances of the same shape (0: none) -> bool (..., H, W)."""
    edge = torch.zeros_like(labels, dtype=torch.bool)
    for axis in (-2, -1):
        count = labels.shape[axis]
        here, there = labels.narrow(axis, 0, count - 1), labels.narrow(axis, 1, count - 1)
        differ = here != there
        if instances is not None:
            differ = differ | (instances.narrow(axis, 0, count - 1) != instances.narrow(axis, 1, count - 1))
        differ = differ & (here != IGNORE) & (there != IGNORE)
        edge.narrow(axis, 0, count - 1).logical_or_(differ)
        edge.narrow(axis, 1, count - 1).logical_or_(differ)
    return edge
