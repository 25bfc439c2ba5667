"""Folders of images and sequence folders."""

import json

import cv2
import numpy as np
import pytest
from helpers.bags import moving_square

from vidpred_ros.errors import SourceError
from vidpred_ros.semantics import CLASS_NAMES
from vidpred_ros.sources import open_source

FRAMES = moving_square(12)
TRAIN_IDS = {"ignore": 255, "classes": {str(i): name for i, name in enumerate(CLASS_NAMES)}}


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image if image.ndim == 2 else image[..., ::-1])


def label_map(index):
    return np.full(FRAMES[0].shape[:2], index % 19, np.uint8)


@pytest.fixture
def sequence(tmp_path):
    """A sequence folder of 12 frames at 17 fps, with label maps of all but the first."""
    for index, frame in enumerate(FRAMES):
        save(tmp_path / "frames" / f"{index:06d}.png", frame)
        if index:
            save(tmp_path / "labels" / f"{index:06d}.png", label_map(index))
    (tmp_path / "meta.json").write_text(json.dumps({"fps": 17, "label_classes": TRAIN_IDS}))
    return tmp_path


def test_names_are_sorted_as_numbers_and_spaced_at_10_hz(tmp_path):
    for index, frame in enumerate(FRAMES):
        save(tmp_path / f"shot{index}.png", frame)  # shot10 comes before shot2 in the alphabet
    (tmp_path / "notes.txt").write_text("not a frame")
    source = open_source(str(tmp_path))
    got = list(source)
    assert len(source) == len(got) == 12 and source.rate_hz == 10 and source.name == str(tmp_path)
    np.testing.assert_array_equal([f.image for f in got], FRAMES)
    assert [f.stamp_ns for f in got] == [i * 100_000_000 for i in range(12)]
    assert all(f.labels is None for f in got)


def test_a_sequence_folder_has_the_rate_and_labels_of_its_meta(sequence):
    source = open_source(str(sequence))
    got = list(source)
    assert source.rate_hz == 17 and [f.stamp_ns for f in got] == [round(i * 1e9 / 17) for i in range(12)]
    np.testing.assert_array_equal([f.image for f in got], FRAMES)
    assert got[0].labels is None
    for index in range(1, 12):
        np.testing.assert_array_equal(got[index].labels, label_map(index))


def test_the_rate_that_the_user_gives_goes_first(sequence):
    assert open_source(str(sequence), rate_hz=8.5).rate_hz == 8.5


@pytest.mark.parametrize(
    "classes", [None, {"ignore": 11, "classes": {"0": "sky"}}, {"ignore": 0, "classes": TRAIN_IDS["classes"]}]
)
def test_labels_of_other_class_sets_are_left_out(sequence, classes):
    (sequence / "meta.json").write_text(json.dumps({"fps": 15, "label_classes": classes}))
    assert all(f.labels is None for f in open_source(str(sequence)))


def test_an_image_of_another_size_is_named(sequence):
    save(sequence / "frames" / "000007.png", moving_square(1, 24, 40)[0])
    with pytest.raises(SourceError, match=r"000007\.png is 40x24x3, but .*000000\.png is 32x24x3"):
        list(open_source(str(sequence)))


@pytest.mark.parametrize("damage", [b"", b"rubbish", None])
def test_an_image_that_cannot_be_read_is_named(sequence, damage):
    file = sequence / "frames" / "000005.png"
    file.write_bytes(file.read_bytes()[:100] if damage is None else damage)
    with pytest.raises(SourceError, match=r"000005\.png cannot be read"):
        list(open_source(str(sequence)))


@pytest.mark.parametrize("labels", [np.zeros((24, 30), np.uint8), np.zeros((24, 32), np.uint16), np.zeros((24, 32, 3), np.uint8)])
def test_a_label_map_that_does_not_fit_is_named(sequence, labels):
    save(sequence / "labels" / "000003.png", labels)
    with pytest.raises(SourceError, match=r"labels.000003\.png .* 8-bit grey PNG of its frame's size, 32x24"):
        list(open_source(str(sequence)))


def test_a_damaged_label_map_is_named(sequence):
    (sequence / "labels" / "000003.png").write_bytes(b"rubbish")
    with pytest.raises(SourceError, match=r"000003\.png cannot be decoded"):
        list(open_source(str(sequence)))


@pytest.mark.parametrize("fps", [0, -10, "10", None, True, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(sequence, fps):
    (sequence / "meta.json").write_text(json.dumps({"fps": fps}))
    with pytest.raises(SourceError, match="frame rate"):
        open_source(str(sequence))


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_a_broken_meta_is_named(sequence, text):
    (sequence / "meta.json").write_text(text)
    with pytest.raises(SourceError, match=r"meta\.json"):
        open_source(str(sequence))


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(SourceError, match=r"no images .*metadata\.yaml"):
        open_source(str(tmp_path))


def test_the_fingerprint_covers_frames_labels_and_meta(sequence):
    prints = [open_source(str(sequence)).fingerprint()]
    (sequence / "meta.json").write_text(json.dumps({"fps": 10, "label_classes": TRAIN_IDS}))
    prints.append(open_source(str(sequence)).fingerprint())
    save(sequence / "labels" / "000003.png", label_map(4))
    prints.append(open_source(str(sequence)).fingerprint())
    save(sequence / "frames" / "000003.png", FRAMES[4])
    prints.append(open_source(str(sequence)).fingerprint())
    assert len(set(prints)) == 4
    assert open_source(str(sequence)).fingerprint() == prints[-1]


def test_real_sequences_can_be_read(real_data):
    with_labels = 0
    for folder in sorted(p for p in real_data.iterdir() if (p / "frames").is_dir()):
        meta = json.loads((folder / "meta.json").read_text())
        source = open_source(str(folder))
        assert len(source) == meta["frame_count"] and source.rate_hz == meta["fps"]
        first = next(iter(source))
        assert list(first.image.shape) == [*reversed(meta["packed_resolution"]), 3]
        with_labels += first.labels is not None
    assert with_labels > 0
