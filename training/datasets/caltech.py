"""Caltech Pedestrian: setNN/VNNN.seq as downloaded, or extracted frames in setNN/VNNN/images/ or setNN/VNNN/.

Sets 00 to 05 are training, 06 to 10 test. The camera runs at 30 Hz; every third frame is taken, which matches KITTI's
rate (Shouno 2020, section 4.1). Folders above setNN (Train/, Test/) do not matter.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from training.datasets.norpix import SeqSource
from training.datasets.recording import (
    ImageFiles,
    Recording,
    check_no_gap,
    found_in,
    frame_number,
    images_in,
)
from vidpred_ros.errors import SourceError

EVERY = 3
RATE_HZ = 10.0
#: Videos of each set: 137 in all.
VIDEOS = {
    "train": {"set00": 15, "set01": 6, "set02": 12, "set03": 13, "set04": 12, "set05": 13},
    "test": {"set06": 19, "set07": 12, "set08": 11, "set09": 12, "set10": 12},
}

log = logging.getLogger(__name__)


def recordings(root: Path, split: str) -> list[Recording]:
    """The videos of a split, every third frame. A .seq file goes before extracted frames of the same video.

    Training videos that are missing are only warned of; the test split must be complete. Raises SourceError for that,
    for another layout, and for extracted frames with gaps. A cut .seq file is named when it is decoded.
    """
    if split not in VIDEOS:
        raise SourceError(f"caltech:{root} has no {split} split; validate on other data, or on caltech:FOLDER?split=test")
    videos: dict[tuple[str, str], Path] = {}
    for path in _videos(root):
        key = path.parent.name, path.stem
        if key not in videos or path.suffix == ".seq":
            videos[key] = path
    chosen = {key: path for key, path in sorted(videos.items()) if key[0] in VIDEOS[split]}
    if not chosen:
        raise SourceError(
            f"{root}: expected Caltech Pedestrian ({min(VIDEOS[split])}/V000.seq or {min(VIDEOS[split])}/V000/images/*.jpg), "
            f"found: {found_in(root)}"
        )
    found = Counter(name for name, _ in chosen)
    short = [f"{name} {found[name]} of {count}" for name, count in VIDEOS[split].items() if found[name] < count]
    if short and split != "train":
        raise SourceError(f"{root}: the {split} split is not complete ({', '.join(short)} videos); download what is missing")
    if short:
        log.warning("%s: training on a part of Caltech Pedestrian: %s videos", root, ", ".join(short))
    return [_seq(path) if path.suffix == ".seq" else _extracted(path) for path in chosen.values()]


def _videos(folder: Path) -> Iterator[Path]:
    """The .seq files and folders of extracted frames below a folder."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if re.fullmatch(r"V\d{3}(\.seq)?", path.name):
            yield path
        elif path.is_dir():
            yield from _videos(path)


def _seq(path: Path) -> Recording:
    return Recording(str(path), partial(SeqSource, path, str(path), EVERY), (path,), RATE_HZ)


def _extracted(folder: Path) -> Recording:
    files = images_in(folder / "images") or images_in(folder)
    if len(files) < 2:
        raise SourceError(f"{folder}: expected V000/images/*.jpg or V000/*.jpg (or .png), found: {found_in(folder)}")
    step = frame_number(files[1]) - frame_number(files[0])  # some converters leave out frames already
    if step not in (1, EVERY):
        raise SourceError(f"{folder}: every {step}. frame was extracted; needed is every frame, or every {EVERY}.")
    check_no_gap(files, step)
    taken = files[:: EVERY // step]
    return Recording(str(folder), partial(ImageFiles, taken, str(folder), RATE_HZ), tuple(taken), RATE_HZ)
