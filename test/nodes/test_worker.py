import os
import sys
import threading
from collections.abc import Hashable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidpred_ros.nodes.worker import Worker


class Gate:
    """Work that waits to be let through, one call at a time; ``rounds`` has the jobs of each call."""

    def __init__(self) -> None:
        self.rounds: list[dict[Hashable, int]] = []
        self.begun, self.go_on = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, jobs: dict[Hashable, int]) -> None:
        self.rounds.append(jobs)
        self.begun.release()
        assert self.go_on.acquire(timeout=10)


def test_a_waiting_job_gives_way_to_a_newer_one() -> None:
    gate = Gate()
    worker = Worker(gate)
    assert worker.submit(1) is None
    assert gate.begun.acquire(timeout=10)
    assert [worker.submit(job) for job in (2, 3, 4)] == [None, 2, 3]
    gate.go_on.release()
    assert gate.begun.acquire(timeout=10)
    gate.go_on.release()
    worker.stop()
    assert gate.rounds == [{None: 1}, {None: 4}]


def test_clear_drops_the_waiting_job_and_stop_lets_the_one_at_hand_finish() -> None:
    gate = Gate()
    worker = Worker(gate)
    worker.submit(1, "front")
    assert gate.begun.acquire(timeout=10)
    worker.submit(2, "front")
    worker.submit(2, "rear")
    worker.clear("front")
    assert worker.submit(3, "front") is None, "the slot is empty again"
    assert worker.submit(3, "rear") == 2, "and that of the other is not"
    threading.Timer(0.05, gate.go_on.release).start()
    worker.stop()
    assert gate.rounds == [{"front": 1}]


def test_the_sender_that_has_waited_longest_is_next() -> None:
    gate = Gate()
    worker = Worker(gate)
    worker.submit(0, "front")
    assert gate.begun.acquire(timeout=10)
    for number in range(1, 4):  # each sends again and again, and keeps its place
        for sender in ("left", "right", "front"):
            worker.submit(number, sender)
    for _ in range(4):
        gate.go_on.release()
    for _ in range(3):
        assert gate.begun.acquire(timeout=10)
    worker.stop()
    assert gate.rounds == [{"front": 0}, {"left": 3}, {"right": 3}, {"front": 3}]


@given(
    at_once=st.integers(1, 4),
    sent=st.lists(st.lists(st.integers(0, 5), max_size=12), min_size=1, max_size=12),
)
def test_newest_jobs_in_order_of_waiting_and_nobody_starves(at_once: int, sent: list[list[int]]) -> None:
    """``sent``: who sends while each round is being worked on. Against a list in which everybody queues up."""
    gate = Gate()
    worker: Worker[int] = Worker(gate, at_once)
    worker.submit(0, "first")
    assert gate.begun.acquire(timeout=10)
    queue: list[int] = []
    newest: dict[int, int] = {}
    wanted: list[dict[Hashable, int]] = [{"first": 0}]
    number = dropped = gone = 0
    for senders in [*sent, *[[]] * 6]:
        for sender in senders:
            number += 1
            gone += worker.submit(number, sender) is not None
            dropped += sender in queue
            newest[sender] = number
            queue += [] if sender in queue else [sender]
        if not queue:
            continue
        wanted.append({sender: newest[sender] for sender in queue[:at_once]})
        del queue[:at_once]
        gate.go_on.release()
        assert gate.begun.acquire(timeout=10)
    gate.go_on.release()
    worker.stop()
    assert gate.rounds == wanted and [list(jobs) for jobs in gate.rounds] == [list(jobs) for jobs in wanted]
    assert gone == dropped and not queue, "each replaced job is told of, and all who wait come to their turn"


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux only")
def test_a_nice_worker_gives_way_and_leaves_the_others_alone() -> None:
    found: list[int] = []
    done = threading.Event()

    def work(jobs: dict[Hashable, str]) -> None:
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        done.set()

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    worker: Worker[str] = Worker(work, niceness=19)
    worker.submit("job")
    assert done.wait(10)
    worker.stop()
    assert found == [19]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before < 19
