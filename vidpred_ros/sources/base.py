"""What every source of frames offers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


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

    def __len__(self) -> int:
        """Number of frames."""
        ...

    def __iter__(self) -> Iterator[SourceFrame]:
        """Frames in order of time."""
        ...

    def fingerprint(self) -> str:
        """sha256 (hex) over the input data (files' bytes, or the synthetic drive's parameters), for reports."""
        ...
