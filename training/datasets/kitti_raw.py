"""KITTI raw as it is downloaded: DATE/DATE_drive_NNNN_sync/image_02|image_03/data/NNNNNNNNNN.png at 10 Hz.

Split as in PredNet (Lotter 2017), which Shouno 2020 (section 4.1) follows: of the 61 drives of the categories city,
residential and road one is validation, three are test and 57 are training. Its 41,000 training frames are those of
image_03 alone ("?camera=image_03"); both colour cameras give twice as many. Drives of other categories (campus, person,
calibration) may lie beside them and are left out. `vidpred label kitti_raw:FOLDER` keeps its label maps in
image_02/labels_pseudo/.
"""

from __future__ import annotations

import logging
import re
from functools import partial
from pathlib import Path

from training.datasets.recording import (
    ImageFiles,
    Recording,
    check_no_gap,
    found_in,
    images_in,
    label_maps,
    some,
)
from vidpred_ros.errors import SourceError
from vidpred_ros.sources.labels import PSEUDO, find_label_files

RATE_HZ = 10.0
CAMERAS = ("image_02", "image_03")
VALIDATION = ("2011_09_26_drive_0005_sync",)
TEST = ("2011_09_26_drive_0104_sync", "2011_09_26_drive_0079_sync", "2011_09_26_drive_0070_sync")
DRIVE = re.compile(r"\d{4}_\d\d_\d\d_drive_\d{4}_sync")
_NUMBERS = {
    "2011_09_26": (
        "0001 0002 0005 0009 0011 0013 0014 0017 0018 0048 0051 0056 0057 0059 0060 0084 0091 0093 0095 0096 0104 0106 "
        "0113 0117 "  # city
        "0019 0020 0022 0023 0035 0036 0039 0046 0061 0064 0079 0086 0087 "  # residential
        "0015 0027 0028 0029 0032 0052 0070 0101"  # road
    ),
    "2011_09_28": "0001 0002",
    "2011_09_29": "0026 0071 0004",
    "2011_09_30": "0018 0020 0027 0028 0033 0034 0016",
    "2011_10_03": "0027 0034 0042 0047",
}
#: The drives of city, residential and road.
DRIVES = tuple(f"{date}_drive_{number}_sync" for date, numbers in _NUMBERS.items() for number in numbers.split())

log = logging.getLogger(__name__)


def recordings(root: Path, split: str, camera: str | None = None) -> list[Recording]:
    """The drives of a split, each seen by both colour cameras or by ``camera`` alone.

    A training drive that is missing is only warned of; a drive of another split must be there. Raises SourceError for
    that, for another layout, and for a drive whose frames are not complete.
    """
    if camera not in (None, *CAMERAS):
        raise SourceError(f"kitti_raw: camera={camera}; the colour cameras are {' and '.join(CAMERAS)}")
    found = {p.name: p for p in sorted(root.glob("*/*")) if p.is_dir() and DRIVE.fullmatch(p.name)}
    if not found:
        raise SourceError(
            f"{root}: expected KITTI raw (2011_09_26/2011_09_26_drive_0001_sync/image_02/data/*.png), found: {found_in(root)}"
        )
    wanted = [drive for drive in DRIVES if split_of(drive) == split]
    missing = [drive for drive in wanted if drive not in found]
    if missing and (split != "train" or len(missing) == len(wanted)):
        raise SourceError(
            f"{root}: the {split} split has {len(wanted)} drives, but {some(missing)} not there "
            f"({len(found)} drives are, as {some(found, 3)}); download the missing *_sync.zip"
        )
    if missing:
        log.warning("%s: training on %d of KITTI's %d drives", root, len(wanted) - len(missing), len(wanted))
    made = []
    for drive in sorted(set(wanted) - set(missing)):
        cameras = [c for c in ((camera,) if camera else CAMERAS) if (found[drive] / c).is_dir()]
        if not cameras:
            raise SourceError(f"{found[drive]}: expected {camera or ' or '.join(CAMERAS)}, found: {found_in(found[drive])}")
        made += [_recording(found[drive] / c) for c in cameras]
    return made


def _recording(camera: Path) -> Recording:
    folder, stamps = camera / "data", camera / "timestamps.txt"
    files = images_in(folder)
    expected = sum(1 for line in stamps.read_text().splitlines() if line.strip()) if stamps.is_file() else None
    if not files or (expected is not None and len(files) != expected):
        wanted = "PNG frames" if expected is None else f"{expected} PNG frames (timestamps.txt)"
        raise SourceError(f"{folder}: expected {wanted}, found {len(files)}; the download of this drive is not complete")
    check_no_gap(files)
    name = str(folder)
    labels = find_label_files(camera, {}, [f.stem for f in files])
    maps = label_maps(labels, name, RATE_HZ) if labels else None
    pseudo = tuple(camera / PSEUDO / f"{f.stem}.png" for f in files)
    return Recording(name, partial(ImageFiles, files, name, RATE_HZ), tuple(files), RATE_HZ, labels=maps, pseudo=pseudo)


def split_of(drive: str) -> str | None:
    """"train", "val" or "test" for a drive's folder name; None for a drive that PredNet does not use."""
    if drive in VALIDATION:
        return "val"
    if drive in TEST:
        return "test"
    return "train" if drive in DRIVES else None
