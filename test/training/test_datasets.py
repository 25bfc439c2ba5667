from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from training.datasets import kitti_raw
from training.datasets.clips import ClipDataset, strides_within
from training.datasets.frames import Sequence, open_sequences
from training.recipe import Data
from vidpred_ros.errors import ConfigError, SourceError

TRAIN, VAL, TEST = "2011_09_26_drive_0001_sync", "2011_09_26_drive_0005_sync", "2011_09_26_drive_0104_sync"


def write_kitti(root: Path, frames: int = 16) -> Path:
    """A tiny KITTI raw tree: three drives, two colour cameras and a grey one that nobody reads."""
    rng = np.random.default_rng(0)
    for drive in (TRAIN, VAL, TEST):
        for camera in ("image_00", "image_02", "image_03"):
            folder = root / "2011_09_26" / drive / camera / "data"
            folder.mkdir(parents=True)
            for i in range(frames):
                picture = cv2.GaussianBlur(rng.integers(0, 256, (37, 124, 3), np.uint8), (9, 9), 3)
                cv2.imwrite(str(folder / f"{i:010d}.png"), np.roll(picture, i, axis=1))
    return root


def test_kitti_raw_split_and_crop(tmp_path: Path) -> None:
    root = write_kitti(tmp_path)
    train = list(open_sequences(f"kitti_raw:{root}", (32, 48), "train", random_crops=False))
    assert [s.name.split("/")[-3] for s in train] == [TRAIN, TRAIN]
    assert [s.name.split("/")[-2] for s in train] == ["image_02", "image_03"]
    assert all(s.frames.shape == (16, 32, 48, 3) and s.rate_hz == 10 for s in train)
    assert {s.name.split("/")[-3] for s in open_sequences(f"kitti_raw:{root}", (32, 48), "val", False)} == {VAL}
    assert kitti_raw.split_of(TEST) == "test"
    # the centre crop, by hand: 37 rows at 3:2 are 56 (55.5) columns out of 124
    image = cv2.cvtColor(cv2.imread(str(Path(train[0].name) / "0000000003.png")), cv2.COLOR_BGR2RGB)
    expected = cv2.resize(image[:, 34:90], (48, 32), interpolation=cv2.INTER_AREA)
    assert np.abs(train[0].frames[3].astype(int) - expected).max() <= 1


def test_partial_and_wrong_downloads_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such folder"):
        kitti_raw.drives(tmp_path / "nowhere", "train")
    (tmp_path / "calib.zip").touch()
    with pytest.raises(SourceError, match=r"expected KITTI raw .* found: calib\.zip"):
        kitti_raw.drives(tmp_path, "train")
    root = write_kitti(tmp_path / "raw", frames=1)
    next((root / "2011_09_26" / TRAIN / "image_02" / "data").iterdir()).unlink()
    with pytest.raises(SourceError, match="not complete"):
        kitti_raw.drives(root, "train")
    with pytest.raises(ConfigError, match=r"write \$\$"):
        list(open_sequences("/data/$/kitti", (32, 48), "train", False))
    with pytest.raises(ConfigError, match="VIDPRED_NOT_SET"):
        list(open_sequences("$VIDPRED_NOT_SET/kitti", (32, 48), "train", False))


def test_a_damaged_cache_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDPRED_CACHE", str(tmp_path))
    source = "synthetic:seed=4,seconds=1,rate=10,width=64,height=48"
    (first,) = open_sequences(source, (32, 48), "train", False)
    (again,) = open_sequences(source, (32, 48), "train", False)
    assert np.array_equal(first.frames, again.frames) and first.key == again.key
    (file,) = tmp_path.rglob("*.npy")
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(SourceError, match=f"{file.name}: .* damaged .* delete"):
        list(open_sequences(source, (32, 48), "train", False))


def moving_sequence(count: int = 40, rate_hz: float = 10) -> Sequence:
    """A texture that moves 2 pixels to the right in each frame; the first column's blue tells the frame's number."""
    rng = np.random.default_rng(1)
    wide = cv2.GaussianBlur(rng.integers(0, 256, (48, 60 + 2 * count, 3), np.uint8), (7, 7), 2)
    frames = np.stack([wide[:, 2 * (count - i) : 2 * (count - i) + 60] for i in range(count)])
    return Sequence("moving", rate_hz, frames)


def test_clips_are_windows_of_consecutive_frames_with_their_flow() -> None:
    sequence = moving_sequence()
    data = Data(train=["x"], size=(48, 48), flip=0.0)
    clips = ClipDataset([sequence], data, futures=3, flows=True, seed=0, length=50)
    crops = sequence.frames[:, :, 6:54].transpose(0, 3, 1, 2) / 255.0
    starts = set()
    for i in range(10):
        item = clips[i]
        frames, flows = item["frames"].numpy(), item["flows"].numpy()
        assert frames.shape == (11, 3, 48, 48) and flows.shape == (8, 2, 48, 48)
        start = int(np.argmin(np.abs(crops - frames[0]).mean((1, 2, 3))))
        assert np.allclose(frames, crops[start : start + 11], atol=1e-6)
        assert np.median(flows[1:, 0]) == pytest.approx(-2, abs=0.2)  # backward flow: where it was
        assert abs(np.median(flows[1:, 1])) < 0.1
        starts.add(start)
    assert len(starts) > 3


def test_clips_are_a_function_of_seed_and_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDPRED_CACHE", str(tmp_path))
    for bank in (None, 3):
        data = Data(train=["x"], size=(32, 32), crop=(0.6, 1.0), photometric=0.2, rates=(4, 11), bank=bank)
        make = [ClipDataset([moving_sequence()], data, 2, True, seed, 50) for seed in (0, 0, 1)]
        for i in (0, 7):
            a, b, c = (dataset[i] for dataset in make)
            assert all(np.array_equal(a[k], b[k]) for k in a) and not np.array_equal(a["frames"], c["frames"])
    assert len(list(tmp_path.rglob("*.npz"))) == 4  # slots 0 and 1 (7 % 3) of two seeds


def test_a_bank_is_not_used_for_other_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe may say $VIDPRED_DATA/drive both times."""
    monkeypatch.setenv("VIDPRED_CACHE", str(tmp_path))
    data = Data(train=["x"], size=(32, 32), flip=0, bank=2)
    one, other = moving_sequence(), replace(moving_sequence(), key="other", frames=255 - moving_sequence().frames)
    a, b = (ClipDataset([s], data, 2, False, 0, 9)[0]["frames"] for s in (one, other))
    assert torch.allclose(a, 1 - b, atol=1e-6)


def test_a_flipped_clip_has_flipped_flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDPRED_CACHE", str(tmp_path))
    plain, flipped = (
        ClipDataset([moving_sequence()], Data(train=["x"], size=(48, 48), flip=flip, bank=4), 2, True, 0, 9)[1]
        for flip in (0.0, 1.0)
    )
    assert np.array_equal(plain["frames"].flip(-1), flipped["frames"])
    assert np.allclose(-plain["flows"][1:, 0].flip(-1), flipped["flows"][1:, 0])


def test_strides_and_short_sequences() -> None:
    assert strides_within(10, (7, 13)) == [1]
    assert strides_within(25, (7, 13)) == [2, 3]
    assert strides_within(17, (7, 13)) == [2]
    assert strides_within(60, (10, 10)) == [6]
    assert strides_within(8, (10, 10)) == [1]  # the nearest there is
    with pytest.raises(SourceError, match="no training sequence holds"):
        ClipDataset([moving_sequence(5)], Data(train=["x"], size=(48, 48)), 3, False, 0, 1)
