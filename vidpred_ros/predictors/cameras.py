"""Predictors of several cameras that share one engine: one camera after the other, or all that wait in one pass.

On a GPU six cameras go as one batch, which fills it better than one. On a CPU they go one after the other: measured on two
cores (hrp_tree_w25, OpenVINO bf16), six passes take 45 ms with one step and 123 ms with five, a batch of six 41 and 128 ms, but
the first of the six has its forecast after 8 (20) ms, and a batch costs as much when one camera is all that waits.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.engines.base import Arrays, Engine
from vidpred_ros.engines.choice import GPU_ENGINES, EngineLike, torch_on_gpu
from vidpred_ros.forecast import Forecast, horizons_from_frames
from vidpred_ros.models import ReleasedModel
from vidpred_ros.predictors import BASELINES, find_frame_model, make_predictor
from vidpred_ros.predictors.base import Predictor
from vidpred_ros.predictors.hierarchical import FlowHistory, Hierarchical, frame_pair, open_hierarchical
from vidpred_ros.window import Window


class CameraBatch:
    """N cameras on an engine that was opened with ``batch=N`` (kind "stream" or "whole"); ``seats`` has a Predictor for each.

    ``latency_ms`` of a forecast: ``motion`` (the optical flow of all cameras), ``infer`` (the engine).
    """

    def __init__(self, model: ReleasedModel, engine: Engine, steps: int, cameras: int) -> None:
        self.engine = engine
        self._length, self._size = model.card.window, model.card.size
        config = model.card.network
        assert config.kind == "hierarchical"
        self._histories = [FlowHistory(self._size, self._length, config) for _ in range(cameras)]
        # a flow is too small to keep many processors busy: 21 ms for six in turn on two of them, 20 side by side
        self._pool = ThreadPoolExecutor(cameras, "flow")
        self._stream = engine.stream() if engine.metadata["vidpred.kind"] == "stream" else None
        ports = [name for name in ("frames", "flows") if name in engine.inputs]
        self._inputs: Arrays = {name: np.zeros(engine.inputs[name], engine.dtypes[name]) for name in ports}
        self.seats = [CameraSeat(self, number, model, steps) for number in range(cameras)]

    def predict(self, windows: Mapping[int, Window]) -> dict[int, Forecast]:
        """Forecasts by the number of the camera. A window that is not full yet is only taken in."""
        start = time.perf_counter()
        counts = self._pool.map(lambda camera: self._histories[camera].update(windows[camera]), windows)
        fresh = dict(zip(windows, counts, strict=True))
        measured = time.perf_counter()
        full = {camera: window for camera, window in windows.items() if len(window.frames) == self._length}
        with ExitStack() as histories:
            for camera in windows:
                histories.enter_context(self._histories[camera].forgotten_on_error())
            if self._stream is not None:
                futures = self._streamed(windows, fresh)
            elif full:
                futures = self._whole(full)
        latency = {"motion": (measured - start) * 1e3, "infer": (time.perf_counter() - measured) * 1e3}
        seats = self.seats
        return {camera: seats[camera].forecast(window, futures[camera], latency) for camera, window in full.items()}

    def _whole(self, windows: Mapping[int, Window]) -> NDArray[np.uint8]:
        for camera, window in windows.items():
            self._fill(camera, window.frames)
        return self.engine.infer(self._inputs)["futures"]

    def _streamed(self, windows: Mapping[int, Window], fresh: Mapping[int, int]) -> NDArray[np.uint8]:
        """A pass for each frame that the camera with the most new ones has; the others join in at the end."""
        assert self._stream is not None
        for camera, window in windows.items():
            if fresh[camera] == len(window.frames):  # nothing joins this window to the last one
                self._stream.clear(camera)
        for age in range(max(fresh.values()) - 1, -1, -1):
            present = np.array([fresh.get(camera, 0) > age for camera in range(len(self._histories))])
            for camera in np.flatnonzero(present).tolist():
                self._fill(camera, frame_pair(windows[camera], age), age)
            futures = self._stream.push(self._inputs, present)["futures"]
        return futures

    def _fill(self, camera: int, frames: Sequence[NDArray[np.uint8]], age: int = 0) -> None:
        """Inputs of one camera: these frames, the last of which has ``age`` newer ones, and their flows."""
        np.stack(frames, out=self._inputs["frames"][camera])
        if "flows" in self._inputs:
            flows = self._inputs["flows"][camera]
            np.stack(self._histories[camera].newest(len(flows), age), out=flows)

    def close(self) -> None:
        self._pool.shutdown()
        self.engine.close()


class CameraSeat:
    """One camera of a batch as a Predictor, which it can be by itself too: then the others are absent."""

    def __init__(self, batch: CameraBatch, number: int, model: ReleasedModel, steps: int) -> None:
        self.batch, self.number, self.steps = batch, number, steps
        self.model_id, self.size, self.period_s = model.card.id, model.card.size, model.card.period
        self.window_length: int = model.card.window
        self.engine = f"{batch.engine.name} {batch.engine.precision}"

    def predict(self, window: Window) -> Forecast:
        return self.batch.predict({self.number: window})[self.number]

    def follow(self, window: Window) -> None:
        self.batch.predict({self.number: window})

    def forecast(self, window: Window, futures: NDArray[np.uint8], latency_ms: Mapping[str, float]) -> Forecast:
        """What the batch gave this camera: futures K x H x W x 3."""
        stamp, period_ns = window.stamps_ns[-1], window.period_ns
        return Forecast(self.model_id, stamp, period_ns, horizons_from_frames(futures, stamp, period_ns), latency_ms)

    def close(self) -> None:
        self.batch.close()


def make_predictors(model: str, engine: EngineLike, steps: int, cameras: int) -> list[Predictor]:
    """A predictor for each of several cameras on one engine: to be used from one thread, and closed together.

    On a GPU the hierarchical networks give the ``seats`` of a ``CameraBatch``. Raises what ``make_predictor`` raises.
    """
    released = None if model in BASELINES else find_frame_model(model)
    if released is None or released.card.network.kind != "hierarchical":
        return [make_predictor(released or model, engine, steps)] * cameras  # it remembers nothing, so one serves all
    # asked for each engine that is tried: a CPU's may take the place of a GPU's that fails
    opened = open_hierarchical(released, engine, steps, released.card.network.streams, lambda name: cameras if _on_gpu(name) else 1)
    if opened.metadata["vidpred.batch"] != "1":
        return list(CameraBatch(released, opened, steps, cameras).seats)
    return [Hierarchical(released, opened, steps) for _ in range(cameras)]


def _on_gpu(engine: str) -> bool:
    """Whether the engine of that name runs on a GPU here."""
    return engine in GPU_ENGINES or (engine == "torch" and torch_on_gpu())
