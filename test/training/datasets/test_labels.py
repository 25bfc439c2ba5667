"""Sequences with label maps, from tiny trees in each of the layouts."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.datasets import numbers, write_images
from hypothesis import given
from hypothesis import strategies as st

from training.datasets import cityscapes, kitti_raw
from training.datasets.labels import LabelledSequence, open_labelled
from vidpred_ros.errors import SourceError
from vidpred_ros.semantics import CLASS_NAMES, IGNORE, PERSON, SKY
from vidpred_ros.sources import open_source

TRAIN_IDS = {"ignore": IGNORE, "classes": {str(i): name for i, name in enumerate(CLASS_NAMES)}}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIDPRED_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sequences"


def write_maps(folder: Path, ids: dict[str, int], shape: tuple[int, int] = (24, 32)) -> None:
    """A label map of one id for each name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, number in ids.items():
        assert cv2.imwrite(str(folder / f"{name}.png"), np.full(shape, number, np.uint8))


def write_meta(folder: Path, **values: object) -> None:
    (folder / "meta.json").write_text(json.dumps({"fps": 17} | values))


def ids(sequence: LabelledSequence) -> list[int]:
    """The one id of each label map."""
    assert all((one == one[0, 0]).all() for one in sequence.labels)
    return sequence.labels[:, 0, 0].tolist()


def test_a_sequence_folder(tmp_path: Path) -> None:
    write_images(tmp_path / "drive" / "frames", [f"{i}.png" for i in range(12)])
    write_maps(tmp_path / "drive" / "labels", {str(i): i for i in range(12) if i not in (3, 4)})
    write_meta(tmp_path / "drive", label_classes=TRAIN_IDS)
    (drive,) = open_labelled(str(tmp_path / "drive"), "train")
    assert drive.frames is not None and numbers(drive.frames[:]) == list(range(12)) and drive.rate_hz == 17
    assert ids(drive) == [0, 1, 2, IGNORE, IGNORE, *range(5, 12)] and drive.kind == "labels"
    assert drive.labelled.tolist() == [i not in (3, 4) for i in range(12)]
    assert [(run.first, len(run), run.rate_hz) for run in drive.runs()] == [(0, 3, 17), (5, 7, 17)]


def test_label_maps_alone(tmp_path: Path) -> None:
    write_maps(tmp_path / "labels", {f"{i:02}": i for i in range(12)})
    write_meta(tmp_path, label_classes=TRAIN_IDS)
    (maps,) = open_labelled(str(tmp_path), "train")
    assert maps.frames is None and ids(maps) == list(range(12)) and maps.name == str(tmp_path) and maps.rate_hz == 17
    assert open_labelled(f"{tmp_path}?rate=5", "train")[0].rate_hz == 5


def test_a_networks_label_maps_beside_kittis_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kitti_raw, "DRIVES", ("2011_09_26_drive_0001_sync",))
    camera = tmp_path / "2011_09_26" / "2011_09_26_drive_0001_sync" / "image_02"
    write_images(camera / "data", [f"{i:010}.png" for i in range(5)])
    with pytest.raises(SourceError, match="no label maps: .* vidpred label"):
        open_labelled(f"kitti_raw:{tmp_path}", "train")
    write_maps(camera / "labels_pseudo", {f"{i:010}": 2 * i for i in range(5)})
    (drive,) = open_labelled(f"kitti_raw:{tmp_path}", "train")
    assert drive.frames is not None and numbers(drive.frames[:]) == list(range(5))
    assert ids(drive) == [0, 2, 4, 6, 8] and drive.kind == "pseudo" and drive.rate_hz == 10


def test_the_20th_frame_of_cityscapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cityscapes, "SNIPPETS", {"train": 2, "val": 1, "test": 1})
    for stem in ("aachen_000000", "aachen_000001"):
        folder = tmp_path / "leftImg8bit_sequence" / "train" / "aachen"
        write_images(folder, [f"{stem}_{i:06d}_leftImg8bit.png" for i in range(30)])
    write_maps(tmp_path / "gtFine" / "train" / "aachen", {"aachen_000001_000019_gtFine_labelIds": 24})
    (snippet,) = open_labelled(f"cityscapes:{tmp_path}", "train")
    assert snippet.name.endswith("aachen_000001_000000") and snippet.labelled.tolist() == [i == 19 for i in range(30)]
    assert ids(snippet) == [PERSON if i == 19 else IGNORE for i in range(30)]
    assert [(run.first, len(run)) for run in snippet.runs()] == [(19, 1)]


def test_a_forecast_is_learnt_from_a_segmenters_label_maps_of_cityscapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cityscapes, "SNIPPETS", {"train": 1, "val": 1, "test": 1})
    names = [f"aachen_000000_{i:06d}_leftImg8bit" for i in range(30)]
    write_images(tmp_path / "leftImg8bit_sequence" / "train" / "aachen", [f"{name}.png" for name in names])
    write_maps(tmp_path / "gtFine" / "train" / "aachen", {"aachen_000000_000019_gtFine_labelIds": 24})
    with pytest.raises(SourceError, match=r"label maps of single frames, .*: vidpred label cityscapes:\S+$"):
        open_labelled(f"cityscapes:{tmp_path}?split=train", "train", consecutive=True)
    write_maps(tmp_path / "labels_pseudo" / "train" / "aachen", {name: i % 19 for i, name in enumerate(names) if i != 7})
    (every,) = open_labelled(f"cityscapes:{tmp_path}", "train", consecutive=True)
    assert ids(every) == [IGNORE if i == 7 else i % 19 for i in range(30)] and every.kind == "pseudo"
    assert [(run.first, len(run)) for run in every.runs()] == [(0, 7), (8, 22)]
    (truth,) = open_labelled(f"cityscapes:{tmp_path}", "train")
    assert truth.kind == "labels" and ids(truth)[19] == PERSON and truth.labelled.sum() == 1 and truth.key != every.key
    (tmp_path / "gtFine").rename(tmp_path / "elsewhere")
    (alone,) = open_labelled(f"cityscapes:{tmp_path}", "train")
    assert alone.kind == "pseudo" and ids(alone) == ids(every)


def test_a_synthetic_drive_knows_its_labels_exactly() -> None:
    text = "synthetic:seed=4,seconds=0.5,rate=4,width=64,height=48"
    (drive,) = open_labelled(text, "train")
    frames = list(open_source(text))
    assert drive.kind == "exact" and drive.labelled.all() and drive.rate_hz == 4
    np.testing.assert_array_equal(drive.labels[:], [frame.labels for frame in frames])
    assert drive.frames is not None
    np.testing.assert_array_equal(drive.frames[:], [frame.image for frame in frames])


def test_large_maps_are_shrunk_without_inventing_a_class(tmp_path: Path) -> None:
    write_images(tmp_path / "frames", ["0.png"])
    frame = np.zeros((384, 500, 3), np.uint8)
    assert cv2.imwrite(str(tmp_path / "frames" / "0.png"), frame)
    stripes = np.where(np.arange(500) // 7 % 2, SKY, PERSON).astype(np.uint8)
    write_maps(tmp_path / "labels_pseudo", {"0": 0}, (384, 500))
    assert cv2.imwrite(str(tmp_path / "labels_pseudo" / "0.png"), np.tile(stripes, (384, 1)))
    (drive,) = open_labelled(str(tmp_path), "train")
    assert drive.frames is not None and drive.frames.shape == (1, 256, 333, 3) and drive.labels.shape == (1, 256, 333)
    assert set(np.unique(drive.labels[0])) == {SKY, PERSON}


def test_maps_are_decoded_once_and_anew_with_another_table(tmp_path: Path, cache: Path) -> None:
    drive = tmp_path / "drive"
    write_images(drive / "frames", ["0.png", "1.png"])
    write_maps(drive / "labels", {"0": 0, "1": 1})
    write_meta(drive, label_classes={"classes": {"0": "road", "1": "car"}})
    (first,) = open_labelled(str(drive), "train")
    times = {file.name: file.stat().st_mtime_ns for file in cache.glob("*.npy")}
    (again,) = open_labelled(str(drive), "train")
    assert again.key == first.key and {f.name: f.stat().st_mtime_ns for f in cache.glob("*.npy")} == times and len(times) == 2
    write_meta(drive, label_classes={"classes": {"0": "sky", "1": "car"}})
    (other,) = open_labelled(str(drive), "train")
    assert ids(other) == [SKY, 13] and other.key != first.key


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    write_images(tmp_path / "frames", ["0.png", "1.png"])
    with pytest.raises(SourceError, match=f"{tmp_path} has no label maps"):
        open_labelled(str(tmp_path), "train")
    write_maps(tmp_path / "labels_pseudo", {"0": 0, "1": 40})
    with pytest.raises(SourceError, match=r"labels_pseudo/1\.png: .*does not know: 40"):
        open_labelled(str(tmp_path), "train")
    write_maps(tmp_path / "labels_pseudo", {"1": 1}, (24, 30))
    with pytest.raises(SourceError, match=r"labels_pseudo/1\.png is 30x24"):
        open_labelled(str(tmp_path), "train")
    write_maps(tmp_path / "labels_pseudo", {"0": 0}, (24, 30))
    with pytest.raises(SourceError, match=r"labels_pseudo/0\.png is 30x24 .* of its frame.s size, 32x24"):
        open_labelled(str(tmp_path), "train")


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_runs_hold_every_labelled_frame_once_and_no_other(there: list[bool]) -> None:
    maps = np.zeros((len(there), 2, 2), np.uint8)
    sequence = LabelledSequence("drive", 10, None, maps, np.array(there), "labels")
    covered = [i for run in sequence.runs() for i in range(run.first, run.first + len(run))]
    assert covered == [i for i, one in enumerate(there) if one]
    assert all(b.first > a.first + len(a) for a, b in zip(sequence.runs(), sequence.runs()[1:], strict=False))


def test_a_folder_that_links_to_its_frames(tmp_path: Path) -> None:
    (tmp_path / "drive").mkdir()
    write_images(tmp_path / "camera", ["0.png", "1.png"])
    (tmp_path / "drive" / "frames").symlink_to(tmp_path / "camera")
    write_maps(tmp_path / "drive" / "labels_pseudo", {"0": 3, "1": 4})
    (first,) = open_labelled(str(tmp_path / "drive"), "train")
    write_images(tmp_path / "camera", ["0.png"], first=40)
    (changed,) = open_labelled(str(tmp_path / "drive"), "train")
    assert first.frames is not None and changed.frames is not None
    assert numbers(first.frames[:]) == [0, 1] and numbers(changed.frames[:]) == [40, 1] and ids(changed) == [3, 4]
