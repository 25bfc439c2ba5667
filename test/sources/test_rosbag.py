"""rosbag2 recordings: both storages, raw and compressed images, and every way in which a bag can be wrong."""

import numpy as np
import pytest
from helpers.bags import RAW, START_NS, STORE, compressed_image, header, moving_square, raw_image, write_bag

from vidpred_ros.errors import SourceError
from vidpred_ros.sources import open_source

FRAMES = moving_square(12)
STEP_NS, LATE_NS = 50_000_000, 7_000_000  # 20 Hz, received 7 ms after the header's stamp
STAMPS = [START_NS + i * STEP_NS for i in range(12)]


def recorded(make=raw_image, stamped=True, **options):
    """(receive time, message) of each frame."""
    return [(s + LATE_NS, make(f, s if stamped else 0, **options)) for f, s in zip(FRAMES, STAMPS, strict=True)]


def no_images():
    kind = "std_msgs/msg/String"
    return [(START_NS, STORE.types[kind]("hello"))]


@pytest.mark.parametrize("compression", [None, "message", "file"])
@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_bag_folder_of_either_storage(tmp_path, storage, compression):
    path = write_bag(tmp_path / "bag", {"/camera/image_raw": recorded(), "/chatter": no_images()}, storage, compression)
    source = open_source(str(path))
    assert source.name == str(path) and source.topic == "/camera/image_raw"
    assert len(source) == 12 and source.rate_hz == pytest.approx(20)
    for _ in range(2):  # a source can be read again
        got = list(source)
        assert [f.stamp_ns for f in got] == STAMPS and source.dropped == 0
        np.testing.assert_array_equal([f.image for f in got], FRAMES)


@pytest.mark.parametrize(("storage", "suffix"), [("mcap", ".mcap"), ("sqlite3", ".db3")])
def test_a_single_file_of_a_bag(tmp_path, storage, suffix):
    folder = write_bag(tmp_path / "bag", {"/camera": recorded()}, storage)
    (file,) = folder.glob(f"*{suffix}")
    source = open_source(str(file))
    assert len(source) == 12 and source.rate_hz == pytest.approx(20)
    np.testing.assert_array_equal([f.image for f in source], FRAMES)


@pytest.mark.parametrize(
    ("make", "options", "tolerance"),
    [(raw_image, {"encoding": "bgr8"}, 0), (compressed_image, {"extension": "png"}, 0), (compressed_image, {"extension": "jpg"}, 8)],
)
def test_bgr_and_compressed_images_are_rgb_frames(tmp_path, make, options, tolerance):
    source = open_source(str(write_bag(tmp_path / "bag", {"/camera": recorded(make, **options)})))
    for frame, wanted in zip(source, FRAMES, strict=True):
        assert np.abs(frame.image.astype(int) - wanted).mean() <= tolerance


def test_images_without_a_stamp_have_the_time_of_recording(tmp_path):
    source = open_source(str(write_bag(tmp_path / "bag", {"/camera": recorded(stamped=False)})))
    assert [f.stamp_ns for f in source] == [s + LATE_NS for s in STAMPS]
    assert source.rate_hz == pytest.approx(20)


def test_the_topic_must_be_chosen_when_there_are_several(tmp_path):
    topics = {"/left": recorded(), "/right/compressed": recorded(compressed_image)[:5], "/chatter": no_images()}
    path = str(write_bag(tmp_path / "bag", topics))
    with pytest.raises(SourceError) as error:
        open_source(path)
    lines = str(error.value).splitlines()
    assert "2 image topics" in lines[0] and "--topic" in lines[0]
    assert lines[1].split() == ["/left", "sensor_msgs/msg/Image", "12", "images"]
    assert lines[2].split() == ["/right/compressed", "sensor_msgs/msg/CompressedImage", "5", "images"]
    assert len(list(open_source(path, topic="/left"))) == 12
    assert len(list(open_source(path, topic="right/compressed"))) == 5  # the leading slash may be left out
    with pytest.raises(SourceError, match="no image topic /middle; it has:\n  /left"):
        open_source(path, topic="/middle")
    with pytest.raises(SourceError, match="no image topic /chatter"):
        open_source(path, topic="/chatter")


def test_a_bag_without_images_lists_what_it_has(tmp_path):
    with pytest.raises(SourceError, match="no image topic; its topics are: /chatter"):
        open_source(str(write_bag(tmp_path / "bag", {"/chatter": no_images()})))


def short_image(stamp):
    message = raw_image(FRAMES[0], stamp)
    return STORE.types[RAW](header(stamp), 24, 32, "rgb8", 0, 96, message.data[:1000])


def broken_jpeg(stamp):
    message = compressed_image(FRAMES[0], stamp, "jpg")
    message.data = message.data[: len(message.data) // 2]
    return message


@pytest.mark.parametrize(
    ("make", "broken"),
    [
        (raw_image, short_image),
        (raw_image, lambda stamp: STORE.types[RAW](header(stamp), 1, 2, "32FC1", 0, 8, np.zeros(8, np.uint8))),
        (raw_image, lambda stamp: bytes(STORE.serialize_cdr(raw_image(FRAMES[0], stamp), RAW))[:60]),
        (raw_image, lambda stamp: b"\xff" * 2000),
        (raw_image, lambda stamp: b""),
        (compressed_image, broken_jpeg),
    ],
    ids=["short data", "unknown encoding", "cut CDR", "rubbish", "nothing", "cut jpeg"],
)
def test_a_corrupt_image_is_dropped_and_counted(tmp_path, make, broken):
    rows = recorded(make)
    for index in (0, 5):
        rows[index] = (rows[index][0], broken(STAMPS[index]))
    source = open_source(str(write_bag(tmp_path / "bag", {"/camera": rows})))
    for _ in range(2):
        assert [f.stamp_ns for f in source] == [s for i, s in enumerate(STAMPS) if i not in (0, 5)]
        assert source.dropped == 2 and len(source) == 12


def test_a_topic_of_which_nothing_can_be_decoded_says_why(tmp_path):
    depth = [(s, STORE.types[RAW](header(s), 1, 2, "32FC1", 0, 8, np.zeros(8, np.uint8))) for s in STAMPS]
    source = open_source(str(write_bag(tmp_path / "bag", {"/depth": depth})))
    with pytest.raises(SourceError, match="no image of topic /depth .* '32FC1' is not supported"):
        list(source)


@pytest.mark.parametrize("as_folder", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_truncated_bag_is_refused(tmp_path, storage, share, as_folder):
    folder = write_bag(tmp_path / "bag", {"/camera": recorded()}, storage)
    (file,) = (f for f in folder.iterdir() if f.suffix != ".yaml")
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    with pytest.raises(SourceError, match="damaged or no rosbag2"):
        list(open_source(str(folder if as_folder else file)))


@pytest.mark.parametrize("metadata", ["", "{", "rosbag2_bagfile_information: 1", "a: b"])
def test_broken_metadata_is_refused(tmp_path, metadata):
    folder = write_bag(tmp_path / "bag", {"/camera": recorded()})
    (folder / "metadata.yaml").write_text(metadata)
    with pytest.raises(SourceError, match="damaged or no rosbag2"):
        open_source(str(folder))


def test_one_image_is_no_drive(tmp_path):
    with pytest.raises(SourceError, match="fewer than two frames"):
        open_source(str(write_bag(tmp_path / "bag", {"/camera": recorded()[:1]})))


def test_the_fingerprint_is_that_of_the_bytes(tmp_path):
    one = write_bag(tmp_path / "one", {"/camera": recorded()})
    other = write_bag(tmp_path / "other", {"/camera": recorded()[:-1]})
    prints = [open_source(str(path)).fingerprint() for path in (one, one, other)]
    assert prints[0] == prints[1] != prints[2] and len(prints[0]) == 64
