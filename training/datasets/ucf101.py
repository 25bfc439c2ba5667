"""UCF101: UCF-101/CLASS/v_CLASS_gGG_cCC.avi (or the class folders themselves), 101 classes, 13,320 videos.

The official lists (ucfTrainTestlist/trainlist01.txt, testlist01.txt, ... 03) decide the split where they are. Where they
are not, their rule does: the groups 1-7, 8-14 and 15-21 of every class are the test videos of list 1, 2 and 3.
The official split has no validation part: group 25, which is a training group in all three lists, is taken for it.
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
VALIDATION_GROUP = 25
TEST_GROUPS = {"1": range(1, 8), "2": range(8, 15), "3": range(15, 22)}

log = logging.getLogger(__name__)


def recordings(root: Path, split: str, list: str = "1", every: str = "1") -> list[Recording]:
    """The videos of a split in the order of the official list, every ``every``-th one.

    Training videos that are missing are only warned of; the others must all be there. Raises SourceError for that,
    and for another layout. A video that cannot be decoded is named when it is decoded.
    """
    if list not in TEST_GROUPS or not every.isdigit() or int(every) < 1:
        raise SourceError(f"ucf101: list={list}&every={every}; list is 1, 2 or 3, and every a whole number above 0")
    videos = root / "UCF-101" if (root / "UCF-101").is_dir() else root
    classes = sorted({p.parent.name for p in videos.glob("*/v_*.avi")})
    if not classes:
        raise SourceError(
            f"{root}: expected UCF101 (UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi), found: {found_in(root)}"
        )
    kind = "test" if split == "test" else "train"
    places = [folder / f"{kind}list0{list}.txt" for folder in (root / "ucfTrainTestlist", root, videos)]
    official = next((place for place in places if place.is_file()), None)
    if official:
        named = [line.split()[0] for line in official.read_text().splitlines() if line.strip()]
    else:
        named = [f"{path.parent.name}/{path.name}" for path in sorted(videos.glob("*/v_*.avi"))]
    listed = [name for name in named if _split_of(name, kind if official else None, TEST_GROUPS[list]) == split]
    missing = [name for name in listed if not (videos / name).is_file()]
    if official:
        lacks = f"{len(missing)} of the {len(listed)} {split} videos of {official.name} ({some(missing, 3)})" if missing else ""
    else:
        lacks = f"{CLASSES - len(classes)} of {CLASSES} classes" if len(classes) < CLASSES else ""
    if not listed or (lacks and (split != "train" or len(missing) == len(listed))):
        raise SourceError(f"{videos} lacks {lacks or f'every {split} video'}; unpack UCF101.rar again")
    if lacks:
        log.warning("%s lacks %s; training on the others", videos, lacks)
    gone = set(missing)
    chosen = [videos / name for name in listed[:: int(every)] if name not in gone]
    return [Recording(str(path), partial(open_source, str(path)), (path,)) for path in chosen]


def _split_of(name: str, kind: str | None, test_groups: range) -> str | None:
    """The split of a video by its group; ``kind`` is that of the official list that names it. None: no name of UCF101."""
    match = VIDEO.fullmatch(name.rpartition("/")[2])
    if not match:
        return None
    group = int(match[1])
    kind = kind or ("test" if group in test_groups else "train")
    return "val" if kind == "train" and group == VALIDATION_GROUP else kind
