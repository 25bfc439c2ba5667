"""Frames of a folder of images, or of a sequence folder: frames/, meta.json and perhaps labels/."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import ImageError, SourceError
from vidpred_ros.images import decode_compressed
from vidpred_ros.sources.base import LabelKind, SourceFrame, sha256_of_files
from vidpred_ros.sources.labels import FOLDERS, LabelFiles, find_label_files

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
DEFAULT_RATE_HZ = 10.0


class FolderSource:
    """Images of equal size in natural order of their names (2 before 10), evenly spaced in time, the first at 0.

    The rate is ``rate_hz``, else the ``fps`` of meta.json, else 10. A sequence folder's labels/NAME.png become
    ``SourceFrame.labels`` if meta.json says which classes they are of, else its labels_pseudo/NAME.png
    (``find_label_files``). Raises SourceError, which names the file, for a folder without images, an image or a label
    map that cannot be read or has another size, ids of unknown classes, and a broken meta.json.
    """

    def __init__(self, path: Path, name: str, rate_hz: float | None = None) -> None:
        self.path, self.name = path, name
        frames = path / "frames"
        folder = frames if frames.is_dir() else path
        self.files = sorted((f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES), key=_natural)
        meta = read_meta(path)
        self.label_files: LabelFiles | None = find_label_files(path, meta, [f.stem for f in self.files])
        if not self.files:
            why = " but label maps" if labels_alone(path) else ""
            raise SourceError(f"{folder} has no images{why} ({', '.join(IMAGE_SUFFIXES)}) and no metadata.yaml of a rosbag2")
        self._meta_file = path / "meta.json"
        self.rate_hz = _positive(rate_hz if rate_hz is not None else meta.get("fps", DEFAULT_RATE_HZ), name)
        self.label_kind: LabelKind | None = self.label_files.kind if self.label_files else None

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[SourceFrame]:
        shape: tuple[int, ...] | None = None
        for index, file in enumerate(self.files):
            image = _read(file)
            shape = shape or image.shape
            if image.shape != shape:
                raise SourceError(f"{file} is {_size(image.shape)}, but {self.files[0]} is {_size(shape)}")
            labels = None if self.label_files is None else self.label_files.read(index, image.shape)
            yield SourceFrame(round(index * 1e9 / self.rate_hz), image, labels)

    def fingerprint(self) -> str:
        meta = [self._meta_file] if self._meta_file.exists() else []
        labels = filter(None, self.label_files.files) if self.label_files else ()
        return sha256_of_files([*meta, *self.files, *labels])


def labels_alone(path: Path) -> tuple[LabelFiles, float] | None:
    """The label maps of a sequence folder without frames, by name, and their rate; None for any other folder.

    Raises SourceError as FolderSource does.
    """
    if (path / "frames").is_dir() or not any((path / name).is_dir() for name in FOLDERS):
        return None
    if any(f.suffix.lower() in IMAGE_SUFFIXES for f in path.iterdir()):
        return None
    meta = read_meta(path)
    files = find_label_files(path, meta, None)
    return None if files is None else (files, _positive(meta.get("fps", DEFAULT_RATE_HZ), str(path)))


def read_meta(path: Path) -> dict[str, Any]:
    """meta.json of a sequence folder; empty without one. Raises SourceError for one that is broken."""
    file = path / "meta.json"
    if not file.exists():
        return {}
    try:
        meta = json.loads(file.read_text())
    except ValueError as error:
        raise SourceError(f"{file} is not valid JSON: {error}") from error
    if not isinstance(meta, dict):
        raise SourceError(f"{file} must hold a JSON object, with at least fps")
    return meta


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key that compares runs of digits as numbers; the name itself settles what is left (7.png and 07.png)."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts] + [(-1, path.name)]


def _positive(rate: Any, name: str) -> float:
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < float("inf"):
        raise SourceError(f"the frame rate of {name} must be a number of Hz above 0, not {rate!r}")
    return float(rate)


def _read(file: Path) -> NDArray[np.uint8]:
    try:
        return decode_compressed(file.read_bytes(), file.suffix[1:])
    except (ImageError, OSError) as error:
        raise SourceError(f"{file} cannot be read: {error}") from error


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(str(n) for n in (shape[1], shape[0], *shape[2:]))
