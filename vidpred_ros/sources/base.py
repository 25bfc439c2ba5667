"""What every source of frames offers, and what several of them need."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import SourceError

#: Where label maps come from. "labels": people, or what the data set ships as such; "pseudo": a network; "exact": a renderer.
LabelKind = Literal["labels", "pseudo", "exact"]


@dataclass(frozen=True)
class SourceFrame:
    """One frame of a source. ``labels`` and ``depth`` are there where the source knows them."""

    stamp_ns: int
    image: NDArray[np.uint8]  # HxWx3 RGB
    labels: NDArray[np.uint8] | None = None  # HxW Cityscapes trainIds, 255 = ignore
    depth: NDArray[np.float32] | None = None  # HxW metres along the optical axis


class Source(Protocol):
    """A finite sequence of frames that can be iterated more than once, always with the same result."""

    name: str  # SOURCE as the user wrote it
    rate_hz: float  # nominal frame rate
    label_kind: LabelKind | None  # of the label maps that some or all frames have

    def __len__(self) -> int:
        """Number of frames."""
        ...

    def __iter__(self) -> Iterator[SourceFrame]:
        """Frames in order of time."""
        ...

    def fingerprint(self) -> str:
        """sha256 (hex) over the input data (files' bytes, or the synthetic drive's parameters), for reports."""
        ...


def median_rate(stamps_ns: Iterable[int], what: str) -> float:
    """Frames per second from the median interval of stamps. Raises SourceError if no stamp is later than another."""
    intervals = [later - sooner for sooner, later in pairwise(stamps_ns) if later > sooner]
    if not intervals:
        raise SourceError(f"{what} has fewer than two frames at different times; a forecast needs moving images")
    return 1e9 / median(intervals)


def sha256_of_files(paths: Iterable[Path]) -> str:
    """sha256 (hex) over the bytes of the files, one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()
