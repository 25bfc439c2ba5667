from __future__ import annotations

import logging
from pathlib import Path

import pytest
from helpers.datasets import numbers, picture, seq_bytes, write_images

from training.datasets import caltech
from vidpred_ros.errors import SourceError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two training videos and two of the test sets: containers, and frames extracted in three ways."""
    monkeypatch.setattr(caltech, "VIDEOS", {"train": {"set00": 2}, "test": {"set06": 2}})
    (tmp_path / "Train" / "set00").mkdir(parents=True)
    for number in (0, 1):
        data = seq_bytes([picture(i) for i in range(10)])
        (tmp_path / "Train" / "set00" / f"V00{number}.seq").write_bytes(data)
    (tmp_path / "Train" / "set00" / "V000.vbb").touch()
    write_images(tmp_path / "set06" / "V000" / "images", [f"I{i:05d}.jpg" for i in range(10)])
    write_images(tmp_path / "set06" / "V001", [f"{i}.png" for i in range(0, 30, 3)])
    return tmp_path


def test_every_third_frame_of_containers_and_extracted_frames(root: Path) -> None:
    train = caltech.recordings(root, "train")
    assert [Path(r.name).relative_to(root).as_posix() for r in train] == ["Train/set00/V000.seq", "Train/set00/V001.seq"]
    assert [numbers(f.image for f in r.source()) for r in train] == [[0, 3, 6, 9]] * 2
    test = caltech.recordings(root, "test")
    assert [r.rate_hz for r in train + test] == [10.0] * 4
    all_frames, thinned = (numbers(f.image for f in r.source()) for r in test)
    assert all_frames == [0, 3, 6, 9]
    assert thinned == list(range(10)), "every third frame had been extracted already"


def test_a_container_goes_before_its_frames(root: Path) -> None:
    write_images(root / "Train" / "set00" / "V000", ["I00000.jpg", "I00001.jpg"])
    assert [Path(r.name).name for r in caltech.recordings(root, "train")] == ["V000.seq", "V001.seq"]


def test_partial_training_data_are_warned_of_and_a_partial_test_split_stops(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (root / "Train" / "set00" / "V001.seq").unlink()
    with caplog.at_level(logging.WARNING):
        assert len(caltech.recordings(root, "train")) == 1
    assert "set00 1 of 2" in caplog.text
    (root / "set06" / "V001").rename(root / "elsewhere")
    with pytest.raises(SourceError, match=r"not complete \(set06 1 of 2 videos\)"):
        caltech.recordings(root, "test")


def test_wrong_layouts_are_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no val split"):
        caltech.recordings(root, "val")
    with pytest.raises(SourceError, match=r"expected Caltech Pedestrian \(set00/V000\.seq .* found: no such folder"):
        caltech.recordings(tmp_path / "nowhere", "train")
    (root / "set06" / "V000" / "images" / "I00004.jpg").unlink()
    with pytest.raises(SourceError, match=r"I00005\.jpg follows I00003\.jpg, so frames between them are missing"):
        caltech.recordings(root, "test")
    write_images(root / "set06" / "V000" / "images", ["I00004.jpg"])
    for file in (root / "set06" / "V001").iterdir():
        file.rename(file.with_stem(str(2 * int(file.stem))))
    with pytest.raises(SourceError, match="every 6. frame was extracted"):
        caltech.recordings(root, "test")


def test_the_numbers_of_videos_are_those_of_the_data_set() -> None:
    """137 in all (Dollar 2012)."""
    assert sum(sum(sets.values()) for sets in caltech.VIDEOS.values()) == 137
