"""``vidpred label`` of whole data sets: every sequence of every split, that it goes on where it stopped, and what it refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.datasets import write_images

from training.datasets import cityscapes, kitti_raw
from training.datasets.labels import open_labelled
from vidpred_ros import cli, segmenters
from vidpred_ros.semantics import CAR


class Levels:
    """A segmenter whose label maps tell which picture they are of."""

    name, engine, size, weights_sha256 = "levels", "none", (24, 32), "0" * 64

    def __init__(self) -> None:
        self.calls = 0

    def segment(self, frame: np.ndarray) -> np.ndarray:
        self.calls += 1
        return (frame[..., 0] // 5 % 19).astype(np.uint8)

    def close(self) -> None:
        """Nothing to free."""


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Levels:
    made = Levels()
    monkeypatch.setattr(segmenters, "make_segmenter", lambda *arguments: made)
    monkeypatch.setenv("VIDPRED_CACHE", str(tmp_path / "cache"))
    return made


@pytest.fixture
def vidpred(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The command, in this process: its exit code and what it printed."""

    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["vidpred", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out + printed.err

    return run


@pytest.fixture
def city(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Cityscapes with a training and a validation snippet, the latter with its ground truth; no test split."""
    monkeypatch.setattr(cityscapes, "SNIPPETS", {"train": 1, "val": 1, "test": 1})
    for split, name in (("train", "aachen"), ("val", "lindau")):
        folder = tmp_path / "cityscapes" / "leftImg8bit_sequence" / split / name
        write_images(folder, [f"{name}_000000_{i:06d}_leftImg8bit.png" for i in range(30)])
    truth = tmp_path / "cityscapes" / "gtFine" / "val" / "lindau"
    truth.mkdir(parents=True)
    cv2.imwrite(str(truth / "lindau_000000_000019_gtFine_labelIds.png"), np.full((24, 32), 26, np.uint8))
    return tmp_path / "cityscapes"


def test_every_snippet_of_cityscapes(vidpred, network: Levels, city: Path) -> None:
    code, text = vidpred("label", f"cityscapes:{city}")
    assert code == 0 and "60 of 60 frames labelled by levels" in text and "left out: test" in text
    made = sorted(file.relative_to(city / "labels_pseudo").as_posix() for file in (city / "labels_pseudo").rglob("*.png"))
    assert made == [
        f"{split}/{name}/{name}_000000_{i:06d}_leftImg8bit.png" for split, name in (("train", "aachen"), ("val", "lindau")) for i in range(30)
    ]
    record = json.loads((city / "labels_pseudo" / "train" / "aachen" / "segmenter.json").read_text())
    assert (record["segmenter"], record["frames"]) == ("levels", 30)
    for split in ("train", "val"):
        (sequence,) = open_labelled(f"cityscapes:{city}", split, consecutive=True)
        assert sequence.kind == "pseudo" and sequence.labels[:, 0, 0].tolist() == [i % 19 for i in range(30)]
        assert [(run.first, len(run)) for run in sequence.runs()] == [(0, 30)]
    (truth,) = open_labelled(f"cityscapes:{city}", "val")
    assert truth.kind == "labels" and truth.labelled.tolist() == [i == 19 for i in range(30)] and truth.labels[19, 0, 0] == CAR


def test_one_split_and_going_on_where_it_stopped(vidpred, network: Levels, city: Path) -> None:
    code, text = vidpred("label", f"cityscapes:{city}?split=val")
    assert code == 0 and "30 of 30 frames" in text and network.calls == 30 and "left out" not in text
    (city / "labels_pseudo" / "val" / "lindau" / "lindau_000000_000004_leftImg8bit.png").unlink()
    code, text = vidpred("label", f"cityscapes:{city}")
    assert code == 0 and network.calls == 61 and "31 of 60 frames labelled by levels (none); 29 had label maps already" in text
    assert not list(city.rglob(".*.part"))


def test_drives_of_kitti(vidpred, network: Levels, tmp_path: Path) -> None:
    root = tmp_path / "kitti"
    for drive in ("2011_09_26_drive_0001_sync", *kitti_raw.VALIDATION):
        for camera in kitti_raw.CAMERAS:
            write_images(root / "2011_09_26" / drive / camera / "data", [f"{i:010d}.png" for i in range(4)])
    code, text = vidpred("label", f"kitti_raw:{root}?camera=image_02")
    assert code == 0 and "8 of 8 frames" in text and "left out: test: " in text
    found = {file.parent.relative_to(root).as_posix() for file in root.rglob("labels_pseudo/*.png")}
    assert found == {f"2011_09_26/2011_09_26_drive_000{n}_sync/image_02/labels_pseudo" for n in (1, 5)}
    (drive,) = open_labelled(f"kitti_raw:{root}?camera=image_02", "train", consecutive=True)
    assert drive.labels[:, 0, 0].tolist() == [0, 1, 2, 3] and drive.kind == "pseudo"
    # what was labelled drive by drive is not labelled again
    data = root / "2011_09_26" / kitti_raw.VALIDATION[0] / "image_03"
    assert vidpred("label", data / "data", "--out", data)[0] == 0
    before = network.calls
    assert vidpred("label", f"kitti_raw:{root}?split=val")[0] == 0 and network.calls == before


def test_what_it_refuses(vidpred, network: Levels, city: Path, tmp_path: Path) -> None:
    code, text = vidpred("label", f"cityscapes:{city}", "--out", tmp_path / "x")
    assert code == 2 and "is labelled where it lies: leave --out and --topic out" in text
    code, text = vidpred("label", f"cityscapes:{tmp_path}")
    assert code == 2 and "expected leftImg8bit_sequence/train/CITY/" in text
    code, text = vidpred("label", "synthetic:seed=1,seconds=1")
    assert code == 2 and "--out is missing" in text
    vidpred("label", f"cityscapes:{city}?split=val")
    network.weights_sha256 = "1" * 64
    code, text = vidpred("label", f"cityscapes:{city}")
    assert code == 2 and "val/lindau was made of something else (weights_sha256 0000" in text.replace("\n", "")
    assert not (city / "labels_pseudo" / "train").exists()  # nothing is labelled before all is checked
    bair = tmp_path / "bair"
    for split in ("train", "test"):
        write_images(bair / split / "0", [f"{i}.png" for i in range(30)])
    code, text = vidpred("label", f"bair:{bair}")
    assert code == 2 and "where their layout has a place for it" in text.replace("\n", " ")
