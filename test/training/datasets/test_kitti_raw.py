from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from training.datasets import kitti_raw
from training.datasets.clips import ClipDataset
from training.datasets.frames import open_sequences
from training.recipe import Data
from vidpred_ros.errors import SourceError

TRAIN, VAL, TEST = "2011_09_26_drive_0001_sync", "2011_09_26_drive_0005_sync", "2011_09_26_drive_0104_sync"
PERSON = "2011_09_28_drive_0053_sync"


def write_drive(root: Path, drive: str, frames: int = 16) -> Path:
    """Two colour cameras and a grey one that nobody reads."""
    rng = np.random.default_rng(0)
    for camera in ("image_00", "image_02", "image_03"):
        folder = root / drive[:10] / drive / camera / "data"
        folder.mkdir(parents=True)
        (folder.parent / "timestamps.txt").write_text("2011-09-26 13:02:25.964389445\n" * frames)
        for i in range(frames):
            picture = cv2.GaussianBlur(rng.integers(0, 256, (37, 124, 3), np.uint8), (9, 9), 3)
            cv2.imwrite(str(folder / f"{i:010d}.png"), np.roll(picture, i, axis=1))
    return root / drive[:10] / drive


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for drive in (TRAIN, VAL, TEST, PERSON):
        write_drive(tmp_path / "raw", drive)
    return tmp_path / "raw"


def test_the_split_is_prednets() -> None:
    """57 drives for training, 1 for validation and 3 for the test (Lotter 2017)."""
    splits = [kitti_raw.split_of(drive) for drive in kitti_raw.DRIVES]
    assert [splits.count(split) for split in ("train", "val", "test", None)] == [57, 1, 3, 0]
    assert len(set(kitti_raw.DRIVES)) == 61
    assert kitti_raw.split_of(VAL) == "val" and kitti_raw.split_of(TEST) == "test"
    assert kitti_raw.split_of(PERSON) is None


def test_cameras_and_centre_crop(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        train = open_sequences(f"kitti_raw:{root}", (32, 48), "train", random_crops=False)
    assert "training on 1 of KITTI's 57 drives" in caplog.text
    assert [s.name.split("/")[-3:-1] for s in train] == [[TRAIN, "image_02"], [TRAIN, "image_03"]]
    assert all(s.frames.shape == (16, 32, 48, 3) and s.rate_hz == 10 for s in train)
    # the centre crop, by hand: 37 rows at 3:2 are 56 (55.5) columns out of 124
    image = cv2.cvtColor(cv2.imread(str(Path(train[0].name) / "0000000003.png")), cv2.COLOR_BGR2RGB)
    expected = cv2.resize(image[:, 34:90], (48, 32), interpolation=cv2.INTER_AREA)
    assert np.abs(train[0].frames[3].astype(int) - expected).max() <= 1

    (alone,) = kitti_raw.recordings(root, "val", camera="image_03")
    assert alone.name.split("/")[-3:-1] == [VAL, "image_03"]


def test_every_ten_frame_window_is_drawn_once_before_any_comes_again(root: Path) -> None:
    """Shouno 2020, section 4.1: ten frames, of which the network sees eight and predicts the last."""
    train = open_sequences(f"kitti_raw:{root}", (32, 48), "train", random_crops=False)
    clips = ClipDataset(train, Data(train=["x"], size=(32, 48), flip=0), 1, False, 0, 28)
    all_windows = {(s, i) for s in range(2) for i in range(16 - 10 + 1)}
    for start in (0, 14):
        seen = set()
        for index in range(start, start + 14):
            frames = clips[index]["frames"].numpy().transpose(0, 2, 3, 1)
            assert len(frames) == 9
            match = [
                (s, i) for s, i in all_windows if np.allclose(frames, train[s].frames[i + 1 : i + 10] / 255, atol=1e-6)
            ]
            seen.update(match)
        assert seen == all_windows


def test_partial_and_wrong_downloads_are_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such folder"):
        kitti_raw.recordings(tmp_path / "nowhere", "train")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "calib.zip").touch()
    with pytest.raises(SourceError, match=r"expected KITTI raw .* found: calib\.zip"):
        kitti_raw.recordings(tmp_path / "empty", "train")
    with pytest.raises(SourceError, match="the test split has 3 drives, but 2011_09_26_drive_00.* not there"):
        kitti_raw.recordings(root, "test")
    with pytest.raises(SourceError, match="camera=image_00; the colour cameras are"):
        kitti_raw.recordings(root, "val", camera="image_00")
    folder = root / "2011_09_26" / VAL / "image_02"
    (folder / "data" / "0000000007.png").unlink()
    with pytest.raises(SourceError, match=r"expected 16 PNG frames \(timestamps.txt\), found 15; .* not complete"):
        kitti_raw.recordings(root, "val")
    (folder / "timestamps.txt").unlink()
    with pytest.raises(SourceError, match=r"0000000008\.png follows 0000000006\.png"):
        kitti_raw.recordings(root, "val")
    for camera in ("image_02", "image_03"):
        (root / "2011_09_26" / VAL / camera).rename(root / camera)
    with pytest.raises(SourceError, match="expected image_02 or image_03, found: image_00"):
        kitti_raw.recordings(root, "val")
