"""One trial: a window, what a predictor made of it, and what then happened. ``replay`` makes them from a SOURCE."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import ConfigError, SourceError
from vidpred_ros.forecast import Forecast
from vidpred_ros.predictors import Predictor
from vidpred_ros.preprocess import crop_and_resize
from vidpred_ros.sources.base import Source, SourceFrame
from vidpred_ros.window import FrameWindow, Window

#: Wraps the frames of a source, for a progress bar.
Watch = Callable[[Iterable[SourceFrame]], Iterable[SourceFrame]]


@dataclass(frozen=True)
class Trial:
    """``predicted`` and ``truth`` are KxHxWx3 uint8 RGB: step k is at index k - 1."""

    index: int  # 0, 1, ... over the whole source
    window: Window
    forecast: Forecast
    truth: NDArray[np.uint8]
    latency_ms: float | None  # wall clock of the whole prediction; None when it was not measured

    @property
    def predicted(self) -> NDArray[np.uint8]:
        return stack_frames(self.forecast)


def stack_frames(forecast: Forecast) -> NDArray[np.uint8]:
    """The K predicted frames as one array KxHxWx3. Raises ConfigError for a forecast without frames."""
    frames = [horizon.frame for horizon in forecast.horizons if horizon.frame is not None]
    if len(frames) < len(forecast.horizons):
        raise ConfigError(f"{forecast.model_id} predicts no frames, and only frames can be scored so far")
    return np.stack(frames)


def windows_with_future(
    source: Source, predictor: Predictor, watch: Watch = iter
) -> Iterator[tuple[Window, Window]]:
    """Each window of ``predictor.window_length`` frames together with the window of the K frames that follow it.

    Every frame of the source is read and none is skipped for lack of time; only a gap, a backward stamp or a changed
    size starts anew, as in the node. All windows that have all K futures are there, the same ones for every horizon.
    """
    length, steps = predictor.window_length, predictor.steps
    both = FrameWindow(predictor.period_s, length + steps)
    for frame in watch(source):
        if not both.offer(frame.stamp_ns, frame.image.shape).take:
            continue
        both.push(frame.stamp_ns, crop_and_resize(frame.image, predictor.size))
        full = both.window()
        if full is None:
            continue
        past = Window(
            full.stamps_ns[:length], full.frames[:length], full.epoch, full.sequence - steps, full.period_ns
        )
        future = Window(
            full.stamps_ns[length:], full.frames[length:], full.epoch, full.sequence, full.period_ns
        )
        yield past, future


def replay(
    source: Source, predictor: Predictor, watch: Watch = iter, only: Container[int] | None = None
) -> Iterator[Trial]:
    """Trials of ``predictor`` on every window of ``source``, in lockstep; with ``only``, on the windows of these indices.

    Raises SourceError if there is no window.
    """
    index = -1
    for index, (window, future) in enumerate(windows_with_future(source, predictor, watch)):
        if only is not None and index not in only:
            continue
        start = time.perf_counter()
        forecast = predictor.predict(window)
        latency = (time.perf_counter() - start) * 1e3
        yield Trial(index, window, forecast, np.stack(future.frames), latency)
    if index < 0:
        raise SourceError(
            f"{source.name}: {len(source)} frames at {source.rate_hz:g} Hz hold no run of {predictor.window_length} frames "
            f"and {predictor.steps} futures, {predictor.period_s:g} s apart without a gap; "
            "give a longer or faster source, or fewer --steps"
        )
