"""Frames of a folder of images, or of a sequence folder: frames/, meta.json and perhaps labels/."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import ImageError, SourceError
from vidpred_ros.images import decode_compressed
from vidpred_ros.semantics import CLASS_NAMES, IGNORE
from vidpred_ros.sources.base import SourceFrame, sha256_of_files

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
DEFAULT_RATE_HZ = 10.0


class FolderSource:
    """Images of equal size in natural order of their names (2 before 10), evenly spaced in time, the first at 0.

    The rate is ``rate_hz``, else the ``fps`` of meta.json, else 10. A sequence folder's labels/NAME.png become
    ``SourceFrame.labels`` if meta.json says that they are Cityscapes trainIds; other class sets are left out. Raises
    SourceError, which names the file, for a folder without images, an image that cannot be read or has another size,
    and a broken meta.json.
    """

    def __init__(self, path: Path, name: str, rate_hz: float | None = None) -> None:
        self.path, self.name = path, name
        frames = path / "frames"
        folder = frames if frames.is_dir() else path
        self._files = sorted((f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES), key=_natural)
        if not self._files:
            raise SourceError(f"{folder} has no images ({', '.join(IMAGE_SUFFIXES)}) and no metadata.yaml of a rosbag2")
        self._meta_file = path / "meta.json"
        meta = self._read_meta()
        self.rate_hz = _positive(rate_hz if rate_hz is not None else meta.get("fps", DEFAULT_RATE_HZ), name)
        self._labels: dict[str, Path] = {}
        if _are_train_ids(meta):
            self._labels = {f.stem: f for f in (path / "labels").glob("*.png")}

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[SourceFrame]:
        shape: tuple[int, ...] | None = None
        for index, file in enumerate(self._files):
            image = _read(file)
            shape = shape or image.shape
            if image.shape != shape:
                raise SourceError(f"{file} is {_size(image.shape)}, but {self._files[0]} is {_size(shape)}")
            label_file = self._labels.get(file.stem)
            labels = None if label_file is None else _read_labels(label_file, image.shape)
            yield SourceFrame(round(index * 1e9 / self.rate_hz), image, labels)

    def fingerprint(self) -> str:
        meta = [self._meta_file] if self._meta_file.exists() else []
        return sha256_of_files([*meta, *self._files, *sorted(self._labels.values(), key=_natural)])

    def _read_meta(self) -> dict[str, Any]:
        if not self._meta_file.exists():
            return {}
        try:
            meta = json.loads(self._meta_file.read_text())
        except ValueError as error:
            raise SourceError(f"{self._meta_file} is not valid JSON: {error}") from error
        if not isinstance(meta, dict):
            raise SourceError(f"{self._meta_file} must hold a JSON object, with at least fps")
        return meta


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key that compares runs of digits as numbers; the name itself settles what is left (7.png and 07.png)."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts] + [(-1, path.name)]


def _positive(rate: Any, name: str) -> float:
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < float("inf"):
        raise SourceError(f"the frame rate of {name} must be a number of Hz above 0, not {rate!r}")
    return float(rate)


def _are_train_ids(meta: dict[str, Any]) -> bool:
    classes = meta.get("label_classes")
    wanted = {"ignore": IGNORE, "classes": {str(i): name for i, name in enumerate(CLASS_NAMES)}}
    return classes == wanted


def _read(file: Path) -> NDArray[np.uint8]:
    try:
        return decode_compressed(file.read_bytes(), file.suffix[1:])
    except (ImageError, OSError) as error:
        raise SourceError(f"{file} cannot be read: {error}") from error


def _read_labels(file: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    labels = cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if labels is None or labels.dtype != np.uint8 or labels.shape != shape[:2]:
        what = "cannot be decoded" if labels is None else f"is {_size(labels.shape)} {labels.dtype}"
        raise SourceError(f"{file} {what}; a label map is an 8-bit grey PNG of its frame's size, {_size(shape)}")
    return labels


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(str(n) for n in (shape[1], shape[0], *shape[2:]))
