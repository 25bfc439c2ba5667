"""Finds the camera frame that a label map belongs to, by stamps: the two come on topics of their own, in any order."""

from __future__ import annotations

from collections import deque
from typing import Generic, NamedTuple, TypeVar

Frame = TypeVar("Frame")
Labels = TypeVar("Labels")

#: How long a frame is kept for its label map: a segmenter that takes longer is too late.
MEMORY_NS = 1_000_000_000
#: Label maps that wait for their frame.
_WAITING = 8


class Pair(NamedTuple, Generic[Frame, Labels]):
    """A label map and the frame of the same instant; None where none came."""

    frame: Frame | None
    labels: Labels


class Pairing(Generic[Frame, Labels]):
    """The nearest frame counts, no farther than ``tolerance_ns``. It is known once a frame came that is not earlier.

    Stamps that go back (a bag that loops) forget what came before. Of frames of one stamp the first counts.
    """

    def __init__(self, tolerance_ns: int) -> None:
        self._tolerance_ns = tolerance_ns
        self._frames: deque[tuple[int, Frame]] = deque()
        self._waiting: deque[tuple[int, Labels]] = deque()
        self._newest_labels_ns = 0

    def clear(self) -> None:
        """Forget everything."""
        self._frames.clear()
        self._waiting.clear()

    def add_frame(self, stamp_ns: int, frame: Frame) -> list[Pair[Frame, Labels]]:
        """The pairs that this frame decides, in order of time."""
        if self._frames and stamp_ns == self._frames[-1][0]:
            return []
        if self._frames and stamp_ns < self._frames[-1][0]:
            self._frames.clear()
        self._frames.append((stamp_ns, frame))
        while stamp_ns - self._frames[0][0] > MEMORY_NS:
            self._frames.popleft()
        return self._decided()

    def add_labels(self, stamp_ns: int, labels: Labels) -> list[Pair[Frame, Labels]]:
        """The pairs that are decided now, in order of time."""
        goes_back, self._newest_labels_ns = stamp_ns < self._newest_labels_ns, stamp_ns
        if goes_back:
            self._waiting.clear()
            if self._frames and stamp_ns < self._frames[0][0] - self._tolerance_ns:
                self._frames.clear()  # none of them can be its own: the frames of the new round are still to come
        self._waiting.append((stamp_ns, labels))
        given_up = [Pair(None, self._waiting.popleft()[1])] if len(self._waiting) > _WAITING else []
        return given_up + self._decided()

    def _decided(self) -> list[Pair[Frame, Labels]]:
        pairs = []
        while self._waiting and self._frames and self._frames[-1][0] >= self._waiting[0][0]:
            stamp_ns, labels = self._waiting.popleft()
            nearest_ns, frame = min(self._frames, key=lambda one: (abs(one[0] - stamp_ns), -one[0]))
            pairs.append(Pair(frame if abs(nearest_ns - stamp_ns) <= self._tolerance_ns else None, labels))
        return pairs
