from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.datasets import numbers, write_images

from training.datasets import cityscapes
from vidpred_ros.errors import SourceError
from vidpred_ros.semantics import PERSON


def write_snippet(root: Path, split: str, stem: str, first: int, count: int = 30) -> list[Path]:
    folder = root / "leftImg8bit_sequence" / split / stem.split("_")[0]
    return write_images(folder, [f"{stem}_{first + i:06d}_leftImg8bit.png" for i in range(count)])


def write_label(root: Path, split: str, frame: str, number: int, kind: str = "labelIds") -> None:
    path = root / "gtFine" / split / frame.split("_")[0] / f"{frame}_gtFine_{kind}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((24, 32), number, np.uint8))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Aachen numbers its snippets; hamburg has two in one recording, and frankfurt two that touch."""
    monkeypatch.setattr(cityscapes, "SNIPPETS", {"train": 4, "val": 2, "test": 1})
    write_snippet(tmp_path, "train", "aachen_000000", 0)
    write_snippet(tmp_path, "train", "aachen_000001", 0)
    write_snippet(tmp_path, "train", "hamburg_000000", 23)
    write_snippet(tmp_path, "train", "hamburg_000000", 610)
    write_snippet(tmp_path, "val", "frankfurt_000001", 100)
    write_snippet(tmp_path, "val", "frankfurt_000001", 130)
    return tmp_path


def test_snippets_and_the_label_of_the_20th_frame(root: Path) -> None:
    write_label(root, "train", "hamburg_000000_000629", 24)  # a person's label id
    write_label(root, "train", "aachen_000000_000019", 11, "labelTrainIds")
    write_label(root, "train", "aachen_000000_000019", 3)
    train = cityscapes.recordings(root, "train")
    names = [Path(r.name).name for r in train]
    assert names == [
        "aachen_000000_000000",
        "aachen_000001_000000",
        "hamburg_000000_000023",
        "hamburg_000000_000610",
    ]
    assert all(r.rate_hz == 17 and numbers(f.image for f in r.source()) == list(range(30)) for r in train)
    assert train[1].labels is None and train[2].labels is None
    for recording in (train[0], train[3]):
        assert recording.labels is not None and recording.labels.kind == "labels"
        assert recording.labels.there == (False,) * 19 + (True,) + (False,) * 10
        maps = [frame.image for frame in recording.labels.recording.source()]
        assert all(one.shape == (24, 32) for one in maps) and [int(one.max()) for one in maps] == [255] * 19 + [PERSON] + [255] * 10
    assert train[3].files[19].name.startswith("hamburg_000000_000629_")
    assert [r.files[0].name[:23] for r in cityscapes.recordings(root, "val")] == [
        "frankfurt_000001_000100",
        "frankfurt_000001_000130",
    ]


def test_partial_downloads_are_named(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = root / "leftImg8bit_sequence" / "train" / "aachen"
    (folder / "aachen_000001_000029_leftImg8bit.png").unlink()
    with pytest.raises(SourceError, match=r"1 of its 4 snippets do not have 30 frames \(aachen_000001_000000\S* starts a run of 29"):
        cityscapes.recordings(root, "train")
    for file in folder.glob("aachen_000001_*"):
        file.unlink()
    with caplog.at_level(logging.WARNING):
        assert len(cityscapes.recordings(root, "train")) == 3
    assert "3 of Cityscapes' 4 snippets" in caplog.text
    for file in (root / "leftImg8bit_sequence" / "val" / "frankfurt").glob("*_0001[3-9]*"):
        file.unlink()
    with pytest.raises(SourceError, match="1 of 2 snippets are there"):
        cityscapes.recordings(root, "val")
    (root / "leftImg8bit").mkdir()
    with pytest.raises(SourceError, match=r"sequence_trainvaltest\.zip\), found: leftImg8bit, leftImg8bit_sequence"):
        cityscapes.recordings(root, "test")
