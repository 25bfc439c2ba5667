from __future__ import annotations

import logging
from pathlib import Path

import pytest
from helpers.datasets import numbers, picture
from helpers.videos import write_video

from training.datasets import ucf101
from vidpred_ros.errors import SourceError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes with a video of each of ten groups."""
    monkeypatch.setattr(ucf101, "CLASSES", 2)
    for name in ("Archery", "Biking"):
        folder = tmp_path / "UCF-101" / name
        folder.mkdir(parents=True)
        for group in range(1, 11):
            (folder / f"v_{name}_g{group:02d}_c01.avi").touch()
    write_video(
        tmp_path / "UCF-101" / "Archery" / "v_Archery_g08_c01.avi", [picture(i) for i in range(12)], range(0, 480, 40)
    )
    return tmp_path


def stems(found: list[ucf101.Recording]) -> list[str]:
    return [Path(r.name).stem.removeprefix("v_").removesuffix("_c01") for r in found]


def test_groups_split_where_there_are_no_lists(root: Path) -> None:
    train, test = ucf101.recordings(root, "train"), ucf101.recordings(root / "UCF-101", "test")
    assert stems(train) == [f"{c}_g{g:02d}" for c in ("Archery", "Biking") for g in (8, 9, 10)]
    assert stems(test) == [f"{c}_g{g:02d}" for c in ("Archery", "Biking") for g in range(1, 8)]
    assert stems(ucf101.recordings(root, "test", list="2"))[0] == "Archery_g08"
    source = train[0].source()
    assert numbers(f.image for f in source) == list(range(12)) and source.rate_hz == 25


def test_group_25_is_held_out_of_training(root: Path) -> None:
    for name in ("Archery", "Biking"):
        (root / "UCF-101" / name / f"v_{name}_g25_c03.avi").touch()
    assert stems(ucf101.recordings(root, "val")) == ["Archery_g25_c03", "Biking_g25_c03"]
    assert not [stem for split in ("train", "test") for stem in stems(ucf101.recordings(root, split)) if "g25" in stem]
    lists = root / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "trainlist01.txt").write_text("Biking/v_Biking_g25_c03.avi 2\nBiking/v_Biking_g09_c01.avi 2\n")
    assert stems(ucf101.recordings(root, "val")) == ["Biking_g25_c03"]
    assert stems(ucf101.recordings(root, "train")) == ["Biking_g09"]


def test_official_lists_decide_and_every_tenth_is_mathieus_test(root: Path) -> None:
    folder = root / "ucfTrainTestlist"
    folder.mkdir()
    names = [f"{c}/v_{c}_g{g:02d}_c01.avi" for c in ("Biking", "Archery") for g in range(1, 11)]
    (folder / "testlist01.txt").write_text("\r\n".join(names[:12]) + "\r\n")
    (folder / "trainlist01.txt").write_text("".join(f"{name} 2\n" for name in names[12:]))
    assert stems(ucf101.recordings(root, "test")) == [Path(n).stem[2:-4] for n in names[:12]]
    assert stems(ucf101.recordings(root, "test", every="10")) == ["Biking_g01", "Archery_g01"]
    assert stems(ucf101.recordings(root, "train")) == [f"Archery_g{g:02d}" for g in range(3, 11)]


def test_partial_and_wrong_downloads_are_named(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = root / "ucfTrainTestlist"
    folder.mkdir()
    listed = [f"Archery/v_Archery_g{g:02d}_c0{c}.avi" for g in (1, 2) for c in (1, 2)]
    for name in ("trainlist01.txt", "testlist01.txt"):
        (folder / name).write_text("\n".join(f"{video} 1" for video in listed))
    with caplog.at_level(logging.WARNING):
        assert stems(ucf101.recordings(root, "train")) == ["Archery_g01", "Archery_g02"]
    assert "lacks 2 of the 4 train videos of trainlist01.txt (Archery/v_Archery_g01_c02.avi" in caplog.text
    with pytest.raises(SourceError, match="lacks 2 of the 4 test videos of testlist01.txt"):
        ucf101.recordings(root, "test")
    (folder / "testlist01.txt").unlink()
    for file in (root / "UCF-101" / "Biking").iterdir():
        file.unlink()
    with pytest.raises(SourceError, match="lacks 1 of 2 classes"):
        ucf101.recordings(root, "test")
    with pytest.raises(SourceError, match="lacks every val video"):
        ucf101.recordings(root, "val")
    with pytest.raises(SourceError, match="list is 1, 2 or 3"):
        ucf101.recordings(root, "test", every="0")
    with pytest.raises(SourceError, match="expected UCF101 .* found: testlist|expected UCF101 .* found: trainlist01.txt"):
        ucf101.recordings(folder, "train")
