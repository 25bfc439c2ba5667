"""The motion prior: classical optical flow from a frame back to the one before it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


class DisFlow:
    """Dense inverse search flow (Kroeger 2016, OpenCV's DIS, medium preset) refined down to the pixel.

    Its finest scale is 0 (OpenCV's preset stops at 1), with 2 rounds of variational refinement: flow of every pixel. So it does
    without enlarged frames, which cost more time.
    """

    def __init__(self) -> None:
        self._dis: Any = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)  # type: ignore[attr-defined]
        self._dis.setFinestScale(0)
        self._dis.setVariationalRefinementIterations(2)

    def __call__(self, frame: NDArray[np.uint8], before: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Backward flow HxWx2 (x, y) in pixels: ``before`` at p + flow(p) looks like ``frame`` at p. Inputs HxW gray."""
        return self._dis.calc(frame, before, None)


def gray(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """HxWx3 RGB to HxW luminance, what ``DisFlow`` compares."""
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)


def move_labels(labels: NDArray[np.uint8], flow: NDArray[np.float32], steps: float) -> NDArray[np.uint8]:
    """The label map ``steps`` frames later if every pixel keeps its backward flow (HxWx2, pixels per frame).

    Sampled at p + steps * flow(p) by nearest neighbour, the border repeated.
    """
    height, width = labels.shape
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    where = np.stack([columns, rows], axis=-1) + np.float32(steps) * flow
    return cv2.remap(labels, where, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)


def carry_labels(labels: NDArray[np.uint8], flow: NDArray[np.float32], steps: int) -> NDArray[np.uint8]:
    """The label map 1..steps frames later if the field of motion stays what it is: steps x H x W.

    Each pixel is followed back through the backward flow (HxWx2, pixels per frame), which is read anew wherever it has
    got to; ``move_labels`` reads it once. So what comes nearer goes on to grow faster.
    """
    height, width = labels.shape
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    where = np.stack([columns, rows], axis=-1)
    carried = np.empty((steps, height, width), np.uint8)
    for k in range(steps):
        where = where + (flow if k == 0 else cv2.remap(flow, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
        carried[k] = cv2.remap(labels, where, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return carried


def labels_along(labels: NDArray[np.uint8], motions: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A label map moved to each of K instants: motions K x H x W x 2, pixels; sampled at p + motion(p), the border repeated."""
    return np.stack([move_labels(labels, motion, 1) for motion in motions])


def guessed_labels(
    labels: NDArray[np.uint8],
    flows: NDArray[np.float32],
    steps: int,
    motions: NDArray[np.float32] | None = None,
) -> NDArray[np.uint8]:
    """What a motion prior makes of T label maps (T x H x W) and their backward flows (T x H x W x 2): T - 1 + steps maps.

    Each map but the last moved on by one frame, then the last one by 1..steps frames: carried along its flow, or along
    ``motions`` (steps x H x W x 2) where a frame predictor foretold them.
    """
    moved = [move_labels(one, flow, 1) for one, flow in zip(labels[:-1], flows[:-1], strict=True)]
    last = carry_labels(labels[-1], flows[-1], steps) if motions is None else labels_along(labels[-1], motions[:steps])
    return np.stack([*moved, *last])
