"""Sequences with label maps, decoded once into the cache beside their frames: what the networks of label maps learn from.

    FOLDER                a sequence folder with labels/ or labels_pseudo/; with labels alone, for structure training
    cityscapes:FOLDER     gtFine: the 20th frame of each snippet; or all 30, in labels_pseudo/ (`vidpred label` makes them)
    kitti_raw:FOLDER      with image_02/labels_pseudo/ beside image_02/data/ (`vidpred label` makes them)
    synthetic:seed=1      every frame, exact
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from training.datasets.frames import Stored, open_recordings
from training.datasets.layouts import find_labelled
from training.datasets.recording import LabelMaps, Recording
from vidpred_ros.errors import SourceError
from vidpred_ros.sources.labels import LabelKind


@dataclass(frozen=True)
class LabelledSequence:
    """N frames at a rate, of which all or some have label maps. Arrays are never written to."""

    name: str  # SOURCE, or the file or folder in a data set
    rate_hz: float
    frames: NDArray[np.uint8] | Stored | None  # N x H x W x 3 RGB; None: label maps only
    labels: NDArray[np.uint8] | Stored  # N x H x W train ids, 255 = ignore
    labelled: NDArray[np.bool_]  # (N,): which frames have a label map
    kind: LabelKind
    key: str = ""  # hash of the data and of how they were decoded
    instances: NDArray[np.uint8] | Stored | None = None  # N x H x W, 0 for none (instances.py); None: not known or not asked for

    def __len__(self) -> int:
        return len(self.labels)

    def runs(self) -> list[Run]:
        """The longest parts of the sequence in which every frame has a label map, in order."""
        edges = np.flatnonzero(np.diff(self.labelled.astype(np.int8), prepend=0, append=0))
        return [Run(self, int(first), int(end - first)) for first, end in edges.reshape(-1, 2)]


@dataclass(frozen=True)
class Run:
    """``length`` frames of a sequence from number ``first`` on, all with label maps."""

    sequence: LabelledSequence
    first: int
    length: int

    def __len__(self) -> int:
        return self.length

    @property
    def name(self) -> str:
        return self.sequence.name

    @property
    def rate_hz(self) -> float:
        return self.sequence.rate_hz


def open_labelled(
    texts: str | Iterable[str], split: str, instances: bool = False, consecutive: bool = False
) -> list[LabelledSequence]:
    """The labelled sequences of SOURCEs and data sets, decoded into the cache on first use, 256 rows high at most.

    ``instances``: with those of the data that know them. ``consecutive``: of data whose ground truth is of single frames
    (Cityscapes) the segmenter's label maps of frames in a row, all from one hand.

    Raises ConfigError and SourceError as ``find_labelled`` does, and SourceError for what cannot be decoded, for label maps
    that are not as large as their frames, and when consecutive ones are asked for and there are none.
    """
    found = [pair for text in ([texts] if isinstance(texts, str) else texts) for pair in _find(text, split, consecutive)]
    wanted = [(frames, labels.recording, labels.instances if instances else None) for frames, labels in found]
    opened = iter(open_recordings([r for recordings in wanted for r in recordings if r], None))
    sequences = []
    for recording, labels in found:
        frames = next(opened) if recording else None
        maps = next(opened)
        things = next(opened).frames if instances and labels.instances else None
        if frames is not None and frames.frames.shape[:3] != maps.frames.shape:
            one, other = ("{} of {}x{}".format(len(s), *s.frames.shape[2:0:-1]) for s in (maps, frames))
            raise SourceError(f"{maps.name}: its label maps ({one}) do not fit its frames ({other})")
        name, key = (frames.name, frames.key + maps.key) if frames else (maps.name, maps.key)
        images = None if frames is None else frames.frames
        there = np.array(labels.there)
        sequences.append(LabelledSequence(name, maps.rate_hz, images, maps.frames, there, labels.kind, key, things))
    return sequences


def _find(text: str, split: str, consecutive: bool) -> list[tuple[Recording | None, LabelMaps]]:
    """``find_labelled``, with the label maps of frames in a row if these are wanted."""
    found = find_labelled(text, split)
    if not consecutive:
        return found
    found = [(frames, labels.consecutive or labels) for frames, labels in found]
    if not any(here and after for _, labels in found for here, after in pairwise(labels.there)):
        raise SourceError(
            f"{text} has label maps of single frames, and a forecast is learnt from frames in a row; "
            f"make them with a segmenter: vidpred label {text.partition('?')[0]}"
        )
    return found
