"""IoU by class of a segmenter on a labelled sequence, against a count by hand."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.models import make_model

from training import segmenter_scores
from training.datasets.labels import open_labelled
from training.scores import class_table
from training.segmenter_scores import entry, main, measure
from vidpred_ros.models import read_card
from vidpred_ros.semantics import CAR, CLASS_NAMES, ROAD


class AllRoad:
    """A segmenter that sees road everywhere."""

    name, engine, size, weights_sha256 = "road", "none", (32, 64), ""

    def segment(self, frame: np.ndarray) -> np.ndarray:
        return np.full(frame.shape[:2], ROAD, np.uint8)

    def close(self) -> None:
        """Nothing to free."""


@pytest.fixture
def sequence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two frames of 64x32: three quarters road and one quarter car, of which a half is not labelled."""
    monkeypatch.setenv("VIDPRED_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "drive"
    labels = np.full((32, 64), ROAD, np.uint8)
    labels[:, 48:] = CAR
    labels[:, 56:] = 255
    for name in ("frames", "labels"):
        (folder / name).mkdir(parents=True)
        for i in range(2):
            cv2.imwrite(str(folder / name / f"{i}.png"), labels if name == "labels" else labels[..., None].repeat(3, -1))
    classes = {str(i): name for i, name in enumerate(CLASS_NAMES)}
    (folder / "meta.json").write_text(json.dumps({"fps": 10, "label_classes": {"ignore": 255, "classes": classes}}))
    return folder


def test_iou_is_what_a_count_gives(sequence: Path) -> None:
    [opened] = open_labelled([str(sequence)], "val")
    matrix = measure(AllRoad(), opened)
    assert matrix.iou()[ROAD] == pytest.approx(48 / 56) and matrix.iou()[CAR] == 0
    text = class_table([entry(opened, matrix, "none")])
    assert "| road | 0.86 (86 %) |" in text and "| car | 0.00 (14 %) |" in text and "| bus | – |" in text
    assert "| mIoU | **0.429** |" in text and "| mIoU, moving classes | **0.000** |" in text


def test_the_command_prints_a_table(
    sequence: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(segmenter_scores, "make_segmenter", lambda *arguments: AllRoad())
    main("road", [str(sequence)])
    printed = capsys.readouterr().out
    assert printed.startswith("road, none, 64x32") and "`drive` (2 frames, its data set's labels)" in printed


def test_scores_go_into_the_card(sequence: Path, tmp_path: Path) -> None:
    folder = make_model(tmp_path, "tiny_segmenter", "segmenter")
    main(str(folder), [str(sequence)], engine="torch", card=True)
    [score] = read_card(folder).scores
    assert score["source"] == "drive" and score["frames"] == 2 and score["iou"].keys() == {"road", "car"}
    text = (folder / "README.md").read_text()
    assert "training.segmenter_scores tiny_segmenter SEQUENCE" in text and f"**{score['miou']:.3f}**" in text
