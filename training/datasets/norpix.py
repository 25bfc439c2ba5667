"""Norpix .seq containers as the Caltech Pedestrian data set uses them (written by Piotr Dollar's Matlab toolbox).

A header of 1024 bytes (little endian): magic 0xFEED, "Norpix seq" in UTF-16, version, header size; from byte 548 on
width, height, bits a pixel (all channels), bits a channel, bytes of a raw frame, format, number of frames, 0, bytes of a
raw frame with its padding, and the frame rate as a double. Then the frames: format 102 (grey) and 201 (colour) are a JPEG
each, 1 and 2 a PNG, before it its length in bytes including these four, after it the time (4 bytes of seconds,
2 of milliseconds) and 2 or 10 more bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from vidpred_ros.errors import ImageError, SourceError
from vidpred_ros.images import decode_compressed
from vidpred_ros.sources.base import LabelKind, SourceFrame, sha256_of_files

HEADER_BYTES = 1024
SUFFIX = {1: "png", 2: "png", 102: "jpg", 201: "jpg"}
STAMP_BYTES = 8  # seconds, milliseconds and two bytes that are not used
LONG_STAMP_BYTES = 16  # newer files have eight zero bytes more


class SeqSource:
    """Every ``step``-th frame of a .seq file as a Source; the first frame's time is 0.

    Raises SourceError for a file that is no .seq file, a format other than JPEG and PNG frames, and a file that is cut:
    it says how many of how many frames there are.
    """

    label_kind: LabelKind | None = None

    def __init__(self, path: Path, name: str = "", step: int = 1) -> None:
        self.path, self.name = path, name or str(path)
        self._index(step)

    def _index(self, step: int) -> None:
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            header = file.read(HEADER_BYTES)
            magic = header[:4] == b"\xed\xfe\x00\x00" and header[4:24] == "Norpix seq".encode("utf-16-le")
            if len(header) < HEADER_BYTES or not magic:
                raise SourceError(f"{self.path} is no .seq file (its header is missing or damaged); download it again")
            *_, code, count, _, _, fps = struct.unpack_from("<9Id", header, 548)
            if code not in SUFFIX:
                raise SourceError(f"{self.path} holds frames of format {code}; JPEG (102, 201) and PNG (1, 2) can be read")
            self._suffix, self.rate_hz = SUFFIX[code], fps / step
            places: list[tuple[int, int]] = []  # (offset, bytes) of each image
            offset, stamp = HEADER_BYTES, STAMP_BYTES
            while offset + 4 <= size and (not count or len(places) < count):
                file.seek(offset)
                (length,) = struct.unpack("<I", file.read(4))
                if length <= 4 or offset + length > size:
                    break
                places.append((offset + 4, length - 4))
                if len(places) == 1:
                    file.seek(offset + length + STAMP_BYTES)
                    stamp = LONG_STAMP_BYTES if file.read(4) == b"\0\0\0\0" else STAMP_BYTES
                offset += length + stamp
        if len(places) < max(count, 1):
            raise SourceError(
                f"{self.path} is cut: {len(places)} of {count or 'an unknown number of'} frames are there; download it again"
            )
        self._places = places[::step]

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[SourceFrame]:
        first: int | None = None
        with self.path.open("rb") as file:
            for number, (offset, length) in enumerate(self._places):
                file.seek(offset)
                data = file.read(length)
                tail = file.read(6)
                try:
                    image = decode_compressed(data, self._suffix)
                except ImageError as error:
                    raise SourceError(f"{self.path}: frame {number} is damaged ({error}); download it again") from None
                seconds, milliseconds = struct.unpack("<IH", tail.ljust(6, b"\0"))
                stamp = seconds * 1_000_000_000 + milliseconds * 1_000_000
                first = stamp if first is None else first
                yield SourceFrame(stamp - first, image)

    def fingerprint(self) -> str:
        return sha256_of_files([self.path])
