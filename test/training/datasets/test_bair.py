from __future__ import annotations

import logging
from pathlib import Path

import pytest
from helpers.datasets import numbers, picture, write_images
from helpers.videos import write_video

from training.datasets import bair
from vidpred_ros.errors import SourceError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As the converter of Denton and Fergus writes it for training; videos for the test."""
    monkeypatch.setattr(bair, "TRAJECTORIES", {"train": 3, "test": 1})
    for name in ("traj_0_to_255/2", "traj_0_to_255/10", "traj_256_to_511/1"):
        write_images(tmp_path / "processed_data" / "train" / name, [f"{i}.png" for i in range(30)])
    (tmp_path / "processed_data" / "test").mkdir()
    write_video(
        tmp_path / "processed_data" / "test" / "0.avi", [picture(i) for i in range(30)], range(0, 3000, 100)
    )
    return tmp_path


def test_folders_and_videos(root: Path) -> None:
    train, test = bair.recordings(root, "train"), bair.recordings(root, "test")
    folder = root / "processed_data" / "train"
    assert [Path(r.name).relative_to(folder).as_posix() for r in train] == [
        "traj_0_to_255/2",
        "traj_0_to_255/10",
        "traj_256_to_511/1",
    ]
    assert bair.recordings(root / "processed_data", "test")[0].name == test[0].name
    assert all(r.rate_hz == 10 and numbers(f.image for f in r.source()) == list(range(30)) for r in train + test)


def test_partial_and_wrong_downloads_are_named(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    trajectory = root / "processed_data" / "train" / "traj_0_to_255" / "10"
    (trajectory / "29.png").unlink()
    with pytest.raises(SourceError, match=r"1 of 3 trajectories do not have 30 frames \(\S*traj_0_to_255/10: 29\)"):
        bair.recordings(root, "train")
    trajectory.rename(root / "elsewhere")
    with caplog.at_level(logging.WARNING):
        assert len(bair.recordings(root, "train")) == 2
    assert "2 of BAIR's 3 trajectories" in caplog.text
    (root / "processed_data" / "test" / "0.avi").rename(root / "0.avi")
    (root / "processed_data" / "test" / "traj_0_to_255.tfrecords").touch()
    with pytest.raises(SourceError, match=r"expected test/TRAJECTORY/\*\.png .* found: TFRecords; convert"):
        bair.recordings(root, "test")
    with pytest.raises(SourceError, match="no val split"):
        bair.recordings(root, "val")


def test_a_partial_test_split_stops(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bair.TRAJECTORIES, "test", 256)
    with pytest.raises(SourceError, match="1 of the 256 test trajectories are there"):
        bair.recordings(root, "test")
