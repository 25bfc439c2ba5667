"""Video files: exact pixels of a lossless one, presentation times, and what cannot be read."""

import struct

import numpy as np
import pytest
from helpers.bags import moving_square
from helpers.videos import write_video

from vidpred_ros.errors import SourceError
from vidpred_ros.sources import open_source

FRAMES = moving_square(12, 48, 64)
STEADY = range(0, 1200, 100)


@pytest.mark.parametrize("extension", ["mkv", "avi"])
def test_frames_and_times_come_back(tmp_path, extension):
    path = write_video(tmp_path / f"drive.{extension}", FRAMES, STEADY)
    source = open_source(str(path))
    assert source.name == str(path) and source.rate_hz == pytest.approx(10) and len(source) == 12
    for _ in range(2):  # a source can be read again
        got = list(source)
        assert [f.stamp_ns for f in got] == [ms * 1_000_000 for ms in STEADY]
        np.testing.assert_array_equal([f.image for f in got], FRAMES)
        assert got[0].labels is None and got[0].depth is None
    assert source.dropped == 0


def test_b_frames_come_in_order_of_presentation(tmp_path):
    source = open_source(str(write_video(tmp_path / "drive.mp4", FRAMES, STEADY)))
    got = list(source)
    assert len(got) == len(source) == 12 and source.rate_hz == pytest.approx(10)
    assert [f.stamp_ns for f in got] == [ms * 1_000_000 for ms in STEADY]
    for index, frame in enumerate(got):
        errors = [np.abs(frame.image.astype(int) - wanted).mean() for wanted in FRAMES]
        assert int(np.argmin(errors)) == index and min(errors) < 4


def test_a_varying_rate_keeps_its_times_and_counts_from_the_first(tmp_path):
    stamps = [700, 740, 780, 820, 900, 940, 980, 1020, 1060, 1300, 1340, 1380]
    source = open_source(str(write_video(tmp_path / "phone.mkv", FRAMES, stamps)))
    assert [f.stamp_ns // 1_000_000 for f in source] == [ms - 700 for ms in stamps]
    assert source.rate_hz == pytest.approx(25)


def test_the_rotation_of_the_camera_is_undone(tmp_path):
    path = write_video(tmp_path / "upright.mp4", FRAMES, STEADY)
    upright = [f.image for f in open_source(str(path))]
    # the track header's 3x3 matrix: x' = -y, y' = x turns the picture clockwise by 90 degrees
    data = bytearray(path.read_bytes())
    matrix = data.find(b"tkhd") + 44
    assert struct.unpack(">2i", data[matrix : matrix + 8]) == (0x10000, 0)
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 0x10000, 0, -0x10000, 0, 0, 48 * 0x10000, 0, 0x40000000)
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(data)
    for frame, before in zip(open_source(str(turned)), upright, strict=True):
        np.testing.assert_array_equal(frame.image, np.rot90(before, -1))


def test_a_damaged_packet_is_dropped_and_counted(tmp_path):
    path = write_video(tmp_path / "drive.avi", FRAMES, STEADY)
    before, frame, after = path.read_bytes().rpartition(b"\x89PNG")
    path.write_bytes(before + b"\x00" * len(frame) + after)
    source = open_source(str(path))
    assert len(list(source)) + source.dropped == len(source) and source.dropped == 1
    list(source)
    assert source.dropped == 1  # of the latest iteration, not of both


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_truncated_mp4_is_refused(tmp_path, share):
    path = write_video(tmp_path / "drive.mp4", FRAMES, STEADY)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(SourceError, match=r"drive\.mp4 (is damaged or no video|has no frames .* was cut off)"):
        open_source(str(path))


def test_one_frame_is_no_drive(tmp_path):
    with pytest.raises(SourceError, match="fewer than two frames"):
        open_source(str(write_video(tmp_path / "still.mkv", FRAMES[:1], [0])))


def test_the_fingerprint_is_that_of_the_bytes(tmp_path):
    one, other = (write_video(tmp_path / name, FRAMES[:n], range(0, 100 * n, 100)) for name, n in (("a.avi", 5), ("b.avi", 6)))
    copy = tmp_path / "c.avi"
    copy.write_bytes(one.read_bytes())
    assert open_source(str(one)).fingerprint() == open_source(str(copy)).fingerprint()
    assert open_source(str(one)).fingerprint() != open_source(str(other)).fingerprint()
