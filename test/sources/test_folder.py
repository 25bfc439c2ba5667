"""Folders of images and sequence folders."""

import json

import cv2
import numpy as np
import pytest
from helpers.bags import moving_square

from vidpred_ros.errors import SourceError
from vidpred_ros.semantics import CLASS_NAMES, IGNORE, PERSON, SKY
from vidpred_ros.sources import open_source
from vidpred_ros.sources.folder import labels_alone

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
    assert len(source) == len(got) == 12 and source.rate_hz == 10 and source.label_kind is None and source.name == str(tmp_path)
    np.testing.assert_array_equal([f.image for f in got], FRAMES)
    assert [f.stamp_ns for f in got] == [i * 100_000_000 for i in range(12)]
    assert all(f.labels is None for f in got)


def test_a_sequence_folder_has_the_rate_and_labels_of_its_meta(sequence):
    source = open_source(str(sequence))
    got = list(source)
    assert source.label_kind == "labels" and source.rate_hz == 17 and [f.stamp_ns for f in got] == [round(i * 1e9 / 17) for i in range(12)]
    np.testing.assert_array_equal([f.image for f in got], FRAMES)
    assert got[0].labels is None
    for index in range(1, 12):
        np.testing.assert_array_equal(got[index].labels, label_map(index))


def test_the_rate_that_the_user_gives_goes_first(sequence):
    assert open_source(str(sequence), rate_hz=8.5).rate_hz == 8.5


def test_labels_of_other_class_sets_are_mapped_by_the_names_of_the_classes(sequence):
    classes = {str(i): "sky" if i % 2 else "pedestrian" for i in range(11)} | {"11": "void"}
    (sequence / "meta.json").write_text(json.dumps({"fps": 15, "label_classes": {"ignore": 4, "classes": classes}}))
    got = [f.labels for f in open_source(str(sequence))]
    assert got[0] is None
    for index in range(1, 12):
        expected = IGNORE if index in (4, 11) else SKY if index % 2 else PERSON
        np.testing.assert_array_equal(got[index], np.full(FRAMES[0].shape[:2], expected))


def test_labels_of_which_nobody_knows_the_classes_are_refused(sequence):
    (sequence / "meta.json").write_text(json.dumps({"fps": 15}))
    with pytest.raises(SourceError, match=r"labels/ needs label_classes in meta\.json, which say what its ids mean: .*road"):
        open_source(str(sequence))
    save(sequence / "labels_pseudo" / "000002.png", label_map(2))
    source = open_source(str(sequence))  # these say it
    assert source.label_kind == "pseudo" and [i for i, f in enumerate(source) if f.labels is not None] == [2]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("cityscapes", r"meta\.json: label_classes: expected"),
        ({"classes": ["road"]}, r"meta\.json: label_classes: expected"),
        ({"classes": {"0": "street"}}, r"meta\.json: .*id 0: unknown class 'street'"),
        ({"classes": {"x": "road"}}, r"meta\.json: .*'x': ids are whole numbers"),
    ],
)
def test_a_wrong_table_of_classes_is_named(sequence, classes, message):
    (sequence / "meta.json").write_text(json.dumps({"fps": 15, "label_classes": classes}))
    with pytest.raises(SourceError, match=message):
        open_source(str(sequence))


def test_ids_that_the_table_does_not_know_are_named(sequence):
    save(sequence / "labels" / "000003.png", np.arange(24 * 32, dtype=np.uint8).reshape(24, 32) % 21)
    with pytest.raises(SourceError, match=r"000003\.png: .*does not know: 19, 20"):
        list(open_source(str(sequence)))


def test_a_networks_label_maps_stand_in_where_there_are_no_others(sequence):
    (sequence / "labels").rename(sequence / "labels_pseudo")
    (sequence / "meta.json").write_text(json.dumps({"fps": 15}))
    source = open_source(str(sequence))
    assert source.label_kind == "pseudo"
    np.testing.assert_array_equal([f.labels for f in source][5], label_map(5))
    save(sequence / "labels" / "000004.png", label_map(7))
    (sequence / "meta.json").write_text(json.dumps({"fps": 15, "label_classes": TRAIN_IDS}))
    source = open_source(str(sequence))
    assert source.label_kind == "labels"
    assert [f.labels is not None for f in source] == [i == 4 for i in range(12)]


def test_label_maps_alone_are_no_source_of_frames(sequence):
    for file in (sequence / "frames").iterdir():
        file.unlink()
    (sequence / "frames").rmdir()
    with pytest.raises(SourceError, match="no images but label maps"):
        open_source(str(sequence))
    files, rate_hz = labels_alone(sequence)
    assert rate_hz == 17 and len(files) == 11 and files.kind == "labels"
    np.testing.assert_array_equal(files.read(10), label_map(11))


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
    (sequence / "meta.json").write_text(json.dumps({"fps": fps, "label_classes": TRAIN_IDS}))
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
