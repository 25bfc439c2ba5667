"""Data sets as they are downloaded, beside plain SOURCEs: "caltech:FOLDER?split=test", "...#NAME" for one of its recordings."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from training.datasets.layouts import READERS, expand, find_recordings
from training.datasets.recording import Recording
from vidpred_ros.errors import ConfigError, SourceError
from vidpred_ros.sources import Source, SourceFrame, open_source


class DataSetSource:
    """One recording of a data set as a Source, with its label maps; its name opens it again, in another process too."""

    def __init__(self, recording: Recording, name: str) -> None:
        self._source, self._maps = recording.source(), recording.labels
        self.name = name
        self.rate_hz = recording.rate_hz or self._source.rate_hz
        self.label_kind = self._source.label_kind if self._maps is None else self._maps.kind

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator[SourceFrame]:
        if self._maps is None:
            yield from self._source
            return
        maps = self._maps.recording.source()
        for frame, labels, there in zip(self._source, maps, self._maps.there, strict=True):
            yield replace(frame, labels=labels.image if there else None)

    def fingerprint(self) -> str:
        frames = self._source.fingerprint()
        if self._maps is None:
            return frames
        return hashlib.sha256(f"{frames} {self._maps.recording.source().fingerprint()}".encode()).hexdigest()


#: The split that is scored unless "?split=" names another: Cityscapes keeps the labels of its test split to itself.
SPLIT = {"cityscapes": "val"}


def is_data_set(text: str) -> bool:
    """Whether a text names a data set ("caltech:FOLDER") and not a SOURCE."""
    name, colon, _ = text.partition(":")
    return bool(colon) and name in READERS


def open_data_set(text: str) -> dict[str, Source]:
    """Every recording of a data set's test split, of Cityscapes' val ("?split=" names another), by its name below the folder.

    Raises SourceError for data that are missing or partial, ConfigError for an unknown option.
    """
    text = expand(text)
    return {name: DataSetSource(recording, f"{text}#{name}") for name, recording in _recordings(text).items()}


def open_sequence(text: str, topic: str | None = None) -> Source:
    """A SOURCE, with the ``topic`` of a bag, or one recording of a data set: "caltech:FOLDER#set06/V000"; no other one is opened.

    Raises SourceError for what cannot be opened and for a recording that is not there, ConfigError for a topic of a data set.
    """
    if not is_data_set(text):
        return open_source(text, topic=topic)
    if topic is not None:
        raise ConfigError(f"--topic {topic} is for bags, and {text} is a data set")
    place, _, name = text.partition("#")
    found = _recordings(place)
    if name not in found:
        few = ", ".join([*found][:3]) + (f" ... ({len(found)} in all)" if len(found) > 3 else "")
        raise SourceError(f"{place}: which recording? {place}#NAME, where NAME is one of {few}")
    return DataSetSource(found[name], text)


def _recordings(text: str) -> dict[str, Recording]:
    """The recordings of a data set by their names below the folder, found but not opened."""
    recordings = find_recordings(text, SPLIT.get(text.partition(":")[0], "test"))
    above = Path(os.path.commonpath([str(Path(r.name).parent) for r in recordings]))
    return {Path(r.name).relative_to(above).as_posix(): r for r in recordings}
