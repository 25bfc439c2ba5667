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


def windows(source: Source, predictor: Predictor, length: int, watch: Watch = iter) -> Iterator[Window]:
    """Every window of ``length`` frames, at the size and period of ``predictor``.

    Every frame of the source is read and none is skipped for lack of time; only a gap, a backward stamp or a changed
    size starts anew, as in the node.
    """
    window = FrameWindow(predictor.period_s, length)
    for frame in watch(source):
        if not window.offer(frame.stamp_ns, frame.image.shape).take:
            continue
        window.push(frame.stamp_ns, crop_and_resize(frame.image, predictor.size))
        full = window.window()
        if full is not None:
            yield full


def split(both: Window, length: int) -> tuple[Window, Window]:
    """The first ``length`` frames as the past, the rest as the future."""
    future = len(both.frames) - length
    return (
        Window(
            both.stamps_ns[:length], both.frames[:length], both.epoch, both.sequence - future, both.period_ns
        ),
        Window(both.stamps_ns[length:], both.frames[length:], both.epoch, both.sequence, both.period_ns),
    )


def replay(
    source: Source, predictor: Predictor, watch: Watch = iter, only: Container[int] | None = None
) -> Iterator[Trial]:
    """Trials of ``predictor`` on every window of ``source``, in lockstep; with ``only``, on the windows of these indices.

    All windows that have all K futures are there, the same ones for every horizon. Raises SourceError if there is none.
    """
    index = -1
    length, steps = predictor.window_length, predictor.steps
    for index, both in enumerate(windows(source, predictor, length + steps, watch)):
        if only is not None and index not in only:
            continue
        window, future = split(both, length)
        start = time.perf_counter()
        forecast = predictor.predict(window)
        latency = (time.perf_counter() - start) * 1e3
        yield Trial(index, window, forecast, np.stack(future.frames), latency)
    if index < 0:
        raise no_window(source, predictor, length + steps)


def no_window(source: Source, predictor: Predictor, length: int) -> SourceError:
    """What to say when a source has no window of ``length`` frames."""
    return SourceError(
        f"{source.name}: {len(source)} frames at {source.rate_hz:g} Hz hold no run of {length} frames "
        f"{predictor.period_s:g} s apart without a gap; give a longer or faster source, or fewer --steps"
    )
