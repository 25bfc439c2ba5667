"""Lanes that predict label maps: from the camera's frames, or from label maps of another node."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import Image

from vidpred_ros.errors import ConfigError, ImageError
from vidpred_ros.forecast import Forecast
from vidpred_ros.images import label_ids
from vidpred_ros.nodes.lane import Arrival, Job, Lane, LaneOutputs
from vidpred_ros.nodes.pairing import Pair, Pairing
from vidpred_ros.nodes.picture import Picture
from vidpred_ros.predictors.base import LabelPredictor
from vidpred_ros.semantics import ClassTable
from vidpred_ros.window import Window


@dataclass(frozen=True)
class _LabelledJob(Job):
    labels: tuple[NDArray[np.uint8], ...]  # of the window's frames


@dataclass(frozen=True)
class _Map:
    """A label map (HxW train ids) and how it came."""

    arrival: Arrival
    labels: NDArray[np.uint8]


class LabelLane(Lane):
    """Segments the camera's frames itself. Its thread gives way to that of the frames, which are wanted at every period; a
    forecast of label maps takes several times as long as one of frames."""

    niceness = 15


class LabelTopicLane(LabelLane):
    """``take_labels`` for each label map, ``take`` for each camera image.

    A label map counts for the frame that is nearest in time, within half a period. A predictor without a motion prior does
    not look at frames, and then label maps alone will do. A map with ids that the table does not know, of another size
    than the one before it, or without a frame is dropped, counted and told in /diagnostics.
    """

    def __init__(
        self,
        node: LifecycleNode,
        predictor: LabelPredictor,
        outputs: LaneOutputs,
        free: Callable[[], None],
        table: ClassTable,
    ) -> None:
        super().__init__(node, predictor, outputs, free)
        self._label_predictor, self._table = predictor, table
        self.source = "labels"
        self._pairing: Pairing[Picture, _Map] = Pairing(self.window.period_ns // 2)
        self._maps: deque[NDArray[np.uint8]] = deque(
            maxlen=self.window.length
        )  # the last ones are the window's
        self._map_shape: tuple[int, ...] | None = None
        self._no_frame = np.zeros((*predictor.size, 3), np.uint8)

    def stop(self) -> None:
        super().stop()
        self._forget_maps()

    def forget(self) -> int:
        held = super().forget()
        self._forget_maps()
        return held

    def _forget_maps(self) -> None:
        """Frames and label maps that wait for each other, and the size of the last one."""
        self._pairing.clear()
        self._map_shape = None

    def take(self, arrival: Arrival, picture: Picture) -> None:
        """Keep a camera image until the label map of its instant comes."""
        if self._label_predictor.needs_frames:
            self._keep_pairs(self._pairing.add_frame(arrival.stamp_ns, picture))

    def take_labels(self, arrival: Arrival, message: Image) -> None:
        """Keep the label map if the window wants it, and predict if the window is full."""
        self.counters.count_frame(arrival.missed)
        shape = (message.height, message.width, message.encoding, message.step)
        try:
            ids = label_ids(*shape, message.data)
        except ImageError as error:
            self._drop("corrupt label map", str(error))
            return
        try:
            newest = _Map(arrival, self._table.translate(ids))
        except ConfigError as error:
            self._drop("unknown label ids", f"{error}; say what they mean with the parameter class_table")
            return
        if self._label_predictor.needs_frames:
            self._keep_pairs(self._pairing.add_labels(arrival.stamp_ns, newest))
        else:
            self._keep_map(newest, None)

    def _keep_pairs(self, pairs: Iterable[Pair[Picture, _Map]]) -> None:
        for picture, labels in pairs:
            if picture is None:
                self._drop(
                    "label map without image", "no camera image has the stamp of a label map, or one near it"
                )
                continue
            try:
                self._keep_map(labels, picture)
            except ImageError as error:
                self._drop("corrupt image", str(error))

    def _keep_map(self, newest: _Map, picture: Picture | None) -> None:
        labels = newest.labels
        if self._map_shape not in (None, labels.shape):
            before, self._map_shape = self._map_shape, labels.shape
            self.window.reset()
            self.counters.count_reset("label map size changed")
            size, former = (f"{shape[1]}x{shape[0]}" for shape in (labels.shape, before or ()))
            self._drop("label map size changed", f"a label map of {size} pixels after ones of {former}")
            return
        self._map_shape = labels.shape
        stamp_ns = newest.arrival.stamp_ns
        if not self._offer(stamp_ns, picture.signature if picture else None).take:
            return
        self.window.push(stamp_ns, picture.at(self.predictor.size) if picture else self._no_frame)
        self._maps.append(labels)
        self._submit(newest.arrival)

    def _job(self, window: Window, arrival: Arrival) -> Job:
        labels = tuple(self._maps)[-len(window.frames) :]
        return _LabelledJob(window, True, arrival, time.perf_counter(), labels)

    def _predict(self, job: Job) -> Forecast:
        assert isinstance(job, _LabelledJob), "made by _job"
        return self._label_predictor.predict(job.window, job.labels)
