"""Cityscapes sequences: leftImg8bit_sequence/SPLIT/CITY/CITY_SSSSSS_FFFFFF_leftImg8bit.png, snippets of 30 frames at 17 Hz.

The 20th frame of a snippet is labelled: gtFine/SPLIT/CITY/CITY_SSSSSS_FFFFFF_gtFine_labelIds.png (or labelTrainIds).
`vidpred label cityscapes:FOLDER` keeps a segmenter's label maps of all 30 frames beside these, under the frames' own names:
labels_pseudo/SPLIT/CITY/CITY_SSSSSS_FFFFFF_leftImg8bit.png.
In some cities one recording number SSSSSS holds many snippets, told apart by their frame numbers alone.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from training.datasets.instances import InstanceIds
from training.datasets.recording import ImageFiles, LabelMaps, Recording, found_in, label_maps, some
from vidpred_ros.errors import SourceError
from vidpred_ros.semantics import CITYSCAPES, TRAIN_IDS
from vidpred_ros.sources.labels import PSEUDO, LabelFiles

RATE_HZ = 17.0
LENGTH = 30
LABELLED = 19  # index of the frame with ground truth
#: Snippets of each split.
SNIPPETS = {"train": 2975, "val": 500, "test": 1525}
FRAME = re.compile(r"(.+_\d{6})_(\d{6})_leftImg8bit\.png")

log = logging.getLogger(__name__)


def recordings(root: Path, split: str) -> list[Recording]:
    """The snippets of a split, each with its label where gtFine is there, and a segmenter's where there are any.

    Training snippets that are missing are only warned of; the other splits must be complete. Raises SourceError for
    that, for another layout, and for a snippet with fewer than 30 frames.
    """
    folder = root / "leftImg8bit_sequence" / split
    cities = sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    snippets = [files for city in cities for files in _snippets(city)]
    if not snippets:
        raise SourceError(
            f"{root}: expected leftImg8bit_sequence/{split}/CITY/CITY_000000_000000_leftImg8bit.png "
            f"(leftImg8bit_sequence_trainvaltest.zip), found: {found_in(folder if folder.is_dir() else root)}"
        )
    broken = [f"{files[0].name} starts a run of {len(files)}" for files in snippets if len(files) != LENGTH]
    if broken:
        raise SourceError(
            f"{folder}: {len(broken)} of its {len(snippets)} snippets do not have {LENGTH} frames ({some(broken, 3)}); "
            "fetch these again, or take them away"
        )
    if len(snippets) < SNIPPETS[split]:
        if split != "train":
            raise SourceError(f"{folder}: {len(snippets)} of {SNIPPETS[split]} snippets are there; unpack the archive again")
        log.warning("%s: training on %d of Cityscapes' %d snippets", folder, len(snippets), SNIPPETS[split])
    made = {city.name: {f.name for f in (root / PSEUDO / split / city.name).glob("*.png")} for city in cities}
    return [_recording(root, files, made[files[0].parent.name]) for files in snippets]


def _snippets(city: Path) -> Iterator[list[Path]]:
    """A city's frames, cut where the frame numbers jump and after every 30th frame."""
    run: list[Path] = []
    last = ("", -1)
    for file in sorted(city.iterdir()):
        match = FRAME.fullmatch(file.name)
        if not match:
            continue
        here = match[1], int(match[2])
        if run and (here != (last[0], last[1] + 1) or len(run) == LENGTH):
            yield run
            run = []
        run.append(file)
        last = here
    if run:
        yield run


def _recording(root: Path, files: list[Path], made: set[str]) -> Recording:
    """``made``: the names of its city's label maps by a segmenter."""
    folder = files[0].parent
    place = Path(folder.parent.name, folder.name)
    name = str(folder / files[0].name.removesuffix("_leftImg8bit.png"))
    pseudo = tuple(root / PSEUDO / place / file.name for file in files)
    found = tuple(file if file.name in made else None for file in pseudo)
    every = label_maps(LabelFiles(found, TRAIN_IDS, "pseudo"), name, RATE_HZ) if any(found) else None
    maps = _ground_truth(root / "gtFine" / place, files[LABELLED].name.removesuffix("leftImg8bit.png"), name)
    maps = replace(maps, consecutive=every) if maps else every
    return Recording(name, partial(ImageFiles, files, name, RATE_HZ), tuple(files), RATE_HZ, LENGTH, labels=maps, pseudo=pseudo)


def _ground_truth(labels: Path, stem: str, name: str) -> LabelMaps | None:
    """gtFine's label map and instances of the 20th frame, if they are there."""
    for kind, table in (("labelTrainIds", TRAIN_IDS), ("labelIds", CITYSCAPES)):
        label = labels / f"{stem}gtFine_{kind}.png"
        if label.is_file():
            paths = tuple(label if index == LABELLED else None for index in range(LENGTH))
            maps = label_maps(LabelFiles(paths, table, "labels"), name, RATE_HZ)
            return replace(maps, instances=_instances(labels, stem, name))
    return None


def _instances(labels: Path, stem: str, name: str) -> Recording | None:
    """The instances of the labelled frame, if their file is there."""
    ids = labels / f"{stem}gtFine_instanceIds.png"
    if not ids.is_file():
        return None
    source = partial(InstanceIds, [ids if index == LABELLED else None for index in range(LENGTH)], name, RATE_HZ)
    return Recording(f"instances of {name}", source, (ids,), RATE_HZ, LENGTH)
