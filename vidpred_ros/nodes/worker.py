"""A thread that works on the newest job only."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Job = TypeVar("Job")


class Worker(Generic[Job]):
    """Calls ``work(job)`` in a thread of its own. One slot: a job that has not begun is replaced by a newer one.

    ``niceness`` above 0 lets the threads of other workers go first where there are too few processors (Linux only).
    """

    def __init__(self, work: Callable[[Job], None], niceness: int = 0) -> None:
        self._work, self._niceness = work, niceness
        self._slot: Job | None = None
        self._stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> bool:
        """Hand over the newest job. True if it took the place of one that had not begun."""
        with self._changed:
            replaced = self._slot is not None
            self._slot = job
            self._changed.notify()
        return replaced

    def clear(self) -> None:
        """Forget a job that has not begun."""
        with self._changed:
            self._slot = None

    def stop(self) -> None:
        """Let the job at hand finish, drop what waits, end the thread."""
        with self._changed:
            self._slot = None
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        if (
            self._niceness and sys.platform == "linux"
        ):  # where a priority is a thread's, and not its process's
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._niceness)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._slot is not None)
                if self._stopping:
                    return
                job, self._slot = self._slot, None
            assert job is not None  # wait_for says so
            self._work(job)
