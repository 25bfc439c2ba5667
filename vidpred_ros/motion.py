"""The motion prior: classical optical flow from a frame back to the one before it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

#: A gray level for each id of a label map, to find its flow by: 59 sets classes that often touch at least 19 levels apart.
LABEL_GRAYS: NDArray[np.uint8] = (np.arange(256) * 59 % 256).astype(np.uint8)


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


class NextFlows:
    """Three guesses of the flow of a frame that is still to come, of which the label map alone is known."""

    def __init__(self) -> None:
        self._dis = DisFlow()

    def __call__(
        self,
        frames: tuple[NDArray[np.uint8], NDArray[np.uint8]],
        labels: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    ) -> NDArray[np.float32]:
        """3xHxWx2 (x, y) in pixels: the backward flow of the newest frame, as if it went on; that corrected by what is left between
        the newest label map, moved along it, and the next one; and the flow from the next label map to the newest.

        ``frames`` are the newest two, HxWx3 RGB, the older one first; ``labels`` the newest frame's map and the next one, HxW.
        """
        before, now = (gray(frame) for frame in frames)
        carried = self._dis(now, before)
        newest, following = (LABEL_GRAYS[one] for one in labels)
        left = self._dis(following, move_labels(newest, carried, 1))
        return np.stack([carried, left + sampled(carried, left), self._dis(following, newest)])


def gray(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """HxWx3 RGB to HxW luminance, what ``DisFlow`` compares."""
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)


def sampled(field: NDArray[np.float32], flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """A field HxWx2 at p + flow(p), bilinearly, the border repeated."""
    return cv2.remap(field, places(flow), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def places(flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """p + flow(p) for every pixel p of a flow HxWx2: where ``cv2.remap`` looks."""
    return _pixels(*flow.shape[:2]) + flow


@lru_cache(maxsize=4)  # asked for several times per camera frame, always at the few sizes of the models that run
def _pixels(height: int, width: int) -> NDArray[np.float32]:
    """(x, y) of every pixel, HxWx2; not to be written to."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    grid = np.stack([columns, rows], axis=-1)
    grid.setflags(write=False)
    return grid


def move_labels(labels: NDArray[np.uint8], flow: NDArray[np.float32], steps: float) -> NDArray[np.uint8]:
    """The label map ``steps`` frames later if every pixel keeps its backward flow (HxWx2, pixels per frame).

    Sampled at p + steps * flow(p) by nearest neighbour, the border repeated.
    """
    return cv2.remap(labels, places(np.float32(steps) * flow), None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)


def carry_labels(labels: NDArray[np.uint8], flow: NDArray[np.float32], steps: int) -> NDArray[np.uint8]:
    """The label map 1..steps frames later if the field of motion stays what it is: steps x H x W.

    Each pixel is followed back through the backward flow (HxWx2, pixels per frame), which is read anew wherever it has
    got to; ``move_labels`` reads it once. So what comes nearer goes on to grow faster.
    """
    height, width = labels.shape
    where = np.zeros_like(flow)
    carried = np.empty((steps, height, width), np.uint8)
    for k in range(steps):
        where = where + (flow if k == 0 else sampled(flow, where))
        carried[k] = move_labels(labels, where, 1)
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
