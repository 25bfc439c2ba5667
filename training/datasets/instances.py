"""Which pixels belong to one thing: instances, H x W uint8, 0 for none; more than 255 of a map begin again at 1.

Cityscapes ships instance ids for its labelled frames. A synthetic drive knows the depth of every pixel, exactly: there an
instance is a connected part of a class of things in which depth never jumps from one pixel to the next. A thing that is cut in
two by another in front of it counts as two, which changes no boundary. Other data knows no instances.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.datasets.recording import DrawnLabels, Recording
from vidpred_ros.errors import SourceError
from vidpred_ros.semantics import MOVING
from vidpred_ros.sources.base import LabelKind, Source, SourceFrame, sha256_of_files

#: Depth jumps between two neighbouring pixels when one is this much farther away, in metres and in proportion.
JUMP, PROPORTION = 0.8, 1.08
#: Cityscapes: ids of instances are 1000 * class + number; smaller ones are regions without instances.
FIRST_INSTANCE = 1000


class InstanceIds:
    """Cityscapes *_instanceIds.png files as a Source whose images are H x W instances; a frame without a file has none (0)."""

    label_kind: LabelKind | None = None

    def __init__(self, files: Sequence[Path | None], name: str, rate_hz: float) -> None:
        self.files, self.name, self.rate_hz = files, name, rate_hz

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[SourceFrame]:
        maps = {path: instances_from_ids(_read_ids(path)) for path in self.files if path is not None}
        nothing = np.zeros_like(next(iter(maps.values())))
        for index, path in enumerate(self.files):
            yield SourceFrame(round(index * 1e9 / self.rate_hz), nothing if path is None else maps[path])

    def fingerprint(self) -> str:
        return sha256_of_files(filter(None, self.files))


class DrawnInstances(DrawnLabels):
    """The instances of a source that knows the label map and the depth of each of its frames."""

    def __iter__(self) -> Iterator[SourceFrame]:
        for frame in self._source:
            assert frame.labels is not None and frame.depth is not None
            yield SourceFrame(frame.stamp_ns, instances_from_depth(frame.labels, frame.depth))

    def fingerprint(self) -> str:
        return "instances " + self._source.fingerprint()


def drawn_instances(recording: Recording) -> Recording:
    """The instances that the source of a recording knows, as a recording of their own."""
    source = recording.source()
    return Recording(f"instances of {recording.name}", partial(_drawn, recording.source), (), source.rate_hz)


def _drawn(opener: Callable[[], Source]) -> DrawnInstances:
    return DrawnInstances(opener())


def _read_ids(path: Path) -> NDArray[np.uint16]:
    ids = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if ids is None or ids.ndim != 2 or ids.dtype != np.uint16:
        raise SourceError(f"{path} is damaged, or no 16-bit grey PNG, which instance ids are")
    return ids


def instances_from_ids(ids: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Cityscapes *_instanceIds.png (HxW uint16) to instances HxW, numbered in the order of their ids."""
    found, numbers = np.unique(np.where(ids >= FIRST_INSTANCE, ids, 0), return_inverse=True)
    return _bytes(numbers.reshape(ids.shape) + (found[0] != 0))


def instances_from_depth(labels: NDArray[np.uint8], depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Instances of the classes that move, of a label map HxW and its exact depth HxW in metres."""
    inverse = 1 / np.maximum(depth, 1e-3).astype(np.float64)  # 0 in the sky, whose depth is infinite
    joined_right = _joined(labels[:, :-1], labels[:, 1:], inverse[:, :-1], inverse[:, 1:])
    joined_down = _joined(labels[:-1], labels[1:], inverse[:-1], inverse[1:])
    height, width = labels.shape
    # pixels at even places of a grid of twice the size, with the links between them at the odd ones
    grid = np.zeros((2 * height - 1, 2 * width - 1), np.uint8)
    grid[::2, ::2] = np.isin(labels, MOVING)
    grid[::2, 1::2], grid[1::2, ::2] = joined_right, joined_down
    _, numbers = cv2.connectedComponents(grid, connectivity=4)
    return _bytes(numbers[::2, ::2])


def _bytes(numbers: NDArray[np.integer]) -> NDArray[np.uint8]:
    return np.where(numbers > 0, (numbers - 1) % 255 + 1, 0).astype(np.uint8)


def _joined(a: NDArray[np.uint8], b: NDArray[np.uint8], near: NDArray[np.float64], far: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether neighbours are of one moving class and depth does not jump between them."""
    with np.errstate(divide="ignore", invalid="ignore"):
        metres, ratio = np.abs(1 / near - 1 / far), np.maximum(near / far, far / near)
    jumps = ~((metres <= JUMP) | (ratio <= PROPORTION))
    return (a == b) & np.isin(a, MOVING) & ~jumps
