"""Intersection over union of label maps, accumulated over all pixels of all maps (Everingham 2010; Cordts 2016, section 4.1).

Over all pixels means: one confusion matrix for all maps, then one IoU for each class. A mean of IoUs of single maps would
let a map with three pixels of a class weigh as much as one with three thousand.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import ConfigError
from vidpred_ros.semantics import CLASS_NAMES, IGNORE, MOVING

#: What the numbers mean, for the protocol beside every table.
LABEL_DEFINITIONS = {
    "miou": "mean intersection over union: one confusion matrix over all pixels of all windows (Cityscapes benchmark), IoU of "
    "each class, mean over the classes that occur in the truth; pixels whose truth is 255 are left out, a predicted 255 is a "
    "miss; higher is better",
    "miou_moving": "the same, mean over the eight classes that move by themselves (person, rider, car, truck, bus, train, "
    "motorcycle, bicycle; Luc 2018), those that occur in the truth; higher is better",
}


class ConfusionMatrix:
    """How often pixels of each class were predicted as which: ``counts`` (classes, classes + 1) int64.

    Row: the true class; column: the predicted one; the last column: predicted as no class (255).
    """

    def __init__(self, classes: int = len(CLASS_NAMES)) -> None:
        self.counts = np.zeros((classes, classes + 1), np.int64)

    @property
    def classes(self) -> int:
        return len(self.counts)

    def update(self, truth: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> None:
        """Count the pixels of one or more label maps (two uint8 arrays of one shape, ids of classes, 255 = none).

        Pixels whose truth is 255 are left out. Raises ConfigError for different shapes and for ids that are no class.
        """
        if truth.shape != predicted.shape:
            raise ConfigError(f"label maps of {truth.shape} and {predicted.shape} cannot be compared")
        pairs = np.bincount(truth.ravel().astype(np.uint16) * 256 + predicted.ravel(), minlength=1 << 16).reshape(256, 256)
        n = self.classes
        for what, seen in (("true", pairs.sum(1)), ("predicted", pairs.sum(0))):
            if seen[n:IGNORE].any():
                unknown = n + int(np.flatnonzero(seen[n:IGNORE])[0])
                raise ConfigError(f"the {what} label map has an id {unknown}; classes are 0 to {n - 1}, {IGNORE} is none")
        self.counts[:, :n] += pairs[:n, :n]
        self.counts[:, n] += pairs[:n, IGNORE]

    def __add__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        total = ConfusionMatrix(self.classes)
        total.counts = self.counts + other.counts
        return total

    @property
    def occurs(self) -> NDArray[np.bool_]:
        """Which classes the truth has (classes,)."""
        return self.counts.sum(1) > 0

    def iou(self) -> NDArray[np.float64]:
        """IoU of each class (classes,): TP / (TP + FP + FN), NaN for a class that is neither true nor predicted anywhere."""
        hits = np.diagonal(self.counts)
        union = self.counts.sum(1) + self.counts[:, : self.classes].sum(0) - hits
        return np.divide(hits, union, out=np.full(self.classes, np.nan), where=union > 0)

    def miou(self, classes: Iterable[int] | None = None) -> float | None:
        """Mean IoU over those of ``classes`` (None: all) that occur in the truth; None if none of them does."""
        chosen = np.zeros(self.classes, bool)
        chosen[slice(None) if classes is None else [c for c in classes if c < self.classes]] = True
        chosen &= self.occurs
        return float(self.iou()[chosen].mean()) if chosen.any() else None

    def scores(self) -> dict[str, float | None]:
        """Both metrics of LABEL_DEFINITIONS."""
        return {"miou": self.miou(), "miou_moving": self.miou(MOVING)}
