"""What the camera node sends: a source's frames as messages, made ahead of time in a thread of their own."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from vidpred_ros.errors import ConfigError, SourceError
from vidpred_ros.nodes.messages import compressed_message, image_message
from vidpred_ros.preprocess import crop_and_resize, crop_window
from vidpred_ros.sources import Source

#: Frames made ahead of the one that is due, so that decoding does not disturb the pace.
AHEAD = 30
#: A source whose messages fit into this is kept in memory from the first pass on.
CACHE_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Shot:
    """A message that is ready to be sent. ``elapsed_ns`` counts from the first frame and goes on over repetitions."""

    elapsed_ns: int
    source_stamp_ns: int
    message: Image | CompressedImage


def parse_size(text: str) -> tuple[int, int] | None:
    """ "1280x720" as (height, width); None for an empty text. Raises ConfigError for anything else."""
    if not text:
        return None
    width, cross, height = text.partition("x")
    if not (
        cross
        and width.isdecimal()
        and height.isdecimal()
        and 1 <= int(width) <= 8192
        and 1 <= int(height) <= 8192
    ):
        raise ConfigError(
            f"parameter size must be WIDTHxHEIGHT of 1..8192 pixels, such as 1280x720, not {text!r}"
        )
    return int(height), int(width)


def camera_info(
    source: Source, image: NDArray[np.uint8], size: tuple[int, int], frame_id: str
) -> CameraInfo | None:
    """The pinhole camera of ``image`` cropped and resized to ``size``, or None when the source knows no intrinsics."""
    intrinsics = getattr(source, "intrinsics", None)
    if intrinsics is None:
        return None
    fx, fy, cx, cy = intrinsics
    top, left, crop_h, crop_w = crop_window(image.shape[0], image.shape[1], size)
    sx, sy = size[1] / crop_w, size[0] / crop_h
    # pixel centres lie at whole numbers: shift by half a pixel, scale, shift back
    fx, fy, cx, cy = fx * sx, fy * sy, (cx - left + 0.5) * sx - 0.5, (cy - top + 0.5) * sy - 0.5
    info = CameraInfo(height=size[0], width=size[1], distortion_model="plumb_bob", d=[0.0] * 5)
    info.header.frame_id = frame_id
    info.k = [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0]
    info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    info.p = [fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


class Replay:
    """Iterate to get a source's Shots in order. A thread keeps up to AHEAD of them ready; ``close`` ends it.

    ``info`` is the CameraInfo, known after ``prefill``. An error of the source is raised where the iteration meets it.
    """

    def __init__(
        self, source: Source, size: tuple[int, int] | None, compressed: bool, frame_id: str, loop: bool
    ) -> None:
        self._source = source
        self._size = size
        self._make = compressed_message if compressed else image_message
        self._frame_id = frame_id
        self._loop = loop
        self.info: CameraInfo | None = None
        self._ready: queue.Queue[Shot | Exception | None] = queue.Queue(AHEAD)
        self._closing = threading.Event()
        self._filled = threading.Event()
        self._thread = threading.Thread(target=self._fill, name="replay", daemon=True)
        self._thread.start()

    def prefill(self) -> None:
        """Wait until the queue is full, the source is over or it failed."""
        self._filled.wait()

    def __iter__(self) -> Iterator[Shot]:
        while True:
            item = self._ready.get()
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            yield item

    def close(self) -> None:
        """End the thread and the iteration."""
        self._closing.set()
        self._thread.join()
        with contextlib.suppress(queue.Full):  # a full queue holds nobody up
            self._ready.put_nowait(None)

    def _fill(self) -> None:
        try:
            for shot in self._shots():
                if not self._put(shot):
                    return
            self._put(None)
        except Exception as error:  # noqa: BLE001 - handed over to the thread that iterates
            self._put(error)
        finally:
            self._filled.set()

    def _put(self, item: Shot | Exception | None) -> bool:
        """Put into the queue, waiting while it is full. False once ``close`` was called."""
        while not self._closing.is_set():
            try:
                self._ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            if self._ready.full():
                self._filled.set()
            return True
        return False

    def _shots(self) -> Iterator[Shot]:
        kept: list[Shot] | None = []
        start = 0
        while True:
            last = None
            for shot in kept if start and kept else self._pass():
                last = Shot(start + shot.elapsed_ns, shot.source_stamp_ns, shot.message)
                if not start and kept is not None:
                    kept.append(shot)
                    if len(kept) * len(shot.message.data) > CACHE_BYTES:
                        kept = None
                yield last
            if last is None:
                raise SourceError(f"{self._source.name} has no frames")
            if not self._loop:
                return
            start = last.elapsed_ns + round(1e9 / self._source.rate_hz)

    def _pass(self) -> Iterator[Shot]:
        """The source once, from its first frame to its last."""
        first = None
        for frame in self._source:
            first = frame.stamp_ns if first is None else first
            image = frame.image
            size = self._size or (image.shape[0], image.shape[1])
            if self.info is None:
                self.info = camera_info(self._source, image, size, self._frame_id)
            if image.shape[:2] != size:
                image = crop_and_resize(image, size)
            yield Shot(
                frame.stamp_ns - first, frame.stamp_ns, self._make(image, frame.stamp_ns, self._frame_id)
            )
