"""Names and colours of the Cityscapes train ids, which every label map of this package uses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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
