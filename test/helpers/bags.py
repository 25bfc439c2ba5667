"""Writes small rosbag2 recordings with rosbags, so that no test needs ROS or a file from outside."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_KILTED)
RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
START_NS = 1_700_000_000_000_000_000


def header(stamp_ns: int):
    time = STORE.types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, 1_000_000_000))
    return STORE.types["std_msgs/msg/Header"](time, "camera")


def raw_image(image: np.ndarray, stamp_ns: int, encoding: str = "rgb8"):
    """A sensor_msgs/Image of HxWx3 RGB uint8, as rgb8 or bgr8."""
    pixels = np.ascontiguousarray(image if encoding == "rgb8" else image[..., ::-1])
    height, width = image.shape[:2]
    return STORE.types[RAW](header(stamp_ns), height, width, encoding, 0, width * 3, pixels.reshape(-1))


def compressed_image(image: np.ndarray, stamp_ns: int, extension: str = "png"):
    data = cv2.imencode("." + extension, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
    return STORE.types[COMPRESSED](header(stamp_ns), extension, data.reshape(-1))


def write_bag(
    path: Path,
    topics: dict[str, Iterable[tuple[int, object]]],
    storage: str = "mcap",
    compression: str | None = None,
) -> Path:
    """Write a bag folder; ``topics`` maps a topic to (receive time ns, message or raw CDR bytes) pairs.

    ``storage`` is mcap or sqlite3, ``compression`` file or message. A topic of bytes is one of raw images.
    """
    writer = Writer(path, version=9, storage_plugin=StoragePlugin[storage.upper()])
    if compression:
        writer.set_compression(CompressionMode[compression.upper()], CompressionFormat.ZSTD)
    with writer:
        rows = []
        for topic, messages in topics.items():
            messages = list(messages)
            kinds = [m.__msgtype__ for _, m in messages if not isinstance(m, bytes)]
            kind = kinds[0] if kinds else RAW
            connection = writer.add_connection(topic, kind, typestore=STORE)
            rows += [(received, connection, message) for received, message in messages]
        for received, connection, message in sorted(rows, key=lambda row: row[0]):
            raw = message if isinstance(message, bytes) else STORE.serialize_cdr(message, connection.msgtype)
            writer.write(connection, received, raw)
    return path


def moving_square(count: int, height: int = 24, width: int = 32) -> list[np.ndarray]:
    """RGB frames in which a red square moves over a blue ramp, one pixel a frame."""
    frames = []
    for index in range(count):
        frame = np.zeros((height, width, 3), np.uint8)
        frame[..., 2] = np.linspace(0, 255, width).astype(np.uint8)
        frame[8:14, index % (width - 6) : index % (width - 6) + 6] = 220, 30, 10
        frames.append(frame)
    return frames
