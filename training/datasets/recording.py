"""What every reader of a data set returns: recordings that are found and checked, but not decoded yet."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from vidpred_ros.errors import ImageError, SourceError
from vidpred_ros.images import decode_compressed
from vidpred_ros.semantics import IGNORE
from vidpred_ros.sources.base import LabelKind, Source, SourceFrame, sha256_of_files
from vidpred_ros.sources.labels import LabelFiles

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Recording:
    """One sequence on disk. ``source`` opens it; it can be sent to another process."""

    name: str
    source: Callable[[], Source]
    files: tuple[Path, ...]  # what it consists of; none: it is made by the program
    rate_hz: float | None = None  # None: as the source says
    expected: int | None = None  # frames that it must have; None: as many as there are
    options: str = ""  # what else decides which frames are read: a bag's topic
    labels: LabelMaps | None = None
    pseudo: tuple[Path, ...] = ()  # where `vidpred label` keeps the label map of each of ``files``, made or not; none: nowhere

    def fingerprint(self) -> str:
        """Hash of the files' paths, sizes and times of change: tells whether the cache is of these files, without reading them.

        What is made by the program is hashed by its parameters.
        """
        if not self.files:
            return self.source().fingerprint()
        digest = hashlib.sha256(f"{self.options} {self.expected}\n".encode())
        for file in self.files:
            try:
                status = file.stat()
            except OSError as error:
                raise SourceError(f"{file} cannot be read: {error.strerror}") from None
            digest.update(f"{file.absolute()} {status.st_size} {status.st_mtime_ns}\n".encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class LabelMaps:
    """The label maps of a recording: a recording of its own, whose images are H x W train ids."""

    recording: Recording
    there: tuple[bool, ...]  # which frames have one; the maps of the others are 255 all over
    kind: LabelKind
    instances: Recording | None = None  # which pixels belong to one thing, where the data knows (instances.py)
    consecutive: LabelMaps | None = None  # a segmenter's, of frames in a row, where the ground truth is of single frames


class ImageFiles:
    """Image files in the given order as a Source. Raises SourceError, which names the file, for one that is damaged."""

    label_kind: LabelKind | None = None

    def __init__(self, files: Sequence[Path], name: str, rate_hz: float) -> None:
        self.files, self.name, self.rate_hz = files, name, rate_hz

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[SourceFrame]:
        for index, file in enumerate(self.files):
            try:
                image = decode_compressed(file.read_bytes(), file.suffix[1:])
            except (ImageError, OSError) as error:
                raise SourceError(f"{file} cannot be read ({error}); download it again") from None
            yield SourceFrame(round(index * 1e9 / self.rate_hz), image)

    def fingerprint(self) -> str:
        return sha256_of_files(self.files)


class LabelSource:
    """Label files as a Source whose images are H x W train ids; a frame without a file has 255 all over."""

    def __init__(self, files: LabelFiles, name: str, rate_hz: float) -> None:
        self.files, self.name, self.rate_hz = files, name, rate_hz
        self.label_kind: LabelKind | None = files.kind

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[SourceFrame]:
        shape = self.files.shape
        for index in range(len(self)):
            labels = self.files.read(index, shape)
            empty = np.full(shape, IGNORE, np.uint8)
            yield SourceFrame(round(index * 1e9 / self.rate_hz), empty if labels is None else labels)

    def fingerprint(self) -> str:
        return sha256_of_files(filter(None, self.files.files))


class DrawnLabels:
    """The label maps of a source that makes them with its frames, as a Source whose images are H x W train ids."""

    def __init__(self, source: Source) -> None:
        self._source, self.name, self.rate_hz, self.label_kind = source, source.name, source.rate_hz, source.label_kind

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator[SourceFrame]:
        for frame in self._source:
            assert frame.labels is not None
            yield SourceFrame(frame.stamp_ns, frame.labels)

    def fingerprint(self) -> str:
        return "labels " + self._source.fingerprint()


def label_maps(files: LabelFiles, name: str, rate_hz: float) -> LabelMaps:
    """Label files as what a Recording holds of them."""
    source, there = partial(LabelSource, files, name, rate_hz), tuple(file is not None for file in files.files)
    options = f"{there} {files.table}"  # the same files with another table are other maps
    recording = Recording(name, source, tuple(filter(None, files.files)), rate_hz, len(there), options)
    return LabelMaps(recording, there, files.kind)


def drawn_labels(recording: Recording) -> LabelMaps:
    """The label maps that the source of a recording makes with its frames."""
    source = recording.source()
    maps = Recording(recording.name, partial(_drawn, recording.source), (), source.rate_hz)
    return LabelMaps(maps, (True,) * len(source), "exact")


def _drawn(opener: Callable[[], Source]) -> DrawnLabels:
    return DrawnLabels(opener())


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder, by the last number in their names. Empty if there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted((f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES), key=lambda f: (frame_number(f), f.name))


def frame_number(file: Path) -> int:
    """The last number in a file's name: 7 for I00007.jpg. -1 if there is none."""
    digits = re.findall(r"\d+", file.stem)
    return int(digits[-1]) if digits else -1


def check_no_gap(files: Sequence[Path], step: int = 1) -> None:
    """Raises SourceError when the files' numbers do not rise by ``step`` each: a network would learn the jump."""
    for before, after in pairwise(files):
        if frame_number(after) - frame_number(before) != step:
            raise SourceError(
                f"{before.parent}: {after.name} follows {before.name}, so frames between them are missing; "
                "the download is not complete: fetch this folder again, or take it away"
            )


def found_in(root: Path) -> str:
    """What a folder holds, for a message: its first names, or that it is not there."""
    if not root.is_dir():
        return "no such folder"
    names = sorted(p.name for p in root.iterdir())
    return ", ".join(names[:6]) + (f" ... ({len(names)} in all)" if len(names) > 6 else "") if names else "an empty folder"


def some(names: Iterable[str], most: int = 5) -> str:
    """The first names of a list, and how many more there are."""
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
