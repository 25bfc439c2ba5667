import os
import sys
import threading

import pytest

from vidpred_ros.nodes.worker import Worker


def test_a_waiting_job_gives_way_to_a_newer_one() -> None:
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()
    worked = []

    def work(job: int) -> None:
        worked.append(job)
        begun.set()
        assert go_on.wait(10)
        if job == 4:
            done.set()

    worker = Worker(work)
    assert not worker.submit(1)
    assert begun.wait(10)
    assert [worker.submit(job) for job in (2, 3, 4)] == [False, True, True]
    go_on.set()
    assert done.wait(10)
    worker.stop()
    assert worked == [1, 4]


def test_clear_drops_the_waiting_job_and_stop_lets_the_one_at_hand_finish() -> None:
    begun, go_on = threading.Event(), threading.Event()
    worked = []

    def work(job: int) -> None:
        begun.set()
        assert go_on.wait(10)
        worked.append(job)

    worker = Worker(work)
    worker.submit(1)
    assert begun.wait(10)
    worker.submit(2)
    worker.clear()
    assert not worker.submit(3), "the slot is empty again"
    threading.Timer(0.05, go_on.set).start()
    worker.stop()
    assert worked == [1]


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux only")
def test_a_nice_worker_gives_way_and_leaves_the_others_alone() -> None:
    found: list[int] = []
    done = threading.Event()

    def work(job: str) -> None:
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        done.set()

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    worker: Worker[str] = Worker(work, niceness=19)
    worker.submit("job")
    assert done.wait(10)
    worker.stop()
    assert found == [19]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before < 19
