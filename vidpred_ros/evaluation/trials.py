"""One trial: a window, what a predictor made of it, and what then happened. ``replay`` makes them from a SOURCE."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import ConfigError, SourceError
from vidpred_ros.forecast import Forecast
from vidpred_ros.predictors import Predictor
from vidpred_ros.preprocess import crop_and_resize
from vidpred_ros.sources.base import Source, SourceFrame
from vidpred_ros.window import SLOWEST, FrameWindow, Window, stride_for

#: Wraps what is read, an item for each frame, for a progress bar.
Watch = Callable[[Iterable[Any]], Iterable[Any]]


class Geometry(Protocol):
    """What decides which windows there are: a predictor of frames or of label maps has it."""

    size: tuple[int, int]  # (height, width) of a window's frames
    period_s: float


class NoWindowError(SourceError):
    """A source is too short, too slow or too full of gaps for a single window."""


@dataclass(frozen=True)
class Trial:
    """``predicted`` and ``truth`` are KxHxWx3 uint8 RGB: step k is at index k - 1."""

    index: int  # 0, 1, ... over the whole source
    window: Window
    forecast: Forecast
    truth: NDArray[np.uint8]
    latency_ms: float | None  # wall clock of the whole prediction; None when it was not measured
    phase: int = 0  # which of the camera's strides the window took

    @property
    def predicted(self) -> NDArray[np.uint8]:
        return stack_frames(self.forecast)


def stack_frames(forecast: Forecast) -> NDArray[np.uint8]:
    """The K predicted frames as one array KxHxWx3. Raises ConfigError for a forecast without frames."""
    frames = [horizon.frame for horizon in forecast.horizons if horizon.frame is not None]
    if len(frames) < len(forecast.horizons):
        raise ConfigError(f"{forecast.model_id} predicts no frames, and only frames can be scored so far")
    return np.stack(frames)


def phases(source: Source, period_s: float) -> int:
    """How many ways there are to take every n-th frame of ``source`` for this period: n."""
    return stride_for(source.rate_hz, period_s)


def windows(source: Source, predictor: Predictor, length: int, watch: Watch = iter) -> Iterator[Window]:
    """Every window of ``length`` frames, at the size and period of ``predictor``, from the source's first frame on.

    Every frame of the source is read and none is skipped for lack of time; only a gap, a backward stamp or a changed
    size starts anew, as in the node.
    """
    check_length(source, predictor, length)
    yield from _windows_of(watch(source), FrameWindow(predictor.period_s, length), _at(predictor.size), 0)


def windows_of_all_phases(
    source: Source,
    predictor: Geometry,
    length: int,
    watch: Watch = iter,
    convert: Callable[[SourceFrame], Any] | None = None,
) -> Iterator[tuple[int, Window]]:
    """``windows`` once for each phase, which is yielded too: frames 0, n, 2n ... first, then 1, n + 1, 2n + 1 ...

    A camera faster than the model gives as many windows as it can. One phase comes after the other because a predictor
    that streams would have to start anew at each change; their windows differ in epoch. ``convert`` makes what the window
    keeps of a frame; None: the image at the predictor's size.
    """
    check_length(source, predictor, length)
    convert = convert or _at(predictor.size)
    window = FrameWindow(predictor.period_s, length)
    passes = ((phase, frame) for phase in range(phases(source, predictor.period_s)) for frame in source)
    for phase, frames in groupby(watch(passes), key=itemgetter(0)):
        window.reset()
        for full in _windows_of((frame for _, frame in frames), window, convert, phase):
            yield phase, full


def _at(size: tuple[int, int]) -> Callable[[SourceFrame], Any]:
    return lambda frame: crop_and_resize(frame.image, size)


def _windows_of(
    frames: Iterable[SourceFrame], window: FrameWindow, convert: Callable[[SourceFrame], Any], phase: int
) -> Iterator[Window]:
    late = phase
    for frame in frames:
        offer = window.offer(frame.stamp_ns, frame.image.shape)
        if offer.reset is not None:
            late = phase
        if not offer.take:
            continue
        if late > 0:  # the window is empty and takes any frame: it begins this many later
            late -= 1
            continue
        window.push(frame.stamp_ns, convert(frame))
        full = window.window()
        if full is not None:
            yield full


def split(both: Window, length: int) -> tuple[Window, Window]:
    """The first ``length`` frames as the past, the rest as the future."""
    future = len(both.frames) - length
    return (
        Window(both.stamps_ns[:length], both.frames[:length], both.epoch, both.sequence - future, both.period_ns),
        Window(both.stamps_ns[length:], both.frames[length:], both.epoch, both.sequence, both.period_ns),
    )


def replay(
    source: Source, predictor: Predictor, watch: Watch = iter, only: Container[int] | None = None
) -> Iterator[Trial]:
    """Trials of ``predictor`` on every window of ``source``, in lockstep; with ``only``, on the windows of these indices.

    All windows that have all K futures are there, of every phase, the same ones for every horizon. Raises NoWindowError
    if there is none. ``watch`` sees every frame once for each phase.
    """
    index = -1
    length, steps = predictor.window_length, predictor.steps
    for index, (phase, both) in enumerate(windows_of_all_phases(source, predictor, length + steps, watch)):
        if only is not None and index not in only:
            continue
        window, future = split(both, length)
        start = time.perf_counter()
        forecast = predictor.predict(window)
        latency = (time.perf_counter() - start) * 1e3
        yield Trial(index, window, forecast, np.stack(future.frames), latency, phase)
    if index < 0:
        raise no_window(source, predictor, length + steps)


def check_length(source: Source, predictor: Geometry, length: int) -> None:
    """Raise NoWindowError, before a frame is read, where a source has too few of them for a window, or too far apart."""
    # with a margin on both sides: the window goes by the rate that it measures, which need not be the nominal one
    stride = max(1, phases(source, predictor.period_s) - 1)
    if len(source) <= (length - 1) * stride or source.rate_hz * predictor.period_s * SLOWEST * 1.5 < 1:
        raise no_window(source, predictor, length)


def no_window(source: Source, predictor: Geometry, length: int) -> NoWindowError:
    """What to say when a source has no window of ``length`` frames."""
    return NoWindowError(
        f"{source.name}: {len(source)} frames at {source.rate_hz:g} Hz hold no run of {length} frames "
        f"{predictor.period_s:g} s apart without a gap; give a longer or faster source, or fewer --steps"
    )
