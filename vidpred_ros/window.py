"""FrameWindow: the ring buffer of the last 8 frames, in time and not in messages.

A camera runs at its own rate; a model was trained at one period (0.1 s for KITTI). The window keeps every n-th frame so
that the kept frames are evenly spaced and as near to the model's period as whole strides allow. The stride follows from
the camera's measured interval, so the choice is made the moment a frame arrives: no frame waits for its successor.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import ConfigError

#: A measured spacing within this share of the model's period is jitter, not another rate.
NOMINAL_TOLERANCE = 0.1
#: Camera intervals that the rate estimate looks back on.
RATE_MEMORY = 15


@dataclass(frozen=True)
class Window:
    """A full window. ``sequence`` grows by one with each kept frame, ``epoch`` with each reset; neither ever falls."""

    stamps_ns: tuple[int, ...]  # oldest first
    frames: tuple[NDArray[np.uint8], ...]  # oldest first, HxWx3 RGB each
    epoch: int
    sequence: int
    period_ns: int  # spacing that a forecast from this window continues


@dataclass(frozen=True)
class Offer:
    """The window's answer to a stamp: whether to ``push`` the frame, and why the window was reset, if it was."""

    take: bool
    reset: str | None = None  # "gap", "backward stamp", "image changed" or None
    skipped: str | None = None  # "between" (camera faster than the model), "duplicate" or None


def stride_for(rate_hz: float, period_s: float) -> int:
    """Whole number of camera frames nearest to the model's period, compared as rates (25 Hz for 0.1 s gives 3: 8.3 Hz)."""
    exact = rate_hz * period_s
    low = max(1, math.floor(exact))
    # |rate/n - 1/period| decides; n = low+1 wins a tie because motion spread over longer is the milder error
    return low if abs(exact / low - 1) < abs(exact / (low + 1) - 1) else low + 1


class FrameWindow:
    """The last ``length`` frames spaced by about ``period_s`` seconds; tolerance half a period on each spacing.

    ``offer(stamp, signature)`` decides before the frame is converted; ``push(stamp, frame)`` stores one that was taken.
    A gap of more than 1.5 periods, a stamp that goes back (a bag that loops) or a changed signature (size or encoding)
    empties the window; the frame that showed it starts the next one. Raises ConfigError for a length or period <= 0.
    """

    def __init__(self, period_s: float, length: int = 8) -> None:
        if length < 1 or not period_s > 0:
            raise ConfigError(f"a window needs length >= 1 and period > 0 s, got {length} and {period_s}")
        self.length = length
        self.period_ns = round(period_s * 1e9)
        self.epoch = 0
        self.sequence = 0
        self._stamps: deque[int] = deque(maxlen=length)
        self._frames: deque[NDArray[np.uint8]] = deque(maxlen=length)
        self._intervals: deque[int] = deque(maxlen=RATE_MEMORY)
        self._last_seen: int | None = None
        self._signature: Hashable = None

    def __len__(self) -> int:
        """The k of "k of 8"."""
        return len(self._frames)

    @property
    def full(self) -> bool:
        return len(self._frames) == self.length

    def reset(self) -> None:
        """Forget every frame and the camera's rate; the next stamp starts a new epoch."""
        self._stamps.clear()
        self._frames.clear()
        self._intervals.clear()
        self._last_seen = None
        self._signature = None
        self.epoch += 1

    def offer(self, stamp_ns: int, signature: Hashable = None) -> Offer:
        """Say whether the frame of this stamp belongs in the window. Call once for each frame, in order of arrival."""
        reason = self._broken_by(stamp_ns, signature)
        if reason == "duplicate":
            return Offer(take=False, skipped="duplicate")
        if reason is not None:
            self.reset()
        if self._last_seen is not None:
            self._intervals.append(stamp_ns - self._last_seen)
        self._last_seen = stamp_ns
        self._signature = signature
        if self._stamps and not self._is_due(stamp_ns):
            return Offer(take=False, skipped="between")
        return Offer(take=True, reset=reason)

    def push(self, stamp_ns: int, frame: NDArray[np.uint8]) -> None:
        """Store a frame that ``offer`` took. The array is kept as it is: the caller does not write to it again."""
        self._stamps.append(stamp_ns)
        self._frames.append(frame)
        self.sequence += 1

    def add(self, stamp_ns: int, frame: NDArray[np.uint8]) -> Offer:
        """``offer`` and, if it is taken, ``push``, for frames that are at hand already."""
        answer = self.offer(stamp_ns, frame.shape)
        if answer.take:
            self.push(stamp_ns, frame)
        return answer

    def window(self) -> Window | None:
        """The window that ends with the newest kept frame, or None while fewer than ``length`` are there."""
        if not self.full:
            return None
        return Window(tuple(self._stamps), tuple(self._frames), self.epoch, self.sequence, self._spacing_ns())

    def _broken_by(self, stamp_ns: int, signature: Hashable) -> str | None:
        if self._last_seen is None:
            return None
        if signature != self._signature:
            return "image changed"
        if stamp_ns == self._last_seen:
            return "duplicate"
        if stamp_ns < self._last_seen:
            return "backward stamp"
        newest = self._stamps[-1] if self._stamps else stamp_ns
        if 2 * (stamp_ns - newest) > 3 * self.period_ns:
            return "gap"
        return None

    def _is_due(self, stamp_ns: int) -> bool:
        interval = median(self._intervals)
        stride = stride_for(1e9 / interval, self.period_ns / 1e9)
        since = stamp_ns - self._stamps[-1]
        # half a camera interval before the due time, this frame is nearer to it than the next one will be
        return since >= (stride - 0.5) * interval and 2 * since >= self.period_ns

    def _spacing_ns(self) -> int:
        if self.length == 1:
            return self.period_ns
        spacing = (self._stamps[-1] - self._stamps[0]) / (self.length - 1)
        if abs(spacing / self.period_ns - 1) <= NOMINAL_TOLERANCE:
            return self.period_ns
        return round(spacing)


