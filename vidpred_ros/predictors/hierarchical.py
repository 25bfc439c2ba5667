"""The hierarchical residual predictor (Shouno 2020) on an inference engine: windows in, Forecasts out.

The tree form streams: each new frame costs one pass, and what earlier frames left behind comes from short histories.
Frames that came in while a pass was running are made up for by a pass each; the first window, or one that has no frame
in common with the last, costs eight.
"""

from __future__ import annotations

import time
from collections import deque

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.engines import open_engine
from vidpred_ros.engines.base import Arrays
from vidpred_ros.engines.choice import EngineLike
from vidpred_ros.forecast import Forecast, horizons_from_frames
from vidpred_ros.models import ReleasedModel
from vidpred_ros.motion import DisFlow, gray
from vidpred_ros.predictors.base import check_steps
from vidpred_ros.predictors.history import Continuity
from vidpred_ros.window import Window


class Hierarchical:
    """K future frames from a released model. Raises ModelError, EngineError or ConfigError when it cannot be set up.

    ``latency_ms`` of a forecast: ``motion`` (optical flow), ``infer`` (the engine).
    """

    def __init__(self, model: ReleasedModel, engine: EngineLike, steps: int, stream: bool) -> None:
        card = model.card
        check_steps(card, steps)
        self.model_id, self.size, self.period_s = card.id, card.size, card.period
        self.window_length: int = card.window
        self.steps, self.weights_sha256 = steps, card.weights_sha256
        self._prior = card.network.needs_flows
        self._engine = open_engine(model, engine, "stream" if stream else "whole", steps)
        self._stream = self._engine.stream() if stream else None
        self.engine = f"{self._engine.name} {self._engine.precision}"
        self._flows = _FlowHistory(self.size, self.window_length)

    def predict(self, window: Window) -> Forecast:
        start = time.perf_counter()
        fresh = self._flows.update(window) if self._prior else self._flows.count(window)
        measured = time.perf_counter()
        frames = self._infer(window, fresh)
        latency = {"motion": (measured - start) * 1e3, "infer": (time.perf_counter() - measured) * 1e3}
        stamp = window.stamps_ns[-1]
        return Forecast(
            self.model_id, stamp, window.period_ns, horizons_from_frames(frames, stamp, window.period_ns), latency
        )

    def _infer(self, window: Window, fresh: int) -> NDArray[np.uint8]:
        if self._stream is None:
            inputs: Arrays = {"frames": np.stack(window.frames)}
            if self._prior:
                inputs["flows"] = np.stack(self._flows.newest[-self.window_length :])
            return self._engine.infer(inputs)["futures"]
        frames = window.frames
        if fresh == len(frames):  # nothing joins this window to the last one
            self._stream.clear()
            frames = frames[:1] + frames  # the first frame has none before it
        for i in range(-fresh, 0):
            newest = slice(i - 1, i + 1 or None)
            inputs = {"frames": np.stack(frames[newest])}
            if self._prior:
                inputs["flows"] = np.stack(self._flows.newest[newest])
            futures = self._stream.push(inputs)["futures"]
        return futures

    def close(self) -> None:
        self._engine.close()


class _FlowHistory(Continuity):
    """The backward flows of a window's frames, each measured once, and how many of the frames are new."""

    def __init__(self, size: tuple[int, int], length: int) -> None:
        super().__init__(length)
        self._dis = DisFlow()
        self._zero = np.zeros((*size, 2), np.float32)
        self._flows: deque[NDArray[np.float32]] = deque([self._zero], maxlen=length + 1)
        self._gray: NDArray[np.uint8] | None = None

    def update(self, window: Window) -> int:
        """``count``, and the flows of the frames that are new."""
        before = self._gray
        fresh = self.count(window)
        if fresh == self._length:
            before = None  # nothing joins this window to the last one
            self._flows.append(self._zero)
        for frame in window.frames[-fresh:]:
            now = gray(frame)
            self._flows.append(self._zero if before is None else self._dis(now, before))
            before = now
        self._gray = before
        return fresh

    @property
    def newest(self) -> list[NDArray[np.float32]]:
        """Flows in order of time, at most one more than a window holds; the newest frame's last."""
        return list(self._flows)
