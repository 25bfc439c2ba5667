from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from training.datasets.cityscapes import LABELLED
from training.datasets.instances import drawn_instances, instances_from_depth, instances_from_ids
from training.datasets.label_clips import LabelClips
from training.datasets.labels import open_labelled
from training.datasets.layouts import find_recordings
from training.recipe import Data
from vidpred_ros.errors import SourceError
from vidpred_ros.semantics import CAR, PERSON, ROAD


def test_ids_of_cityscapes() -> None:
    ids = np.array([[7, 26, 26001, 26002, 33000]], np.uint16)  # a car group without instances has the bare class id
    np.testing.assert_array_equal(instances_from_ids(ids), [[0, 0, 1, 2, 3]])
    np.testing.assert_array_equal(instances_from_ids(ids[:, 2:]), [[1, 2, 3]])
    many = instances_from_ids(np.arange(26000, 26300, dtype=np.uint16)[None])
    assert many.dtype == np.uint8 and many.min() == 1 and (np.diff(many[0].astype(int)) != 0).all()


def slow_instances(labels: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Flood fill from each pixel that has no number yet."""
    numbers = np.zeros(labels.shape, int)
    count = 0
    for start in np.argwhere(np.isin(labels, (CAR, PERSON))):
        if numbers[tuple(start)]:
            continue
        count += 1
        waiting = [tuple(start)]
        while waiting:
            y, x = waiting.pop()
            if numbers[y, x]:
                continue
            numbers[y, x] = count
            for b, a in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if not (0 <= b < labels.shape[0] and 0 <= a < labels.shape[1]) or labels[b, a] != labels[y, x]:
                    continue
                near, far = sorted((depth[y, x], depth[b, a]))
                if far - near <= 0.8 or far / near <= 1.08:
                    waiting.append((b, a))
    return numbers


@pytest.mark.parametrize("seed", range(4))
def test_instances_of_depth_pixel_by_pixel(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.choice(np.array([ROAD, CAR, CAR, CAR, PERSON], np.uint8), (12, 16))
    depth = rng.choice(np.array([5, 5.5, 7, 40, 42], np.float32), (12, 16))
    found, wanted = instances_from_depth(labels, depth), slow_instances(labels, depth)
    pairs = {(int(a), int(b)) for a, b in zip(found.ravel(), wanted.ravel(), strict=True)}
    assert (0, 0) in pairs and len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def test_a_synthetic_drive_has_more_instances_than_patches_of_class() -> None:
    (recording,) = find_recordings("synthetic:seed=3,seconds=4,rate=1", "train")
    more = 0
    for frame, instances in zip(recording.source(), drawn_instances(recording).source(), strict=True):
        assert frame.labels is not None
        moving = np.isin(frame.labels, range(11, 19))
        np.testing.assert_array_equal(instances.image > 0, moving)
        patches = cv2.connectedComponents(moving.astype(np.uint8), connectivity=4)[0] - 1
        more += len(np.unique(instances.image[moving])) - patches
    assert more > 0


def cityscapes_tree(root: Path, ids: np.ndarray) -> Path:
    """One snippet of 30 frames of 32x16 pixels with a label map and instance ids at the 20th."""
    frames, labels = root / "leftImg8bit_sequence/train/ulm", root / "gtFine/train/ulm"
    frames.mkdir(parents=True)
    labels.mkdir(parents=True)
    for i in range(30):
        cv2.imwrite(str(frames / f"ulm_000000_{i:06d}_leftImg8bit.png"), np.full((16, 32, 3), i, np.uint8))
    stem = f"ulm_000000_{LABELLED:06d}_gtFine"
    cv2.imwrite(str(labels / f"{stem}_labelIds.png"), np.full((16, 32), 26, np.uint8))
    cv2.imwrite(str(labels / f"{stem}_instanceIds.png"), ids)
    return root


def test_instances_of_cityscapes_reach_the_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDPRED_CACHE", str(tmp_path / "cache"))
    ids = np.full((16, 32), 26001, np.uint16)
    ids[:, 16:] = 26002
    root = cityscapes_tree(tmp_path / "cityscapes", ids)
    (sequence,) = open_labelled(f"cityscapes:{root}", "train", instances=True)
    assert sequence.instances is not None and len(sequence.instances) == 30
    np.testing.assert_array_equal(sequence.instances[LABELLED], np.where(ids == 26001, 1, 2))
    assert not sequence.instances[LABELLED - 1].any()
    data = Data(train=["x"], size=(16, 32), flip=1.0)
    item = LabelClips([sequence], data, 1, 0, False, False, 0, 2, instances=True)[0]
    np.testing.assert_array_equal(item["instances"][0], np.where(ids == 26001, 1, 2)[:, ::-1])
    assert (item["labels"] == CAR).all()
    (plain,) = open_labelled(f"cityscapes:{root}", "train")
    assert plain.instances is None
    item = LabelClips([plain], data, 1, 0, False, False, 0, 2, instances=True)[0]
    assert not item["instances"].any()


def test_damaged_instance_ids_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDPRED_CACHE", str(tmp_path / "cache"))
    root = cityscapes_tree(tmp_path / "cityscapes", np.zeros((16, 32), np.uint8))
    with pytest.raises(SourceError, match="_gtFine_instanceIds.png is damaged, or no 16-bit grey PNG"):
        open_labelled(f"cityscapes:{root}", "train", instances=True)
