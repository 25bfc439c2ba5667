"""A thread that works on the newest job of each of its senders."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Job = TypeVar("Job")


class Worker(Generic[Job]):
    """Calls ``work`` in a thread of its own with the jobs of up to ``at_once`` senders: {sender: job}.

    Each sender has one slot: a job that has not begun is replaced by a newer one, which takes over its place in the queue.
    So the sender that has waited longest is always next, and none that sends often can keep another waiting.
    ``niceness`` above 0 lets the threads of other workers go first where there are too few processors (Linux only).
    """

    def __init__(self, work: Callable[[dict[Hashable, Job]], None], at_once: int = 1, niceness: int = 0) -> None:
        self._work, self._at_once, self._niceness = work, at_once, niceness
        self._waiting: dict[Hashable, Job] = {}  # in the order in which senders began to wait
        self._stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)
        self._thread.start()

    def submit(self, job: Job, sender: Hashable = None) -> Job | None:
        """Hand over a sender's newest job. Returns the one that it took the place of, if that had not begun."""
        with self._changed:
            replaced = self._waiting.get(sender)
            self._waiting[sender] = job
            self._changed.notify()
        return replaced

    def clear(self, sender: Hashable = None) -> None:
        """Forget a sender's job that has not begun."""
        with self._changed:
            self._waiting.pop(sender, None)

    def stop(self) -> None:
        """Let the jobs at hand finish, drop what waits, end the thread."""
        with self._changed:
            self._waiting.clear()
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        if self._niceness and sys.platform == "linux":  # where a priority is a thread's, and not its process's
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._niceness)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._waiting)
                if self._stopping:
                    return
                jobs = {sender: self._waiting.pop(sender) for sender in list(self._waiting)[: self._at_once]}
            self._work(jobs)
