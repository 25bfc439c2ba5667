"""KITTI raw as it is downloaded: DATE/DATE_drive_NNNN_sync/image_02|image_03/data/NNNNNNNNNN.png at 10 Hz.

Split as in PredNet (Lotter 2017), which Shouno 2020 (section 4.1) follows: the drives below are validation and test,
every other drive of the categories city, residential and road is training. KITTI gives the category only on its
download page, so every drive that is found and is in neither list counts as training.
"""

from __future__ import annotations

import re
from pathlib import Path

from vidpred_ros.errors import SourceError

VALIDATION = ("2011_09_26_drive_0005_sync",)
TEST = (
    "2011_09_26_drive_0104_sync",
    "2011_09_26_drive_0079_sync",
    "2011_09_26_drive_0070_sync",
)
CAMERAS = ("image_02", "image_03")
RATE_HZ = 10.0
DRIVE = re.compile(r"\d{4}_\d\d_\d\d_drive_\d{4}_sync")


def drives(root: Path, split: str) -> list[Path]:
    """The camera folders (DRIVE/image_0X/data) of a split ("train", "val" or "test"), in order.

    Raises SourceError that says what was expected and what was found when there is no such drive or a folder is empty.
    """
    found = sorted(p for p in root.glob("*/*") if p.is_dir() and DRIVE.fullmatch(p.name))
    if not found:
        there = ", ".join(sorted(p.name for p in root.iterdir())[:5]) if root.is_dir() else "no such folder"
        raise SourceError(
            f"{root}: expected KITTI raw (2011_09_26/2011_09_26_drive_0001_sync/image_02/data/*.png), found: {there}"
        )
    wanted = [d for d in found if split_of(d.name) == split]
    if not wanted:
        raise SourceError(f"{root}: none of its {len(found)} drives belongs to the {split} split")
    folders = [drive / camera / "data" for drive in wanted for camera in CAMERAS if (drive / camera).is_dir()]
    if not folders:
        raise SourceError(f"{root}: the drives hold neither image_02 nor image_03; download the colour cameras")
    for folder in folders:
        if not any(folder.glob("*.png")):
            raise SourceError(f"{folder}: no PNG frames; the download of this drive is not complete")
    return folders


def split_of(drive: str) -> str:
    """"train", "val" or "test" for a drive's folder name."""
    if drive in VALIDATION:
        return "val"
    return "test" if drive in TEST else "train"
