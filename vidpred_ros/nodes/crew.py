"""The thread in which lanes predict. A lane has its own, but the lanes of several cameras share one, as they share an engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, cast

from vidpred_ros.forecast import Forecast
from vidpred_ros.nodes.worker import Worker

if TYPE_CHECKING:
    from vidpred_ros.nodes.lane import Job, Lane

#: From the waiting jobs to their forecasts; a job may have none.
Predict = Callable[["Mapping[Lane, Job]"], "Mapping[Lane, Forecast | None]"]


def each_alone(jobs: Mapping[Lane, Job]) -> dict[Lane, Forecast | None]:
    """Every lane predicts by itself."""
    return {lane: lane.predict(job) for lane, job in jobs.items()}


class Crew:
    """Takes the newest job of the lane that has waited longest, or of up to ``at_once`` lanes, which ``predict`` does together."""

    def __init__(self, predict: Predict = each_alone, at_once: int = 1, niceness: int = 0) -> None:
        self._predict, self._at_once, self._niceness = predict, at_once, niceness
        self._lanes: set[Lane] = set()
        self._worker: Worker[Job] | None = None

    def start(self, lane: Lane) -> None:
        """Work for this lane too; the thread begins with the first one."""
        self._lanes.add(lane)
        if self._worker is None:
            self._worker = Worker(self._work, self._at_once, self._niceness)

    def stop(self, lane: Lane) -> None:
        """Work for this lane no more; the last one's forecast at hand is finished, and the thread ends with it."""
        self._lanes.discard(lane)
        self.clear(lane)
        if not self._lanes and self._worker is not None:
            self._worker.stop()
            self._worker = None

    def submit(self, lane: Lane, job: Job) -> Job | None:
        """Hand over a lane's newest job. Returns the one that it took the place of. Nothing happens unless ``start`` was called."""
        return None if self._worker is None else self._worker.submit(job, lane)

    def clear(self, lane: Lane) -> None:
        """Forget the lane's job that has not begun."""
        if self._worker is not None:
            self._worker.clear(lane)

    def _work(self, waiting: dict[Hashable, Job]) -> None:
        jobs = cast("dict[Lane, Job]", waiting)
        begun = time.perf_counter()
        try:
            forecasts = self._predict(jobs)
        except Exception as error:  # noqa: BLE001 - whatever the engine raises, the node lives on and says so
            for lane in jobs:
                lane.failed(error)
            return
        predicted = time.perf_counter()
        for lane, job in jobs.items():
            forecast = forecasts.get(lane)
            if forecast is None:
                continue
            try:
                lane.publish(job, forecast, begun, predicted)
            except Exception as error:  # noqa: BLE001 - of the graph, when a signal closes it
                lane.failed(error)
