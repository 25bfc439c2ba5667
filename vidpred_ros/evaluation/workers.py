"""Spreads jobs over worker processes, or over machines with Ray. The scheduling is theirs."""

from __future__ import annotations

import importlib
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.queues import Queue
from typing import Any

from vidpred_ros.errors import ConfigError
from vidpred_ros.evaluation.jobs import Job, attempt

Done = Iterator[tuple[Job, dict[str, Any]]]


def in_processes(jobs: Sequence[Job], workers: int, command: str = "") -> Done:
    """Each job with its result or {"error": ...}, in order of completion, from ``workers`` processes of one thread each.

    A worker that dies (out of memory, a crash in a library) takes its pool with it: the jobs that it left are run again,
    each in a pool of its own, and the one that kills it again is the one that failed.
    """
    unfinished: list[Job] = []
    with _pool(workers) as pool:
        running = {pool.submit(attempt, job, command): job for job in jobs}
        for future in as_completed(running):
            try:
                yield running[future], future.result()
            except BrokenProcessPool:
                unfinished.append(running[future])
    for job in unfinished:
        with _pool(1) as pool:
            try:
                result = pool.submit(attempt, job, command).result()
            except BrokenProcessPool:
                result = {"error": "its process died: out of memory, or a crash in a library"}
        yield job, result


def _pool(workers: int) -> ProcessPoolExecutor:
    # before a child loads its libraries; a process on one core whose libraries start more threads only waits for itself
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    context = multiprocessing.get_context("spawn")
    cores: Queue[int] = context.Queue()
    available = sorted(os.sched_getaffinity(0))
    for i in range(workers):
        cores.put(available[i % len(available)])
    return ProcessPoolExecutor(workers, context, _stay_on_one_core, (cores,))


def _stay_on_one_core(cores: Queue[int]) -> None:
    """Give a worker a core of its own: engines take as many threads as they see cores."""
    os.sched_setaffinity(0, {cores.get()})


def on_ray(jobs: Sequence[Job], address: str, command: str = "") -> Done:
    """As ``in_processes``, on the machines of a Ray cluster: one CPU for each job.

    Every machine needs this package, and models and sequences under the same paths. ``address`` is what ``ray.init``
    takes: "auto", HOST:PORT or ray://HOST:PORT. Raises ConfigError where Ray is missing or the cluster does not answer.
    """
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError:
        raise ConfigError(f"--ray {address} needs Ray, here and on every machine: pip install ray") from None
    try:
        ray.init(address=address)
    except Exception as error:  # noqa: BLE001 - its kinds differ with the address's form
        raise ConfigError(f"--ray {address}: no Ray cluster answers there ({error}); start one with `ray start --head`") from None
    try:
        task = ray.remote(num_cpus=1)(attempt)
        pending = {task.remote(job, command): job for job in jobs}
        while pending:
            ready, _ = ray.wait(list(pending), num_returns=1)
            for reference in ready:
                job = pending.pop(reference)
                try:
                    result = ray.get(reference)
                except Exception as error:  # noqa: BLE001 - a lost machine or worker: this job failed, the others go on
                    result = {"error": f"on Ray: {type(error).__name__}: {error}"}
                yield job, result
    finally:
        ray.shutdown()
