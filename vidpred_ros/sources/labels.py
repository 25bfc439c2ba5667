"""Label maps of a folder: 8-bit grey PNG files in labels/ or labels_pseudo/, and what their ids mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import ConfigError, SourceError
from vidpred_ros.semantics import IGNORE, TRAIN_IDS, ClassTable, make_class_table
from vidpred_ros.sources.base import LabelKind

#: Folders of label maps beside frames/, the better one first.
PSEUDO = "labels_pseudo"
FOLDERS: dict[str, LabelKind] = {"labels": "labels", PSEUDO: "pseudo"}


@dataclass(frozen=True)
class LabelFiles:
    """The label maps of a sequence: a file for each of its frames, or for some of them."""

    files: tuple[Path | None, ...]
    table: ClassTable
    kind: LabelKind

    def __len__(self) -> int:
        return len(self.files)

    @property
    def shape(self) -> tuple[int, ...]:
        """Height and width of the first map. Raises SourceError as ``read`` does."""
        first = next(index for index, file in enumerate(self.files) if file is not None)
        labels = self.read(first)
        assert labels is not None
        return labels.shape

    def read(self, index: int, shape: tuple[int, ...] | None = None) -> NDArray[np.uint8] | None:
        """Label map number ``index`` (HxW uint8 train ids, 255 = ignore), or None if that frame has none.

        ``shape`` is that of its frame. Raises SourceError, which names the file, for one that is damaged, no 8-bit grey
        picture, of another size, or with ids that the table of classes does not know.
        """
        file = self.files[index]
        if file is None:
            return None
        data = np.frombuffer(file.read_bytes(), np.uint8)
        labels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None
        if labels is None:
            raise SourceError(f"{file} cannot be decoded; a label map is an 8-bit grey PNG")
        if labels.dtype != np.uint8 or labels.ndim != 2 or (shape is not None and labels.shape != shape[:2]):
            wanted = "" if shape is None else f" of its frame's size, {shape[1]}x{shape[0]}"
            found = "x".join(str(n) for n in (labels.shape[1], labels.shape[0], *labels.shape[2:]))
            raise SourceError(f"{file} is {found} {labels.dtype}; a label map is an 8-bit grey PNG{wanted}")
        try:
            return self.table.translate(labels)
        except ConfigError as error:
            raise SourceError(f"{file}: {error}") from None


def find_label_files(path: Path, meta: dict[str, Any], stems: Sequence[str] | None) -> LabelFiles | None:
    """The label maps of a sequence folder for its frames' names, by the better of its two folders; None without one.

    ``stems`` None: every label map that is there. labels/ is used when meta.json has label_classes ({"ignore": 255,
    "classes": {"0": "road", ...}}); labels_pseudo/ holds train ids. Raises SourceError for names that are not known, and for
    labels/ without label_classes where there is no labels_pseudo/ either.
    """
    unexplained = False
    for name, kind in FOLDERS.items():
        found = {file.stem: file for file in sorted((path / name).glob("*.png"))}
        files = tuple(found.get(stem) for stem in stems) if stems is not None else tuple(found.values())
        if not any(files):
            continue
        if kind == "pseudo":
            return LabelFiles(files, TRAIN_IDS, kind)
        if meta.get("label_classes") is not None:
            return LabelFiles(files, _table(path / "meta.json", meta), kind)
        unexplained = True
    if unexplained:
        raise SourceError(
            f'{path}: labels/ needs label_classes in meta.json, which say what its ids mean: {{"ignore": 255, "classes": {{"0": "road", ...}}}}'
        )
    return None


def _table(file: Path, meta: dict[str, Any]) -> ClassTable:
    values = meta["label_classes"]
    if not isinstance(values, dict) or not isinstance(values.get("classes"), dict):
        raise SourceError(f'{file}: label_classes: expected {{"ignore": 255, "classes": {{"0": "road", ...}}}}')
    try:
        return make_class_table("label_classes", values["classes"], [values.get("ignore", IGNORE)])
    except ConfigError as error:
        raise SourceError(f"{file}: {error}") from None
