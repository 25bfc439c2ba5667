"""What every segmenter offers."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Segmenter(Protocol):
    """Turns a camera frame into a label map."""

    name: str
    size: tuple[int, int]  # (height, width) of the frames that it takes and of the maps that it gives
    engine: str  # "openvino bf16"
    weights_sha256: str  # of the network, and of the class table where there is one

    def segment(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A frame (HxWx3 uint8 RGB, of ``size``) to its label map (HxW uint8 train ids, 255 = none of the classes)."""
        ...

    def close(self) -> None:
        """Free the runtime's memory; the segmenter is of no use afterwards."""
        ...
