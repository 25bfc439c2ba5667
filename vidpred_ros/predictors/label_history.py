"""What a predictor of label maps keeps of the frames of its window: each is segmented once and its flow is measured once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import ConfigError
from vidpred_ros.motion import DisFlow, carry_labels, gray, labels_along
from vidpred_ros.predictors.history import Continuity
from vidpred_ros.preprocess import crop_and_resize, crop_and_resize_labels
from vidpred_ros.segmenters import Segmenter
from vidpred_ros.window import Window

Labels = NDArray[np.uint8]
#: Frames and flows of a window to motions, K x H x W x 2.
Foretell = Callable[[Sequence[NDArray[np.uint8]], Sequence[NDArray[np.float32]]], NDArray[np.float32]]


@dataclass
class Seen:
    """A frame of the window, where a motion prior looks at it."""

    image: NDArray[np.uint8]  # H x W x 3 at the label size
    flow: NDArray[np.float32]  # H x W x 2, back to the frame before


@dataclass
class Past:
    """A frame of the context."""

    labels: Labels  # H x W train ids
    flow: NDArray[np.float32] | None  # None without a motion prior
    code: NDArray[np.float32] | None = None  # what a network has made of it and of the guess that its flow makes of the next


class LabelHistory:
    """The newest ``context`` label maps and, with ``flows``, up to ``frames`` >= context frames and their flows.

    A window has ``context`` frames; what is kept beyond it comes from the windows before. ``segmenter`` None: label maps
    are handed in. The flow of a frame that has none before it is zero.
    """

    def __init__(
        self, segmenter: Segmenter | None, label_size: tuple[int, int], context: int, frames: int, flows: bool
    ) -> None:
        self._segmenter, self._size, self._length, self._needs_flows = segmenter, label_size, context, flows
        self._continuity = Continuity()
        self._dis = DisFlow()
        self._gray: NDArray[np.uint8] | None = None
        self._seen: deque[Seen] = deque([], frames)
        self._context: deque[Past] = deque(maxlen=context)

    @property
    def context(self) -> list[Past]:
        """The oldest first."""
        return list(self._context)

    def update(self, window: Window, labels: Sequence[Labels] | None) -> dict[str, float]:
        """Take the frames in that are new; ``labels``, train ids of any size, stand in for the segmenter.

        Returns the milliseconds of ``segment`` and ``motion``. Raises ConfigError for label maps that do not go with the
        window, and for none where there is no segmenter.
        """
        if labels is None and self._segmenter is None:
            raise ConfigError("there is no segmenter: hand in label maps with the window")
        if labels is not None and len(labels) != len(window.frames):
            raise ConfigError(f"expected a label map for each of {len(window.frames)} frames, not {len(labels)}")
        clock = {"segment": 0.0, "motion": 0.0}
        fresh = self._continuity.count(window)
        if fresh == self._length:
            self._seen.clear()  # nothing joins this window to the last one
            self._context.clear()
            self._gray = None
        with self._continuity.forgotten_on_error():
            for i in range(-fresh, 0):
                start = time.perf_counter()
                flow = self._look(window.frames[i]) if self._needs_flows else None
                looked = time.perf_counter()
                clock["motion"] += (looked - start) * 1e3
                self._context.append(Past(self._labels(window.frames[i], None if labels is None else labels[i]), flow))
                clock["segment"] += (time.perf_counter() - looked) * 1e3
        return clock

    def moved(self, steps: int, foretold: Foretell | None = None) -> Labels | None:
        """The newest label map 1..steps frames on: along its flow, or along the motion that is ``foretold`` of the frames
        and flows that are kept (K x H x W x 2). None without flows.

        Before all of those frames are there the oldest one, standing still, stands in for those that are missing.
        """
        newest = self._context[-1]
        if newest.flow is None:
            return None
        if foretold is None:
            return carry_labels(newest.labels, newest.flow, steps)
        still = Seen(self._seen[0].image, np.zeros_like(self._seen[0].flow))
        seen = [still] * ((self._seen.maxlen or 0) - len(self._seen)) + list(self._seen)
        motions = foretold([one.image for one in seen], [one.flow for one in seen])
        return labels_along(newest.labels, motions[:steps])

    def _look(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        image = crop_and_resize(frame, self._size)
        before, self._gray = self._gray, gray(image)
        flow = np.zeros((*self._size, 2), np.float32) if before is None else self._dis(self._gray, before)
        self._seen.append(Seen(image, flow))
        return flow

    def _labels(self, frame: NDArray[np.uint8], given: Labels | None) -> Labels:
        if given is None:
            assert self._segmenter is not None
            given = self._segmenter.segment(frame)
        return crop_and_resize_labels(given, self._size)
