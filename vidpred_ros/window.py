"""FrameWindow: the ring buffer of the last 8 frames, in time and not in messages.

A camera runs at its own rate; a model was trained at one period (0.1 s for KITTI). The window keeps every n-th frame so
that the kept frames are evenly spaced and as near to the model's period as whole strides allow. The stride follows from
the camera's measured interval, so the choice is made the moment a frame arrives: no frame waits for its successor.

Frames are counted rather than timed, since one jittered stamp would otherwise make the window keep the wrong neighbour;
an interval that is clearly longer than the camera's counts for the frames that were lost in it. The stride is a guess
until SETTLED intervals have been seen. Then it is final, frames that a wrong guess put at uneven distances leave, and
only a real change of the camera's rate (low light, for one) changes it again.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Hashable
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import ConfigError

#: A measured spacing within this share of the model's period is jitter, not another rate.
NOMINAL_TOLERANCE = 0.1
#: Camera intervals that the rate estimate looks back on.
RATE_MEMORY = 15
#: Camera intervals after which the stride is final.
SETTLED = 5
#: The camera's interval has changed, and is not only better known, when it leaves the settled one by this factor.
RATE_CHANGE = 1.25
#: An interval of this many usual ones means that frames were lost; jitter of +-20 % of the interval stays below it.
LOST = 1.7
#: Spacing of the frames, in periods, from which on a camera is too slow for the model (1.5 and what is hard to measure).
SLOWEST = 1.6


@dataclass(frozen=True)
class Window:
    """A window, full unless fewer frames were asked for. ``sequence`` grows by one with each kept frame, ``epoch`` whenever
    frames left other than as the oldest of a full window (a reset); neither ever falls."""

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
    return low if abs(exact / low - 1) < abs(exact / (low + 1) - 1) - 1e-6 else low + 1


def _usual(intervals: Collection[int]) -> float:
    """Mean of the intervals in which no frame was lost; jitter cancels in a mean, which a median does not use."""
    longest = LOST * median(intervals)
    return fmean(i for i in intervals if i <= longest)


class FrameWindow:
    """The last ``length`` frames spaced by about ``period_s`` seconds; tolerance half a spacing on each of them.

    ``offer(stamp, signature)`` decides before the frame is converted; ``push(stamp, frame)`` stores one that was taken.
    A gap of more than 1.5 spacings (in whole camera frames), a stamp that goes back (a bag that loops) or a changed
    signature (size or encoding) empties the window; the frame that showed it starts the next one. A camera slower than
    the model by half a period or more never fills it. Raises ConfigError for a length or period <= 0.
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
        self._counts: deque[int] = deque(maxlen=length)  # camera frames from the kept frame before to each kept frame
        self._count = 0  # camera frames since the newest kept one
        self._intervals: deque[int] = deque(maxlen=RATE_MEMORY)
        self._interval = 0.0  # ns, the camera's usual interval as measured so far; 0 before the second frame
        self._settled_interval = 0.0  # the interval that the stride was chosen for
        self._stride = 1
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
        self._empty()
        self._intervals.clear()
        self._interval = 0.0

    def offer(self, stamp_ns: int, signature: Hashable = None) -> Offer:
        """Say whether the frame of this stamp belongs in the window. Call once for each frame, in order of arrival."""
        reason = self._broken_by(stamp_ns, signature)
        if reason == "duplicate":
            return Offer(take=False, skipped="duplicate")
        if reason == "image changed":
            self.reset()
        elif reason is not None:
            self._empty()  # the same camera goes on: its rate is known
        if self._last_seen is not None:
            self._measure(stamp_ns - self._last_seen)
        self._last_seen = stamp_ns
        self._signature = signature
        if self._stamps and not self._is_due(stamp_ns):
            return Offer(take=False, skipped="between")
        return Offer(take=True, reset=reason)

    def push(self, stamp_ns: int, frame: NDArray[np.uint8]) -> None:
        """Store a frame that ``offer`` took. The array is kept as it is: the caller does not write to it again."""
        self._stamps.append(stamp_ns)
        self._frames.append(frame)
        self._counts.append(self._count)
        self._count = 0
        self.sequence += 1

    def add(self, stamp_ns: int, frame: NDArray[np.uint8]) -> Offer:
        """``offer`` and, if it is taken, ``push``, for frames that are at hand already."""
        answer = self.offer(stamp_ns, frame.shape)
        if answer.take:
            self.push(stamp_ns, frame)
        return answer

    def window(self, least: int | None = None) -> Window | None:
        """The window that ends with the newest kept frame, or None while fewer than ``least`` (None: all) are there."""
        if len(self) < (self.length if least is None else least):
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
        if self._stamps and stamp_ns - self._stamps[-1] > self._longest_ns():
            return "gap"
        return None

    def _empty(self) -> None:
        self._stamps.clear()
        self._frames.clear()
        self._counts.clear()
        self._count = 0
        self._last_seen = None
        self._signature = None
        self.epoch += 1

    @property
    def _settled(self) -> bool:
        return len(self._intervals) >= SETTLED

    def _measure(self, interval_ns: int) -> None:
        """Count the camera frames since the last one seen, and learn the interval and the stride."""
        lost = self._settled and interval_ns > LOST * self._interval
        self._count += math.floor(interval_ns / self._interval + 0.5) if lost else 1
        self._intervals.append(interval_ns)
        self._interval = _usual(self._intervals)
        change = self._interval / self._settled_interval if self._settled else 1
        if not 1 / RATE_CHANGE <= change <= RATE_CHANGE:
            for _ in range(len(self._intervals) // 2):
                self._intervals.popleft()  # the older half still shows the old rate
            self._interval = _usual(self._intervals)
            self._choose_stride()
        elif len(self._intervals) <= SETTLED:
            self._choose_stride()
        if len(self._intervals) == SETTLED:
            self._drop_uneven()

    def _choose_stride(self) -> None:
        self._settled_interval = self._interval
        self._stride = stride_for(1e9 / self._interval, self.period_ns / 1e9)

    def _drop_uneven(self) -> None:
        """Keep the newest frames that lie one stride apart, in frames and in time, as long as the next one can too."""
        spacing = self._stride * self._interval
        even = 1 if self._count <= self._stride else 0
        while 0 < even < len(self._stamps):
            measured = self._stamps[-even] - self._stamps[-even - 1]
            if self._counts[-even] != self._stride or not 0.5 * spacing <= measured <= 1.5 * spacing:
                break
            even += 1
        uneven = max(0, len(self._stamps) - even)
        for _ in range(uneven):
            self._stamps.popleft()
            self._frames.popleft()
            self._counts.popleft()
        self.epoch += uneven > 0

    def _is_due(self, stamp_ns: int) -> bool:
        spacing = min(self.period_ns, self._stride * self._interval)
        # the second condition holds back a camera that has just become much faster, until its new rate is known
        return self._count >= self._stride and 2 * (stamp_ns - self._stamps[-1]) >= spacing

    def _longest_ns(self) -> float:
        """The distance from the newest kept frame beyond which the next one does not belong to the same window."""
        if not self._settled:
            return 1.5 * SLOWEST * self.period_ns
        if self._interval > SLOWEST * self.period_ns:
            return 1.5 * self.period_ns
        # half a stride late, in whole camera frames, and half an interval for the jitter of the last of them
        return max(1.5 * self.period_ns, (self._stride * 3 // 2 + 0.5) * self._interval)

    def _spacing_ns(self) -> int:
        if len(self) < 2:
            return self.period_ns
        spacing = (self._stamps[-1] - self._stamps[0]) / (len(self) - 1)
        if abs(spacing / self.period_ns - 1) <= NOMINAL_TOLERANCE:
            return self.period_ns
        return round(spacing)
