"""Trials of label futures: a window, its label maps, what a predictor made of them, and the label maps that followed."""

from __future__ import annotations

import time
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import ConfigError, SourceError
from vidpred_ros.evaluation.trials import Watch, no_window, windows_of_all_phases
from vidpred_ros.forecast import Forecast
from vidpred_ros.networks.config import WINDOW
from vidpred_ros.predictors.base import LabelPredictor
from vidpred_ros.predictors.label_baselines import CopyLabels, MovedLabels
from vidpred_ros.predictors.pixels import PixelRoll
from vidpred_ros.preprocess import crop_and_resize, crop_and_resize_labels
from vidpred_ros.segmenters import Segmenter
from vidpred_ros.semantics import IGNORE
from vidpred_ros.sources.base import Source, SourceFrame
from vidpred_ros.window import Window

#: Windows before one that a predictor may remember: a motion prior looks at as many frames as a frame predictor.
MEMORY = WINDOW
#: Whose label maps: those that the source carries, or those that the segmenter makes of its frames.
Origin = Literal["source", "segmenter"]


@dataclass
class StructureLane:
    """What is evaluated on label maps: a predictor, its segmenter, and whose label maps it gets to see."""

    predictor: LabelPredictor
    segmenter: Segmenter
    context: Origin = "segmenter"
    best_of: int = 0  # score the best of so many samples too: the predictor has to draw them
    pixels: PixelRoll | None = None  # score what it paints on the label maps too
    perceptual: bool = False  # and that by CSIM, FVD and Inception Score too

    @property
    def label_size(self) -> tuple[int, int]:
        return self.predictor.label_size

    def baselines(self) -> dict[str, LabelPredictor]:
        """Copied and moved label maps on the windows of the lane's predictor."""
        p = self.predictor
        what = (None, p.size, p.period_s, p.steps, p.window_length, self.label_size)
        return {"copy_last": CopyLabels(*what), "optical_flow": MovedLabels(*what)}

    def see(self, frame: SourceFrame) -> Seen:
        """What the lane keeps of a camera frame."""
        return Seen(frame, self)

    def close(self) -> None:
        """Free the engines of all."""
        self.predictor.close()
        self.segmenter.close()
        if self.pixels is not None:
            self.pixels.close()


class Seen:
    """A camera frame with its label maps, segmented once and only when somebody asks."""

    def __init__(self, frame: SourceFrame, lane: StructureLane) -> None:
        self._segmenter, self._label_size = lane.segmenter, lane.label_size
        self.stamp_ns = frame.stamp_ns
        self.image = crop_and_resize(frame.image, lane.predictor.size)
        self.own = None if frame.labels is None else crop_and_resize_labels(frame.labels, lane.label_size)
        self.segment_ms = 0.0

    @cached_property
    def segmented(self) -> NDArray[np.uint8]:
        """The segmenter's label map."""
        start = time.perf_counter()
        labels = crop_and_resize_labels(self._segmenter.segment(self.image), self._label_size)
        self.segment_ms = (time.perf_counter() - start) * 1e3
        return labels

    def labels(self, origin: Origin) -> NDArray[np.uint8] | None:
        return self.own if origin == "source" else self.segmented


@dataclass(frozen=True)
class LabelTrial:
    """Label maps are uint8 train ids at the lane's label size; step k is at index k - 1."""

    index: int
    window: Window  # frames at the segmenter's size
    labels: tuple[NDArray[np.uint8], ...]  # of the window's frames: what the predictors saw
    forecast: Forecast
    frames: tuple[NDArray[np.uint8], ...]  # the K frames that followed, HxWx3 RGB
    segmented: tuple[NDArray[np.uint8], ...]  # and what the segmenter makes of them
    truth: tuple[NDArray[np.uint8] | None, ...]  # None: nothing to score against
    latency_ms: float | None = None
    phase: int = 0
    uncertainty: NDArray[np.float32] | None = None  # HxW nats, mean over the steps: of a run that told no more

    @property
    def predicted(self) -> NDArray[np.uint8]:
        return stack_labels(self.forecast)

    @property
    def steps(self) -> list[int]:
        """The steps that can be scored."""
        return [k for k, labels in enumerate(self.truth, start=1) if labels is not None]


def stack_labels(forecast: Forecast) -> NDArray[np.uint8]:
    """The K predicted label maps as one array KxHxW. Raises ConfigError for a forecast without label maps."""
    maps = [horizon.labels for horizon in forecast.horizons if horizon.labels is not None]
    if len(maps) < len(forecast.horizons):
        raise ConfigError(f"{forecast.model_id} predicts no label maps")
    return np.stack(maps)


def truth_of(source: Source) -> Origin:
    """Whose label maps a source is scored against: its own if it has any, else the segmenter's."""
    return "segmenter" if source.label_kind is None else "source"


def label_replay(
    source: Source, lane: StructureLane, truth: Origin, watch: Watch = iter, only: Container[int] | None = None
) -> Iterator[LabelTrial]:
    """Trials of the lane on every window of ``source`` whose future has a label map, in lockstep, every phase.

    The others are predicted too, since a predictor may remember earlier windows. With ``only``, the windows of these
    indices, and the forecasts are the same ones. Every frame is segmented once. Raises NoWindowError where there is no
    window, SourceError where none of them has labels to score against, ConfigError where the context's labels are to be
    the source's and one is missing.
    """
    context, steps = lane.predictor.window_length, lane.predictor.steps
    index, scored = -1, 0
    every = windows_of_all_phases(source, lane.predictor, context + steps, watch, lane.see)
    for index, (phase, both) in enumerate(every):
        if only is not None and not any(index + ahead in only for ahead in range(MEMORY + 1)):
            continue
        seen: tuple[Seen, ...] = both.frames  # type: ignore[assignment]
        trial = make_trial(index, seen, lane, truth, both, phase)
        if trial is not None and (only is None or index in only):
            scored += 1
            yield trial
    if index < 0:
        raise no_window(source, lane.predictor, context + steps)
    if not scored and only is None:
        raise SourceError(f"{source.name}: no frame that is predicted has a label map to score against, with a class in it")


def make_trial(
    index: int, seen: Sequence[Seen], lane: StructureLane, truth: Origin, both: Window, phase: int = 0, scored: int | None = None
) -> LabelTrial | None:
    """The trial of C + K frames, None where there is nothing to score; ``scored``: the one step that counts, None: all."""
    length = lane.predictor.window_length
    past, future = seen[:length], seen[length:]
    maps = tuple(_truth(one, truth) if scored in (None, k) else None for k, one in enumerate(future, start=1))
    labels = tuple(_context(one, lane) for one in past)
    window = Window(
        tuple(one.stamp_ns for one in past),
        tuple(one.image for one in past),
        both.epoch,
        both.sequence - len(future),
        both.period_ns,
    )
    start = time.perf_counter()
    forecast = lane.predictor.predict(window, labels)
    latency = (time.perf_counter() - start) * 1e3 + (past[-1].segment_ms if lane.context == "segmenter" else 0)
    if all(labels is None for labels in maps):
        return None
    images, segmented = tuple(one.image for one in future), tuple(one.segmented for one in future)
    return LabelTrial(index, window, labels, forecast, images, segmented, maps, latency, phase)


def _truth(seen: Seen, origin: Origin) -> NDArray[np.uint8] | None:
    """What can be scored against: a label map without a class, as of a test split whose labels are kept secret, is none."""
    labels = seen.labels(origin)
    return None if labels is None or (labels == IGNORE).all() else labels


def _context(seen: Seen, lane: StructureLane) -> NDArray[np.uint8]:
    labels = seen.labels(lane.context)
    if labels is None:
        raise ConfigError(
            f"the frame at {seen.stamp_ns} ns has no label map of its own to predict from; say --context-labels segmenter"
        )
    return labels
