"""Writes tiny data sets in the layouts that users download."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np


def picture(number: int, height: int = 24, width: int = 32) -> np.ndarray:
    """A grey picture, HxWx3 uint8, whose level tells its number (0..49): it survives JPEG."""
    return np.full((height, width, 3), 5 * number, np.uint8)


def numbers(images: Iterable[np.ndarray]) -> list[int]:
    """The numbers of such pictures."""
    return [round(float(image.mean()) / 5) for image in images]


def write_images(folder: Path, names: Sequence[str], first: int = 0) -> list[Path]:
    """Pictures number ``first``, ``first + 1`` ... under the given names."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        assert cv2.imwrite(str(folder / name), picture(first + i))
    return [folder / name for name in names]


def seq_bytes(images: Sequence[np.ndarray], fps: float = 30.0, code: int = 201, tail: int = 10) -> bytes:
    """A .seq file: ``tail`` bytes stand after the six bytes of each frame's time (2 or 10)."""
    height, width = images[0].shape[:2]
    raw = height * width * 3
    header = struct.pack("<I24sII512s", 0xFEED, "Norpix seq".encode("utf-16-le"), 3, 1024, b"")
    header += struct.pack("<9Id", width, height, 24, 8, raw, code, len(images), 0, raw + 512, fps)
    data = header.ljust(1024, b"\0")
    for i, image in enumerate(images):
        jpeg = cv2.imencode(".jpg", image)[1].tobytes()
        milliseconds = round(1000 * i / fps) + 12_345
        data += struct.pack("<I", len(jpeg) + 4) + jpeg + struct.pack("<IH", *divmod(milliseconds, 1000)) + bytes(tail)
    return data
