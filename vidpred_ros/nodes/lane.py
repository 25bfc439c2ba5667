"""A lane of the predictor node: one predictor with a window, output topics and counters of its own.

The executor's thread brings frames and keeps the window without a hole; the thread of the lane's crew predicts on the newest
window. Lanes of one camera share nothing but its messages, so a slow one never delays another.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode

from vidpred_ros.errors import ImageError
from vidpred_ros.forecast import Forecast
from vidpred_ros.nodes.crew import Crew
from vidpred_ros.nodes.diagnostics import BUSY, Counters
from vidpred_ros.nodes.picture import Picture
from vidpred_ros.predictors.base import Follower, Predictor
from vidpred_ros.window import FrameWindow, Offer, Window


@dataclass(frozen=True)
class Arrival:
    """A message as it came in. Times are perf_counter's."""

    stamp_ns: int
    frame_id: str
    missed: int  # messages sent before it that never came
    receive_ms: float  # from the publisher's write to our callback
    begun: float  # when the callback began


class LaneOutputs(Protocol):
    """The topics of a lane."""

    what: str  # a forecast has, and where, for the log

    def announce(self) -> None:
        """What is said once, as the lane starts."""

    def publish(self, forecast: Forecast, last: NDArray[np.uint8], frame_id: str) -> None:
        """What the forecast holds. ``last`` is the newest frame of its window."""

    def publish_info(
        self, forecast: Forecast, frame_id: str, engine: str, sequence: int, latency_ms: Mapping[str, float]
    ) -> None:
        """Its particulars, once all else is out."""

    def destroy(self) -> None:
        """End the topics."""


@dataclass(frozen=True)
class Job:
    """A window to predict on, or to follow while it is not full, and when its newest frame came and was kept."""

    window: Window
    full: bool
    arrival: Arrival
    kept: float


class Lane:
    """Call ``start`` and ``stop`` with the node's activation, ``take`` for each camera image, ``close`` at the end.

    ``free`` frees the predictor and what it works with. ``crew`` None: one of its own. ``camera``: name of one of several.
    """

    niceness = 0

    def __init__(
        self,
        node: LifecycleNode,
        predictor: Predictor,
        outputs: LaneOutputs,
        free: Callable[[], None],
        crew: Crew | None = None,
        camera: str = "",
    ) -> None:
        self.predictor = predictor
        self.image = f"{camera}/image" if camera else "image"  # the topic of its camera, before remapping
        self.source = self.image  # the topic of what comes in
        self.window = FrameWindow(predictor.period_s, predictor.window_length)
        self.counters = Counters()
        self._node, self._outputs, self._free = node, outputs, free
        self._crew = crew or Crew(niceness=self.niceness)
        self._follows = isinstance(predictor, Follower)
        self._shape: Hashable = None

    def start(self) -> None:
        """Begin to count and to predict."""
        self.counters = Counters()
        self._outputs.announce()
        self._crew.start(self)

    def stop(self) -> None:
        """Let the forecast at hand finish and forget all frames."""
        self._crew.stop(self)
        self.window.reset()

    def close(self) -> None:
        """Stop, end the topics and free the engine."""
        self.stop()
        self._outputs.destroy()
        self._free()

    def forget(self) -> int:
        """Empty the window. Returns how many frames it held."""
        held = len(self.window)
        self.window.reset()
        self._crew.clear(self)
        self.counters.count_reset("service")
        return held

    # --- frames in: the executor's thread --------------------------------------------------------------------------

    def take(self, arrival: Arrival, picture: Picture) -> None:
        """Keep the image if the window wants it, and predict if the window is full."""
        self.counters.count_frame(arrival.missed)
        try:
            if self._keep(arrival.stamp_ns, picture):
                self._submit(arrival)
        except ImageError as error:
            self._drop("corrupt image", str(error))

    def _keep(self, stamp_ns: int, picture: Picture) -> bool:
        """Convert and store the image; the header decides, so skipped ones cost nothing."""
        if not self._offer(stamp_ns, picture.signature).take:
            return False
        frame = picture.at(self.predictor.size)
        if (
            len(self.window) and picture.shape != self._shape
        ):  # a compressed image, whose header does not tell
            self.window.reset()
            self.window.offer(stamp_ns, picture.signature)
            self.counters.count_reset("image changed")
        self._shape = picture.shape
        self.window.push(stamp_ns, frame)
        return True

    def _offer(self, stamp_ns: int, signature: Hashable) -> Offer:
        answer = self.window.offer(stamp_ns, signature)
        if answer.reset:
            self.counters.count_reset(answer.reset)
            self._node.get_logger().info(f"{self.source}: the window begins anew: {answer.reset}")
        if answer.skipped:
            self.counters.count_drop(answer.skipped)
        return answer

    def _drop(self, reason: str, fault: str) -> None:
        self.counters.count_drop(reason, fault)
        self._node.get_logger().warning(f"{self.source}: dropped: {fault}", throttle_duration_sec=5.0)

    def _submit(self, arrival: Arrival) -> None:
        window = self.window.window(least=1 if self._follows else None)
        if window is None:
            return
        replaced = self._crew.submit(self, self._job(window, arrival))
        if replaced is not None and replaced.full:
            self.counters.count_drop(BUSY)

    def _job(self, window: Window, arrival: Arrival) -> Job:
        return Job(window, self.window.full, arrival, time.perf_counter())

    # --- forecasts out: the crew's thread --------------------------------------------------------------------------

    def predict(self, job: Job) -> Forecast | None:
        """The forecast of a full window; one that is not full is only followed."""
        if job.full:
            return self._predict(job)
        assert isinstance(self.predictor, Follower), "or there is no such job"
        self.predictor.follow(job.window)
        return None

    def _predict(self, job: Job) -> Forecast:
        return self.predictor.predict(job.window)

    def failed(self, error: Exception) -> None:
        """Tell of a prediction that raised."""
        if not self._node.context.ok():
            return  # a signal closed the graph between the frame and its forecast
        self.counters.count_drop("prediction failed", f"{type(error).__name__}: {error}")
        trace = "".join(traceback.format_exception(error))
        self._node.get_logger().error(f"prediction failed:\n{trace}", throttle_duration_sec=5.0)

    def publish(self, job: Job, forecast: Forecast, begun: float, predicted: float) -> None:
        """Publish what was predicted from ``begun`` to ``predicted`` (perf_counter) and keep the time of each stage in ms.

        receive: from the publisher's write to our callback; convert: to the kept frame at the model's size; wait: for this
        thread; predict: of it, the predictor's own stages are predict/...; publish: of all but the info; overhead: the
        total less the predictor's own stages.
        """
        arrival = job.arrival
        self._outputs.publish(forecast, job.window.frames[-1], arrival.frame_id)
        published = time.perf_counter()

        total_ms = arrival.receive_ms + (published - arrival.begun) * 1e3
        overhead_ms = total_ms - sum(forecast.latency_ms.values())
        stages = {
            "receive": arrival.receive_ms,
            "convert": (job.kept - arrival.begun) * 1e3,
            "wait": (begun - job.kept) * 1e3,
            **{f"predict/{stage}": ms for stage, ms in forecast.latency_ms.items()},
            "predict": (predicted - begun) * 1e3,
            "publish": (published - predicted) * 1e3,
            "total": total_ms,
            "overhead": overhead_ms,
        }
        self.counters.count_forecast(total_ms, overhead_ms)
        self._outputs.publish_info(
            forecast, arrival.frame_id, self.predictor.engine, job.window.sequence, stages
        )
        if self.counters.predicted == 1:
            self._node.get_logger().info(f"first forecast: {self._outputs.what}, {total_ms:.0f} ms")
