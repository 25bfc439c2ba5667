"""Boundaries of objects, which the edge generator learns to make of label maps (Lee 2021, section 2.1 and appendix C.2).

A pixel is on a boundary where one of its four neighbours is of another class or another instance (as in vid2vid, so a
boundary is two pixels wide). Pixels without a class (255) have no boundary, for nobody knows what they are.

Instances come from what a data set has. Cityscapes ships instance ids. A synthetic drive knows the depth of every pixel, exactly:
there an instance is a connected part of a class of things in which depth never jumps from one pixel to the next. A thing that
is cut in two by another in front of it counts as two, which changes no boundary. Without either, boundaries are those of the
classes alone, and two cars in a row are one.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidpred_ros.semantics import IGNORE, MOVING

#: Depth jumps between two neighbouring pixels when one is this much farther away, in metres and in proportion.
JUMP, PROPORTION = 0.8, 1.08
#: Cityscapes: ids of instances are 1000 * class + number; smaller ones are regions without instances.
FIRST_INSTANCE = 1000


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


def instances_from_ids(ids: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Cityscapes *_instanceIds.png (HxW uint16) to instances: the ids of things, 0 for everything else."""
    return np.where(ids >= FIRST_INSTANCE, ids, 0).astype(np.uint16)


def instances_from_depth(labels: NDArray[np.uint8], depth: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Instances of the classes that move, of a label map HxW and its exact depth HxW in metres; numbers start at 1."""
    inverse = 1 / np.maximum(depth, 1e-3).astype(np.float64)  # 0 in the sky, whose depth is infinite
    joined_right = _joined(labels[:, :-1], labels[:, 1:], inverse[:, :-1], inverse[:, 1:])
    joined_down = _joined(labels[:-1], labels[1:], inverse[:-1], inverse[1:])
    height, width = labels.shape
    # pixels at even places of a grid of twice the size, with the links between them at the odd ones
    grid = np.zeros((2 * height - 1, 2 * width - 1), np.uint8)
    grid[::2, ::2] = np.isin(labels, MOVING)
    grid[::2, 1::2], grid[1::2, ::2] = joined_right, joined_down
    _, numbers = cv2.connectedComponents(grid, connectivity=4)
    return numbers[::2, ::2].astype(np.uint16)


def _joined(a: NDArray[np.uint8], b: NDArray[np.uint8], near: NDArray[np.float64], far: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether neighbours are of one moving class and depth does not jump between them."""
    with np.errstate(divide="ignore", invalid="ignore"):
        metres, ratio = np.abs(1 / near - 1 / far), np.maximum(near / far, far / near)
    jumps = ~((metres <= JUMP) | (ratio <= PROPORTION))
    return (a == b) & np.isin(a, MOVING) & ~jumps
