"""Frames of one image topic of a rosbag2, without ROS (rosbags reads sqlite3 and mcap, compressed bags too)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.interfaces import Connection
from rosbags.typesys import Stores, get_typestore

from vidpred_ros.errors import ImageError, SourceError
from vidpred_ros.images import decode_compressed, to_rgb
from vidpred_ros.sources.base import LabelKind, SourceFrame, median_rate, sha256_of_files

RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
#: Messages at the start of the bag that the rate is measured on; a raw 720p bag is 80 MB a second to read.
RATE_MESSAGES = 100


class RosbagSource:
    """One image topic, raw or compressed, in the order of recording.

    A frame's stamp is its header's; where that is zero, the time at which the bag received it. An image that cannot be
    decoded is skipped and counted in ``dropped`` (of the latest iteration), so fewer frames than ``len`` may come.
    Raises SourceError for a damaged bag, a bag without image topics, a choice of topics that is not made or is wrong,
    and when not one of the images can be decoded.
    """

    label_kind: LabelKind | None = None

    def __init__(self, path: Path, name: str, topic: str | None = None) -> None:
        self.path, self.name = path, name
        self._forget_drops()
        with self._open() as reader:
            self.topic = self._choose(reader.connections, topic)
            self._count = sum(c.msgcount for c in reader.connections if c.topic == self.topic)
            stamps = [stamp for stamp, _ in islice(self._messages(reader), RATE_MESSAGES)]
        self.rate_hz = median_rate(stamps, f"topic {self.topic} of {name}")

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[SourceFrame]:
        self._forget_drops()
        with self._open() as reader:
            for stamp, message in self._messages(reader):
                try:
                    image = _decode(message)
                except ImageError as error:
                    self._drop(error)
                    continue
                yield SourceFrame(stamp, image)
        if self.dropped == self._count:
            raise SourceError(f"no image of topic {self.topic} in {self.name} can be decoded: {self._first_reason}")

    def fingerprint(self) -> str:
        files = sorted(self.path.iterdir()) if self.path.is_dir() else [self.path]
        return sha256_of_files(file for file in files if file.is_file())

    @contextmanager
    def _open(self) -> Iterator[AnyReader]:
        try:
            # bags of Humble and older carry no message definitions; the image messages have not changed since
            with AnyReader([self.path], default_typestore=get_typestore(Stores.LATEST)) as reader:
                yield reader
        except SourceError:
            raise
        except Exception as error:  # damaged files make the storage libraries raise many types (apsw, struct, zstd ...)
            what = str(error).rstrip(".") or type(error).__name__
            raise SourceError(
                f"{self.name} is damaged or no rosbag2: {what}. "
                "A recording that was cut off may be saved with `ros2 bag reindex` (sqlite3) or `mcap recover` (mcap)"
            ) from error

    def _choose(self, connections: list[Connection], wanted: str | None) -> str:
        images = {c.topic: (c.msgtype, 0) for c in connections if c.msgtype in (RAW, COMPRESSED)}
        for connection in connections:
            if connection.topic in images:
                images[connection.topic] = (connection.msgtype, images[connection.topic][1] + connection.msgcount)
        if not images:
            others = ", ".join(sorted({c.topic for c in connections})) or "none at all"
            raise SourceError(f"{self.name} has no image topic; its topics are: {others}")
        listing = "".join(f"\n  {t}  {kind}  {count} images" for t, (kind, count) in sorted(images.items()))
        if wanted is None and len(images) > 1:
            how = f"choose one with --topic, in a recipe with {self.name}?topic=/TOPIC"
            raise SourceError(f"{self.name} has {len(images)} image topics; {how}:{listing}")
        topic = next(iter(images)) if wanted is None else "/" + wanted.lstrip("/")
        if topic not in images:
            raise SourceError(f"{self.name} has no image topic {wanted}; it has:{listing}")
        return topic

    def _messages(self, reader: AnyReader) -> Iterator[tuple[int, Any]]:
        """(stamp, message) of the topic, without messages that cannot be parsed."""
        connections = [c for c in reader.connections if c.topic == self.topic]
        for connection, received_ns, raw in reader.messages(connections):
            try:
                message: Any = reader.deserialize(raw, connection.msgtype)
            except AnyReaderError as error:
                self._drop(error)
                continue
            stamp = message.header.stamp
            yield stamp.sec * 1_000_000_000 + stamp.nanosec or received_ns, message

    def _forget_drops(self) -> None:
        self.dropped = 0
        self._first_reason: Exception | None = None

    def _drop(self, reason: Exception) -> None:
        self.dropped += 1
        self._first_reason = self._first_reason or reason


def _decode(message: Any) -> NDArray[np.uint8]:
    if message.__msgtype__ == COMPRESSED:
        return decode_compressed(message.data, message.format)
    m = message
    return to_rgb(m.height, m.width, m.encoding, m.is_bigendian, m.step, m.data)
