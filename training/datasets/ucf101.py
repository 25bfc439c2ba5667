"""UCF101: UCF-101/CLASS/v_CLASS_gGG_cCC.avi (or the class folders themselves), 101 classes, 13,320 videos.

The official lists (ucfTrainTestlist/trainlist01.txt, testlist01.txt, ... 03) decide the split where they are. Where they
are not, their rule does: the groups 1-7, 8-14 and 15-21 of every class are the test videos of list 1, 2 and 3.
Mathieu 2016 tests on every tenth video of test list 1: "ucf101:FOLDER?split=test&every=10".
"""

from __future__ import annotations

import logging
import re
from functools import partial
from pathlib import Path

from training.datasets.recording import Recording, found_in, some
from vidpred_ros.errors import SourceError
from vidpred_ros.sources import open_source

CLASSES = 101
VIDEO = re.compile(r"v_\w+_g(\d\d)_c\d\d\.avi")
TEST_GROUPS = {"1": range(1, 8), "2": range(8, 15), "3": range(15, 22)}

log = logging.getLogger(__name__)


def recordings(root: Path, split: str, list: str = "1", every: str = "1") -> list[Recording]:
    """The videos of a split in the order of the official list, every ``every``-th one.

    Training videos that are missing are only warned of; the test videos must all be there. Raises SourceError for that,
    and for another layout. A video that cannot be decoded is named when it is decoded.
    """
    if list not in TEST_GROUPS or not every.isdigit() or int(every) < 1:
        raise SourceError(f"ucf101: list={list}&every={every}; list is 1, 2 or 3, and every a whole number above 0")
    if split == "val":
        raise SourceError(f"ucf101:{root} has no val split; validate on other data, or on ucf101:FOLDER?split=test&every=100")
    videos = root / "UCF-101" if (root / "UCF-101").is_dir() else root
    classes = sorted({p.parent.name for p in videos.glob("*/v_*.avi")})
    if not classes:
        raise SourceError(
            f"{root}: expected UCF101 (UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi), found: {found_in(root)}"
        )
    places = [folder / f"{split}list0{list}.txt" for folder in (root / "ucfTrainTestlist", root, videos)]
    official = next((place for place in places if place.is_file()), None)
    if official:
        listed = [line.split()[0] for line in official.read_text().splitlines() if line.strip()]
        missing = [name for name in listed if not (videos / name).is_file()]
        lacks = f"{len(missing)} of the {len(listed)} videos of {official.name} ({some(missing, 3)})" if missing else ""
    else:
        listed = _by_group(videos, split, TEST_GROUPS[list])
        missing = []
        lacks = f"{CLASSES - len(classes)} of {CLASSES} classes" if len(classes) < CLASSES else ""
    if lacks and (split != "train" or len(missing) == len(listed)):
        raise SourceError(f"{videos} lacks {lacks}; unpack UCF101.rar again")
    if lacks:
        log.warning("%s lacks %s; training on the others", videos, lacks)
    gone = set(missing)
    chosen = [videos / name for name in listed[:: int(every)] if name not in gone]
    return [Recording(str(path), partial(open_source, str(path)), (path,)) for path in chosen]


def _by_group(videos: Path, split: str, test_groups: range) -> list[str]:
    chosen = []
    for path in sorted(videos.glob("*/v_*.avi")):
        match = VIDEO.fullmatch(path.name)
        if match and (int(match[1]) in test_groups) == (split == "test"):
            chosen.append(f"{path.parent.name}/{path.name}")
    return chosen
