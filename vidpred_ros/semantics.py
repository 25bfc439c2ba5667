"""Names and colours of the Cityscapes train ids, which every label map of this package uses, and tables from other ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from vidpred_ros.errors import ConfigError

IGNORE = 255  # pixels that belong to no class

CLASS_NAMES: tuple[str, ...] = (
    "road",
    "sidewalk",
    "building",
    "wall",
    "fence",
    "pole",
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
)

(
    ROAD,
    SIDEWALK,
    BUILDING,
    WALL,
    FENCE,
    POLE,
    TRAFFIC_LIGHT,
    TRAFFIC_SIGN,
    VEGETATION,
    TERRAIN,
    SKY,
    PERSON,
    RIDER,
    CAR,
    TRUCK,
    BUS,
    TRAIN,
    MOTORCYCLE,
    BICYCLE,
) = range(len(CLASS_NAMES))

#: The classes that move by themselves: the eight of the future-segmentation protocol (Luc 2018).
MOVING: tuple[int, ...] = (PERSON, RIDER, CAR, TRUCK, BUS, TRAIN, MOTORCYCLE, BICYCLE)
#: What a planner wants to know the whereabouts of.
OCCUPANTS: tuple[int, ...] = (PERSON, RIDER, CAR)

# The colours of the Cityscapes benchmark (Cordts et al., CVPR 2016), RGB, one row for each train id.
PALETTE: NDArray[np.uint8] = np.array(
    [
        [128, 64, 128],
        [244, 35, 232],
        [70, 70, 70],
        [102, 102, 156],
        [190, 153, 153],
        [153, 153, 153],
        [250, 170, 30],
        [220, 220, 0],
        [107, 142, 35],
        [152, 251, 152],
        [70, 130, 180],
        [220, 20, 60],
        [255, 0, 0],
        [0, 0, 142],
        [0, 0, 70],
        [0, 60, 100],
        [0, 80, 100],
        [0, 0, 230],
        [119, 11, 32],
    ],
    dtype=np.uint8,
)


def colorize(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """HxW train ids to HxWx3 RGB in the colours of Cityscapes; ignored and unknown ids are black."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(PALETTE)] = PALETTE
    return table[labels]


#: Names of other data sets and of networks for the classes of Cityscapes: what is nearest. CamVid's bicyclist is the rider
#: with the bicycle under him: a rider. Its pole holds traffic cones, its sign symbol traffic lights, its car every vehicle
#: and its tree all plants, which nothing can take apart again.
SYNONYMS: dict[str, str] = {
    "pavement": "sidewalk",
    "tree": "vegetation",
    "sign symbol": "traffic sign",
    "pedestrian": "person",
    "bicyclist": "rider",
}
#: Names that are no class: their pixels are ignored. The last row are label ids of Cityscapes that its benchmark ignores.
NO_CLASS: tuple[str, ...] = (
    *("", "void", "ignore", "ignored", "unlabelled", "unlabeled", "unlabelled/void", "unknown", "background"),
    *("ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground", "parking", "rail track"),
    *("guard rail", "bridge", "tunnel", "polegroup", "caravan", "trailer", "license plate"),
)


def train_id(name: str) -> int:
    """The train id of a class by name (case, "_" and "-" do not matter), ``IGNORE`` for what is none, or ConfigError."""
    plain = " ".join(name.lower().replace("_", " ").replace("-", " ").split())
    if plain in NO_CLASS:
        return IGNORE
    plain = SYNONYMS.get(plain, plain)
    if plain not in CLASS_NAMES:
        raise ConfigError(f"unknown class {name!r}; classes are {', '.join((*CLASS_NAMES, *SYNONYMS))}, and void for none")
    return CLASS_NAMES.index(plain)


@dataclass(frozen=True)
class ClassTable:
    """What the ids of other label maps mean. ``str`` of two tables differs when they do."""

    name: str
    ids: tuple[tuple[int, int], ...]  # (id 0..255, train id or IGNORE), in order

    @property
    def lookup(self) -> NDArray[np.uint8]:
        """(256,) train ids by id; ids that the table does not know are ignored."""
        table = np.full(256, IGNORE, np.uint8)
        for theirs, ours in self.ids:
            table[theirs] = ours
        return table

    def translate(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A label map (uint8, any shape) in train ids. Raises ConfigError that names the ids which the table lacks."""
        known = {theirs for theirs, _ in self.ids}
        unknown = [int(i) for i in np.flatnonzero(np.bincount(labels.reshape(-1), minlength=256)) if i not in known]
        if unknown:
            shown = ", ".join(map(str, unknown[:8])) + (", ..." if len(unknown) > 8 else "")
            raise ConfigError(f"the label map has ids that the class table {self.name} does not know: {shown}")
        return self.lookup[labels]


def make_class_table(name: str, classes: Mapping[Any, Any], ignore: Iterable[Any] = ()) -> ClassTable:
    """The table of ``classes`` (id -> class name) and of ids to ``ignore``, which come first. Raises ConfigError."""
    ids: dict[int, int] = {}
    for key, value in [*classes.items(), *((key, "void") for key in ignore)]:
        try:
            theirs = int(key)
        except (TypeError, ValueError):
            theirs = -1
        if not 0 <= theirs <= 255:
            raise ConfigError(f"class table {name}: id {key!r}: ids are whole numbers from 0 to 255")
        try:
            ids[theirs] = train_id(str(value))
        except ConfigError as error:
            raise ConfigError(f"class table {name}: id {theirs}: {error}") from None
    if all(ours == IGNORE for ours in ids.values()):
        raise ConfigError(f"class table {name}: no id means a class")
    return ClassTable(name, tuple(sorted(ids.items())))


def read_class_table(path: Path) -> ClassTable:
    """The table of a YAML file: ``classes`` (id: name, or a list of names from id 0) and, if any, ``ignore`` (an id or ids).

    Other keys are for networks (segmenters/onnx.py). Raises ConfigError, which names the file and what is wrong in it.
    """
    try:
        values = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"no class table {path}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"class table {path} cannot be read: {error}") from None
    classes = values.get("classes") if isinstance(values, dict) else None
    if isinstance(classes, list):
        classes = dict(enumerate(classes))
    if not isinstance(classes, dict) or not classes:
        raise ConfigError(f"class table {path}: expected classes: with a name for each id, for instance 0: road")
    ignore = values.get("ignore")
    ignored = ignore if isinstance(ignore, list) else [] if ignore is None else [ignore]
    return make_class_table(str(path), classes, ignored)


#: Train ids themselves.
TRAIN_IDS = make_class_table("train ids", dict(enumerate(CLASS_NAMES)), [IGNORE])
#: The eleven classes and void of CamVid in SegNet's numbering (Badrinarayanan 2017).
CAMVID = make_class_table(
    "camvid",
    dict(
        enumerate(
            ("sky", "building", "pole", "road", "pavement", "tree", "sign symbol", "fence", "car", "pedestrian", "bicyclist")
        )
    ),
    [11, IGNORE],
)
#: The label ids of Cityscapes (its *_labelIds.png), 0 to 33; 255 is not in use there, but some tools write it for -1.
CITYSCAPES = make_class_table(
    "cityscapes label ids",
    dict(zip((7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33), CLASS_NAMES, strict=True)),
    [*range(7), 9, 10, 14, 15, 16, 18, 29, 30, IGNORE],
)
