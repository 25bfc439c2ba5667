"""The hierarchical residual predictor (Shouno 2020) on an inference engine: windows in, Forecasts out.

The tree form streams: each new frame costs one pass, and what earlier frames left behind comes from short histories.
Frames that came in while a pass was running are made up for, each with a pass that makes no forecast (a third as long, or less); of a
window that has no frame in common with the last these are seven, unless ``follow`` saw its frames as they came.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.engines import open_engine
from vidpred_ros.engines.base import Arrays, Engine
from vidpred_ros.engines.choice import EngineLike
from vidpred_ros.forecast import Forecast, horizons_from_frames
from vidpred_ros.models import ReleasedModel
from vidpred_ros.motion import DisFlow, gray
from vidpred_ros.networks.config import HierarchicalConfig
from vidpred_ros.predictors.base import check_steps
from vidpred_ros.predictors.history import Continuity
from vidpred_ros.window import Window


class Hierarchical:
    """K future frames of one camera, from a released model on an engine that was opened for it (kind "stream" or "whole").

    Several may share the engine, one after the other: each has flows and a stream of its own. ``latency_ms`` of a forecast:
    ``motion`` (optical flow), ``infer`` (the engine). ``close`` closes the engine. Raises ConfigError for steps out of range.
    """

    def __init__(self, model: ReleasedModel, engine: Engine, steps: int) -> None:
        card, config = model.card, model.card.network
        assert config.kind == "hierarchical"
        self.model_id, self.size, self.period_s = card.id, card.size, card.period
        self.window_length: int = card.window
        self.steps, self.weights_sha256 = steps, card.weights_sha256
        self.engine = f"{engine.name} {engine.precision}"
        self._engine = engine
        self._stream = engine.stream() if engine.metadata["vidpred.kind"] == "stream" else None
        self._flows = FlowHistory(self.size, self.window_length, config)

    def predict(self, window: Window) -> Forecast:
        start = time.perf_counter()
        fresh = self._flows.update(window)
        measured = time.perf_counter()
        with self._flows.forgotten_on_error():
            futures = self._whole(window) if self._stream is None else self._streamed(window, fresh)
        latency = {"motion": (measured - start) * 1e3, "infer": (time.perf_counter() - measured) * 1e3}
        stamp = window.stamps_ns[-1]
        return Forecast(
            self.model_id, stamp, window.period_ns, horizons_from_frames(futures, stamp, window.period_ns), latency
        )

    def follow(self, window: Window) -> None:
        fresh = self._flows.update(window)
        if self._stream is not None:
            with self._flows.forgotten_on_error():
                self._make_up(window, fresh, 0)

    def _whole(self, window: Window) -> NDArray[np.uint8]:
        inputs: Arrays = {"frames": np.stack(window.frames)}
        if self._flows.measured:
            inputs["flows"] = np.stack(self._flows.newest(self.window_length))
        return self._engine.infer(inputs)["futures"]

    def _streamed(self, window: Window, fresh: int) -> NDArray[np.uint8]:
        assert self._stream is not None
        self._make_up(window, fresh, 1)
        return self._stream.push(self._frame_inputs(window, 0))["futures"]

    def _make_up(self, window: Window, fresh: int, left: int) -> None:
        """Take in the ``fresh`` newest frames but the ``left`` newest, without a forecast."""
        assert self._stream is not None
        if fresh == len(window.frames):  # nothing joins this window to the last one
            self._stream.clear()
        for age in range(fresh - 1, left - 1, -1):
            self._stream.advance(self._frame_inputs(window, age))

    def _frame_inputs(self, window: Window, age: int) -> Arrays:
        """What a stream takes of the frame that has ``age`` newer ones."""
        inputs: Arrays = {"frames": np.stack(frame_pair(window, age))}
        if self._flows.measured:
            inputs["flows"] = np.stack(self._flows.newest(self._flows.decoded, age))
        return inputs

    def close(self) -> None:
        self._engine.close()


def open_hierarchical(
    model: ReleasedModel, engine: EngineLike, steps: int, stream: bool, batch: int | Callable[[str], int] = 1
) -> Engine:
    """The engine that ``Hierarchical`` wants, or with ``batch`` (as ``open_engine`` has it) above 1 ``CameraBatch``.

    Raises EngineError, and ConfigError for steps out of range.
    """
    check_steps(model.card, steps)
    return open_engine(model, engine, "stream" if stream else "whole", steps, batch=batch)


def frame_pair(window: Window, age: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The frame that has ``age`` newer ones in the window, after the one before it; the first has none and stands in for it."""
    newest = len(window.frames) - 1 - age
    return window.frames[max(0, newest - 1)], window.frames[newest]


class FlowHistory(Continuity):
    """The backward flows of a window's frames, each measured once, and how many of the frames are new.

    Where the network wants no flow (``measured`` is false) frames are counted only. ``decoded``: how many flows one frame of a
    stream goes with.
    """

    def __init__(self, size: tuple[int, int], length: int, config: HierarchicalConfig) -> None:
        self.measured, self.decoded = config.needs_flows, config.flows_decoded
        self._dis = DisFlow()
        self._zero = np.zeros((*size, 2), np.float32)
        before = [self._zero] * (self.decoded - 1)  # what goes with the window's first frame
        self._flows: deque[NDArray[np.float32]] = deque(before, maxlen=length + len(before))
        self._gray: NDArray[np.uint8] | None = None
        super().__init__()

    def update(self, window: Window) -> int:
        """``count``, and the flows of the frames that are new."""
        fresh = self.count(window)
        if not self.measured:
            return fresh
        before = self._gray
        if fresh == len(window.frames):
            before = None  # nothing joins this window to the last one
            self._flows.extend([self._zero] * (self.decoded - 1))
        for frame in window.frames[-fresh:]:
            now = gray(frame)
            self._flows.append(self._zero if before is None else self._dis(now, before))
            before = now
        self._gray = before
        return fresh

    def newest(self, count: int, age: int = 0) -> list[NDArray[np.float32]]:
        """``count`` flows in order of time, the last that of the frame that has ``age`` newer ones."""
        end = len(self._flows) - age
        return [self._flows[i] for i in range(end - count, end)]
