"""Frames of a video file (PyAV, FFmpeg's libraries)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np

from vidpred_ros.errors import SourceError
from vidpred_ros.sources.base import LabelKind, SourceFrame, median_rate, sha256_of_files


class VideoSource:
    """The first video stream of a file. Stamps are the presentation times, with the first frame at 0.

    The rate is that of the median interval, since dash cameras and phones record at a varying rate. A packet that
    cannot be decoded is skipped and counted in ``dropped`` (of the latest iteration). Raises SourceError for a file
    that is no video, or has fewer than two frames.
    """

    label_kind: LabelKind | None = None

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        self.dropped = 0
        with self._open() as (container, stream):
            # reading the packets without decoding them is fast, and the only count and rate that can be trusted
            pts = sorted(packet.pts for packet in container.demux(stream) if packet.pts is not None)
            time_base = stream.time_base
        if time_base is None or not pts:
            raise SourceError(
                f"{name} has no frames with time stamps: it was cut off, or is a bare stream that "
                "`ffmpeg -i IN -c copy OUT.mp4` gives stamps"
            )
        self._time_base = time_base
        self._start, self._count = pts[0], len(pts)
        self.rate_hz = median_rate((self._stamp_ns(p) for p in pts), name)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[SourceFrame]:
        self.dropped = 0
        with self._open() as (container, stream):
            # no stream.thread_type = "AUTO": threads that decode ahead lose good frames along with a damaged one
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.error.InvalidDataError:
                    self.dropped += 1
                    continue
                for frame in frames:
                    if frame.pts is None:
                        self.dropped += 1
                        continue
                    # a camera that was mounted upside down or sideways says so beside the pixels
                    image = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
                    yield SourceFrame(self._stamp_ns(frame.pts), np.ascontiguousarray(image))

    def fingerprint(self) -> str:
        return sha256_of_files([self.path])

    @contextmanager
    def _open(self) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
        try:
            with av.open(str(self.path)) as container:
                if not container.streams.video:
                    raise SourceError(f"{self.name} has no video stream")
                yield container, container.streams.video[0]
        except av.FFmpegError as error:
            raise SourceError(f"{self.name} is damaged or no video that FFmpeg reads: {error.strerror}") from error

    def _stamp_ns(self, pts: int) -> int:
        return round((pts - self._start) * self._time_base * 1_000_000_000)
