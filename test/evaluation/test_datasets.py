"""Data sets as they are downloaded, in a table."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.datasets import numbers, write_images
from typer.testing import CliRunner

from training.datasets import caltech, cityscapes
from vidpred_ros.cli import app
from vidpred_ros.errors import ConfigError, SourceError
from vidpred_ros.evaluation.datasets import open_sequence
from vidpred_ros.evaluation.entries import find_sequences


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(caltech, "VIDEOS", {"train": {"set00": 1}, "test": {"set06": 1, "set07": 1}})
    for folder in ("set00/V000", "set06/V000", "set07/V000"):
        write_images(tmp_path / folder, [f"I{i:05d}.jpg" for i in range(10)])
    return tmp_path


def test_a_tables_data_may_be_a_data_set(root: Path) -> None:
    found, left_out = find_sequences([f"caltech:{root}", "synthetic:seed=1,seconds=1"])
    assert list(found)[:2] == ["set06/V000", "set07/V000"] and len(found) == 3 and not left_out
    source = found["set07/V000"]
    assert source.rate_hz == 10 and len(source) == 4
    assert numbers(frame.image for frame in source) == [0, 3, 6, 9]  # every third of 30 Hz
    again = open_sequence(source.name)  # as a worker process does
    assert (len(again), again.rate_hz, again.fingerprint()) == (4, 10, source.fingerprint())


def test_the_split_of_a_data_set_is_an_option(root: Path) -> None:
    found, _ = find_sequences([f"caltech:{root}?split=train"])
    assert [source.name for source in found.values()] == [f"caltech:{root}?split=train#V000"]
    for text in (f"caltech:{root}#set09", f"caltech:{root}"):
        with pytest.raises(SourceError, match=r"which recording\? caltech:.*#NAME, where NAME is one of set06/V000, set07/V000"):
            open_sequence(text)
    with pytest.raises(ConfigError, match="--topic /a is for bags"):
        open_sequence(f"caltech:{root}#set06/V000", "/a")


def test_one_recording_of_a_data_set_is_evaluated(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(root / "set06/V000", [f"I{i:05d}.jpg" for i in range(30)])
    monkeypatch.setenv("CALTECH", str(root))
    out = tmp_path / "report"
    arguments = ["evaluate", "caltech:$CALTECH#set06/V000", "--model", "copy_last", "--steps", "2", "--out", str(out)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    results = json.loads((out / "metrics.json").read_text())
    assert (results["source"], results["frames"]) == ("caltech:$CALTECH#set06/V000", 10)


def test_label_maps_of_a_data_set_come_with_its_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cityscapes, "SNIPPETS", {"val": 1})
    city, stem = tmp_path / "leftImg8bit_sequence" / "val" / "aachen", "aachen_000004"
    write_images(city, [f"{stem}_{i:06d}_leftImg8bit.png" for i in range(30)])
    labels = tmp_path / "gtFine" / "val" / "aachen"
    labels.mkdir(parents=True)
    cv2.imwrite(str(labels / f"{stem}_000019_gtFine_labelIds.png"), np.full((24, 32), 26, np.uint8))  # car, of Cityscapes' own ids
    (source,) = find_sequences([f"cityscapes:{tmp_path}"])[0].values()  # val: the labels of its test split are secret
    frames = list(source)
    assert [i for i, frame in enumerate(frames) if frame.labels is not None] == [19]
    assert (frames[19].labels == 13).all() and source.label_kind == "labels"
    assert numbers(frame.image for frame in frames) == list(range(30))
    before = source.fingerprint()
    cv2.imwrite(str(labels / f"{stem}_000019_gtFine_labelIds.png"), np.full((24, 32), 24, np.uint8))
    assert open_sequence(source.name).fingerprint() != before
