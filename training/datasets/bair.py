"""BAIR robot pushing as converters write it: train/ and test/ with a folder of 30 frames (64x64) or a video for each trajectory.

The folders may be nested (traj_0_to_255/1/0.png ... 29.png, as the converter of Denton and Fergus 2018 makes them) and
processed_data/ or softmotion30_44k/ may lie above them. The original TFRecords are not read. No rate is published with
the data; 10 Hz stands for it, so that a recipe's default period takes every frame.
"""

from __future__ import annotations

import logging
import re
from functools import partial
from pathlib import Path

from training.datasets.recording import (
    IMAGE_SUFFIXES,
    ImageFiles,
    Recording,
    check_no_gap,
    found_in,
    images_in,
    some,
)
from vidpred_ros.errors import SourceError
from vidpred_ros.sources import open_source

RATE_HZ = 10.0
LENGTH = 30
#: Trajectories of each split.
TRAJECTORIES = {"train": 43264, "test": 256}
VIDEO_SUFFIXES = (".mp4", ".avi")

log = logging.getLogger(__name__)


def recordings(root: Path, split: str) -> list[Recording]:
    """The trajectories of a split.

    Training trajectories that are missing are only warned of; the test split must be complete. Raises SourceError for
    that, for another layout, and for a trajectory that does not have 30 frames.
    """
    if split not in TRAJECTORIES:
        raise SourceError(f"bair:{root} has no {split} split; validate on other data, or on bair:FOLDER?split=test")
    folders = [root / above / split for above in ("", "processed_data", "softmotion30_44k")]
    files = [f for folder in folders for f in folder.rglob("*") if f.suffix.lower() in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)]
    videos = sorted((f for f in files if f.suffix.lower() in VIDEO_SUFFIXES), key=_natural)
    trajectories = sorted({f.parent for f in files if f.suffix.lower() in IMAGE_SUFFIXES}, key=_natural)
    count = len(videos) + len(trajectories)
    if not count:
        records = any(f.suffix == ".tfrecords" for folder in folders for f in folder.rglob("*"))
        raise SourceError(
            f"{root}: expected {split}/TRAJECTORY/*.png or {split}/*.mp4, found: "
            + ("TFRecords; convert them to PNG files first" if records else found_in(root))
        )
    if count < TRAJECTORIES[split]:
        if split != "train":
            raise SourceError(f"{root}: {count} of the {TRAJECTORIES[split]} {split} trajectories are there; convert them all")
        log.warning("%s: training on %d of BAIR's %d trajectories", root, count, TRAJECTORIES[split])
    broken, made = [], []
    for folder in trajectories:
        frames = images_in(folder)
        if len(frames) != LENGTH:
            broken.append(f"{folder.relative_to(root)}: {len(frames)}")
            continue
        check_no_gap(frames)
        made.append(Recording(str(folder), partial(ImageFiles, frames, str(folder), RATE_HZ), tuple(frames), RATE_HZ))
    if broken:
        raise SourceError(
            f"{root}: {len(broken)} of {count} trajectories do not have {LENGTH} frames ({some(broken, 3)}); "
            "convert these again, or take them away"
        )
    made += [Recording(str(video), partial(open_source, str(video)), (video,), RATE_HZ, LENGTH) for video in videos]
    return made


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key that compares runs of digits as numbers: traj_2 before traj_10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", str(path))]
