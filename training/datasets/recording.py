"""What every reader of a data set returns: recordings that are found and checked, but not decoded yet."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from vidpred_ros.errors import ImageError, SourceError
from vidpred_ros.images import decode_compressed
from vidpred_ros.sources.base import Source, SourceFrame, sha256_of_files

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Label:
    """Ground truth of one frame: a label map's file and the index of its frame in the recording."""

    path: Path
    frame: int


@dataclass(frozen=True)
class Recording:
    """One sequence on disk. ``source`` opens it; it can be sent to another process."""

    name: str
    source: Callable[[], Source]
    files: tuple[Path, ...]  # what it consists of; none: it is made by the program
    rate_hz: float | None = None  # None: as the source says
    expected: int | None = None  # frames that it must have; None: as many as there are
    label: Label | None = None
    options: str = ""  # what else decides which frames are read: a bag's topic

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


class ImageFiles:
    """Image files in the given order as a Source. Raises SourceError, which names the file, for one that is damaged."""

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
