"""The recipes of the papers' sizes on their data sets, as tiny trees: what a clip holds, and that there is something to validate on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.datasets import write_images

from training.datasets import cityscapes, kitti_raw
from training.datasets.load import make_clips, open_training
from training.recipe import load_recipe
from training.train import open_validation
from vidpred_ros.semantics import CAR

IDS = 19
SHAPE = (24, 48)


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training and a validation sequence of KITTI and of Cityscapes; a segmenter's map of frame i is of class i % 19."""
    monkeypatch.setenv("VIDPRED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VIDPRED_KITTI_RAW", str(tmp_path / "kitti"))
    monkeypatch.setenv("VIDPRED_CITYSCAPES", str(tmp_path / "city"))
    monkeypatch.setattr(cityscapes, "SNIPPETS", {"train": 1, "val": 1})
    for drive in ("2011_09_26_drive_0001_sync", *kitti_raw.VALIDATION):
        camera = tmp_path / "kitti" / "2011_09_26" / drive / "image_02"
        write(camera / "data", camera / "labels_pseudo", [f"{i:010d}" for i in range(45)])
    for split in ("train", "val"):
        place, stem = Path(split, "bochum"), "bochum_000000"
        names = [f"{stem}_{i:06d}_leftImg8bit" for i in range(30)]
        write(tmp_path / "city" / "leftImg8bit_sequence" / place, tmp_path / "city" / "labels_pseudo" / place, names)
        truth = tmp_path / "city" / "gtFine" / place
        truth.mkdir(parents=True)
        cv2.imwrite(str(truth / f"{stem}_000019_gtFine_labelIds.png"), np.full(SHAPE, 26, np.uint8))
        cv2.imwrite(str(truth / f"{stem}_000019_gtFine_instanceIds.png"), np.full(SHAPE, 26001, np.uint16))


def write(frames: Path, labels: Path, names: list[str]) -> None:
    labels.mkdir(parents=True)
    for i, (name, file) in enumerate(zip(names, write_images(frames, [f"{name}.png" for name in names]), strict=True)):
        cv2.imwrite(str(file), np.full((*SHAPE, 3), 5 * i, np.uint8))
        cv2.imwrite(str(labels / f"{name}.png"), np.full(SHAPE, i % IDS, np.uint8))


@pytest.mark.parametrize(
    ("name", "count", "step"),
    [
        ("hvp_structure_paper", 5 + 15, 2),  # 5 Hz of 10
        ("hvp_rgb", 5 + 15, 2),
        ("hvp_pixels_kitti", 5 + 6, 2),
        ("hvp_structure_128x256", 4 + 6, 3),  # every third frame of 17 Hz
        ("s2s", 4 + 1, 3),
        ("s2s_ar", 4 + 6, 3),
        ("hvp_pixels_cityscapes", 4 + 4, 3),
    ],
)
def test_a_clip_is_of_a_segmenters_label_maps_at_the_papers_rate(name: str, count: int, step: int) -> None:
    recipe = load_recipe(name)
    labels = make_clips(open_training(recipe), recipe, 1)[0]["labels"].numpy()
    assert labels.shape == (count, *recipe.data.size)
    assert ((np.diff(labels[:, 0, 0].astype(int)) - step) % IDS == 0).all()
    (held_out,) = open_validation(recipe)
    assert held_out.windows


def test_edges_are_learnt_from_the_ground_truth() -> None:
    recipe = load_recipe("hvp_edges")
    clip = make_clips(open_training(recipe), recipe, 1)[0]
    assert (clip["labels"] == CAR).all() and (clip["instances"] == 1).all()
    (held_out,) = open_validation(recipe)
    assert (held_out.windows[0].labels == CAR).all()
