"""``vidpred label cityscapes:FOLDER``: label maps of a whole data set, kept where its reader finds them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from training.datasets.layouts import SPLITS, find_recordings
from training.datasets.recording import ImageFiles, Recording
from vidpred_ros.commands.common import watch
from vidpred_ros.commands.label_files import check_record, keep_record, make_record, write_picture
from vidpred_ros.errors import ConfigError, SourceError
from vidpred_ros.segmenters import Segmenter
from vidpred_ros.segmenters.whole_frame import label_whole_frame


@dataclass(frozen=True)
class Frame:
    """A frame of a data set and where its label map is kept."""

    image: Path
    labels: Path


def find_frames(text: str, console: Console) -> list[Frame]:
    """Every frame of a data set, or of the split that "?split=" names; a split that is not there is printed and left out.

    Raises SourceError where no split can be read, ConfigError for a data set whose reader looks for no label maps.
    """
    recordings: list[Recording] = []
    missing: dict[str, SourceError] = {}
    for split in ("",) if "split=" in text.partition("?")[2] else SPLITS:
        try:
            recordings += find_recordings(text, split)
        except SourceError as error:
            missing[split] = error
    if not recordings:
        raise next(iter(missing.values()))
    if not all(recording.pseudo for recording in recordings):
        raise ConfigError(f"{text}: whole data sets are labelled where their layout has a place for it: cityscapes and kitti_raw")
    for split, why in missing.items():
        console.print(f"[yellow]left out:[/] {split}: {why}", highlight=False, soft_wrap=True)
    return [Frame(*pair) for recording in recordings for pair in zip(recording.files, recording.pseudo, strict=True)]


def label_data_set(frames: list[Frame], segmenter: Segmenter, console: Console) -> None:
    """Write the label maps that are not there yet. Raises ConfigError for a folder with those of another segmenter, before any
    is written, and SourceError for a frame that cannot be read."""
    folders: dict[Path, list[Frame]] = {}
    for frame in frames:
        folders.setdefault(frame.labels.parent, []).append(frame)
    records = {
        folder: make_record(segmenter, str(inside[0].image.parent.resolve()), len(inside)) for folder, inside in folders.items()
    }
    for folder, record in records.items():
        check_record(folder, record, ("segmenter", "weights_sha256"), "delete it")  # frames may have become more since
    todo = [frame for frame in frames if not frame.labels.is_file()]
    for frame in watch(console, len(todo), "labelling")(todo):
        keep_record(frame.labels.parent, records[frame.labels.parent])
        (seen,) = ImageFiles([frame.image], str(frame.image), 1.0)
        write_picture(frame.labels, label_whole_frame(segmenter, seen.image))
    there = f"; {len(frames) - len(todo)} had label maps already" if len(todo) < len(frames) else ""
    console.print(f"{len(todo)} of {len(frames)} frames labelled by {segmenter.name} ({segmenter.engine}){there}", highlight=False)
    for parent in sorted({folder.parent for folder in folders}):
        console.print(str(parent), soft_wrap=True, highlight=False)
