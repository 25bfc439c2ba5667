"""``vidpred label``: what it writes, that it goes on where it stopped, and what it refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from vidpred_ros import cli, segmenters
from vidpred_ros.semantics import CAR, ROAD, SKY
from vidpred_ros.sources import open_source


class Thirds:
    """A segmenter that calls what is dark a road, what is bright the sky, and the rest a car."""

    name, engine, size, weights_sha256 = "thirds", "none", (32, 64), "0" * 64

    def __init__(self) -> None:
        self.calls = 0

    def segment(self, frame: np.ndarray) -> np.ndarray:
        self.calls += 1
        level = frame.mean(-1)
        return np.where(level < 85, ROAD, np.where(level > 170, SKY, CAR)).astype(np.uint8)

    def close(self) -> None:
        """Nothing to free."""


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Thirds:
    made = Thirds()
    monkeypatch.setattr(segmenters, "make_segmenter", lambda *arguments: made)
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
def drive(tmp_path: Path) -> Path:
    """A sequence folder of four frames, 8 bars of grey each, at 5 Hz."""
    folder = tmp_path / "drive"
    (folder / "frames").mkdir(parents=True)
    for i in range(4):
        bars = ((np.arange(8) * 37 + i * 60) % 256).astype(np.uint8).repeat(8)
        cv2.imwrite(str(folder / "frames" / f"shot{i}.png"), np.tile(bars, (32, 1)))
    (folder / "meta.json").write_text(json.dumps({"fps": 5}))
    return folder


def expected(image: np.ndarray) -> np.ndarray:
    return Thirds().segment(image)


def test_a_folder_is_linked_and_labelled(vidpred, network: Thirds, drive: Path, tmp_path: Path) -> None:
    out = tmp_path / "labelled"
    code, text = vidpred("label", drive, "--out", out)
    assert code == 0 and "4 of 4 frames labelled by thirds" in text
    assert (out / "frames").is_symlink() and not list((out / "frames").glob("*.jpg"))
    assert sorted(p.name for p in (out / "labels_pseudo").glob("*.png")) == [f"shot{i}.png" for i in range(4)]
    source = open_source(str(out))
    assert source.rate_hz == 5
    for frame in source:
        np.testing.assert_array_equal(frame.labels, expected(frame.image))
    picture = cv2.imread(str(out / "labels_pseudo" / "overview.jpg"))
    assert picture.shape == (4 * 256, 2 * 512, 3)


def test_labels_are_added_to_the_folder_itself(vidpred, network: Thirds, drive: Path) -> None:
    before = (drive / "meta.json").read_text()
    assert vidpred("label", drive, "--out", drive)[0] == 0
    assert (drive / "meta.json").read_text() == before and not (drive / "frames").is_symlink()
    assert all(frame.labels is not None for frame in open_source(str(drive)))


def test_kittis_frames_have_their_labels_beside_them(vidpred, network: Thirds, drive: Path) -> None:
    (drive / "meta.json").unlink()
    data = (drive / "frames").rename(drive / "data")
    assert vidpred("label", data, "--out", drive)[0] == 0
    assert sorted(p.name for p in drive.iterdir()) == ["data", "labels_pseudo"]


def test_frames_of_other_sources_are_written(vidpred, network: Thirds, tmp_path: Path) -> None:
    out = tmp_path / "drive"
    assert vidpred("label", "synthetic:seed=1,seconds=0.5,rate=10,width=96,height=64", "--out", out)[0] == 0
    source = open_source(str(out))
    assert len(source) == 5 and source.rate_hz == 10 and source.label_kind == "pseudo"
    for frame in source:
        assert frame.labels is not None and frame.labels.shape == frame.image.shape[:2] == (64, 96)
    assert json.loads((out / "meta.json").read_text())["source"].startswith("synthetic:seed=1")


def test_it_goes_on_where_it_stopped(vidpred, network: Thirds, drive: Path, tmp_path: Path) -> None:
    out = tmp_path / "labelled"
    vidpred("label", drive, "--out", out)
    first = network.calls
    (out / "labels_pseudo" / "shot2.png").unlink()
    code, text = vidpred("label", drive, "--out", out)
    assert code == 0 and "1 of 4 frames labelled" in text
    assert network.calls == first + 1 and (out / "labels_pseudo" / "shot2.png").is_file()


def test_another_segmenters_maps_are_left_alone(vidpred, network: Thirds, drive: Path, tmp_path: Path) -> None:
    out = tmp_path / "labelled"
    vidpred("label", drive, "--out", out)
    network.weights_sha256 = "1" * 64
    code, text = vidpred("label", drive, "--out", out)
    assert code == 2 and "was made of something else (weights_sha256 0000" in text


def test_what_it_does_not_know_is_left_alone(vidpred, network: Thirds, drive: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.tex").touch()
    code, text = vidpred("label", drive, "--out", full)
    assert code == 2 and "is not an empty folder" in text
    (drive / "labels_pseudo").mkdir()
    cv2.imwrite(str(drive / "labels_pseudo" / "shot0.png"), np.zeros((32, 64), np.uint8))
    code, text = vidpred("label", drive, "--out", drive)
    assert code == 2 and "holds label maps of unknown origin" in text and network.calls == 0


def test_a_network_of_ones_own_needs_its_classes(vidpred, drive: Path, tmp_path: Path) -> None:
    code, text = vidpred("label", drive, "--out", tmp_path / "x", "--segmenter", "net.onnx")
    assert code == 2 and "give the class table" in text and not (tmp_path / "x").exists()
