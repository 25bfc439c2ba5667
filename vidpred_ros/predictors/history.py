"""Which frames of a window are new to a predictor that keeps something of each frame."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.window import Window


class Continuity:
    """Compares each window with the one before it."""

    def __init__(self) -> None:
        self._epoch = self._sequence = -1
        self._last: NDArray[np.uint8] | None = None

    def count(self, window: Window) -> int:
        """How many of the window's newest frames were not in the window before: 1 when none was missed, all at a start."""
        fresh = window.sequence - self._sequence
        # an older window, or one of another source that happens to have the next number, starts anew
        goes_on = 0 < fresh < len(window.frames) and window.frames[-1 - fresh] is self._last and window.epoch == self._epoch
        self._epoch, self._sequence, self._last = window.epoch, window.sequence, window.frames[-1]
        return fresh if goes_on else len(window.frames)

    @contextmanager
    def forgotten_on_error(self) -> Iterator[None]:
        """Around what an engine does with the new frames: after an error it lacks some, and the next window starts anew."""
        try:
            yield
        except Exception:
            self._last = None
            raise
