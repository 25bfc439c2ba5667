"""What the node says while it configures: the executor, which reports otherwise, is busy, and an engine that is exported and
built takes seconds to minutes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

#: Seconds between reports, and between lines in the log.
REPORT_EVERY_S, LOG_EVERY_S = 1.0, 5.0


class Preparation:
    """Tells of the long work that it is told of, from a thread of its own: at once when something else is begun, and every second.

    An instance is a ``Progress`` (engines/base.py), to be called from any thread. ``report`` gets the words, the share that is
    done (0 to 1, None: not known) and the seconds since the beginning; ``log`` gets a line for each beginning (of what stands
    before a colon) and every few seconds. Where ``wanted`` says no, the work that tells of itself is ended by a
    KeyboardInterrupt. ``close`` ends the telling.
    """

    def __init__(
        self,
        report: Callable[[str, float | None, float], None],
        log: Callable[[str], object],
        wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        self._report, self._log, self._wanted = report, log, wanted
        self._what = "loading the models"
        self._share: float | None = None
        self._lock = threading.Lock()
        self._told, self._ended = threading.Event(), threading.Event()
        self._begun = time.monotonic()
        self._thread = threading.Thread(target=self._repeat, name="preparation", daemon=True)
        self._thread.start()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._begun

    def __call__(self, what: str, share: float | None = None) -> None:
        if not self._wanted():
            raise KeyboardInterrupt
        work = what.partition(":")[0]
        with self._lock:
            new = work != self._what.partition(":")[0]
            self._what, self._share = what, share
        if new:
            self._log(work)
            self._told.set()

    def close(self) -> None:
        self._ended.set()
        self._told.set()
        self._thread.join()

    def _repeat(self) -> None:
        logged = 0.0
        while True:
            self._told.wait(REPORT_EVERY_S)
            self._told.clear()
            if self._ended.is_set():
                return
            with self._lock:
                what, share = self._what, self._share
            self._report(what, share, self.seconds)
            if self.seconds - logged >= LOG_EVERY_S:
                logged = self.seconds
                self._log(describe(what, share, self.seconds))


def describe(what: str, share: float | None, seconds: float) -> str:
    """In words: "building it: 43 %, 12 s so far"."""
    return f"{what}: " + ("" if share is None else f"{100 * share:.0f} %, ") + f"{seconds:.0f} s so far"
