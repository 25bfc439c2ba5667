"""Folders of label maps that ``vidpred label`` writes: whole pictures, and a record of the segmenter that made them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import ConfigError

if TYPE_CHECKING:
    from vidpred_ros.segmenters import Segmenter

#: Among the label maps; no PNG, which would be a label map. Another segmenter must not go on where one stopped.
RECORD = "segmenter.json"
#: Frames that are written are JPEG of this quality.
QUALITY = 95


def make_record(segmenter: Segmenter, source: str, frames: int) -> dict[str, Any]:
    """Who made the label maps of a folder, and of what."""
    return {
        "segmenter": segmenter.name,
        "weights_sha256": segmenter.weights_sha256,
        "engine": segmenter.engine,
        "classes": "Cityscapes train ids",
        "ignore": 255,
        "source": source,
        "frames": frames,
    }


def check_record(folder: Path, record: dict[str, Any], same: tuple[str, ...], advice: str) -> None:
    """Raises ConfigError where a folder's record differs from ``record`` in one of the keys ``same``, or where its label maps
    have none."""
    file = folder / RECORD
    if not file.is_file():
        if any(folder.glob("*.png")):
            raise ConfigError(f"{folder} holds label maps of unknown origin: {advice}")
        return
    before = json.loads(file.read_text())
    other = [f"{key} {before.get(key)}, now {record[key]}" for key in same if before.get(key) != record[key]]
    if other:
        raise ConfigError(f"{folder} was made of something else ({'; '.join(other)}): {advice}")


def keep_record(folder: Path, record: dict[str, Any]) -> None:
    """Make the folder of the label maps and its record, where they are not there."""
    if not (folder / RECORD).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / RECORD, (json.dumps(record, indent=1) + "\n").encode())


def write_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    """A picture that is whole or not there, so that a run that was killed can go on."""
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY] if path.suffix == ".jpg" else []
    _write(path, cv2.imencode(path.suffix, picture, options)[1].tobytes())


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.replace(path)
