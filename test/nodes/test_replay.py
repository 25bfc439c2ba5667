from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from sensor_msgs.msg import CompressedImage

from vidpred_ros.errors import ConfigError, SourceError
from vidpred_ros.nodes import replay
from vidpred_ros.nodes.replay import Replay, Shot, parse_size
from vidpred_ros.sources import SourceFrame, open_source

STAMPS = [5_000, 5_100, 5_250]


class Source:
    """Three frames, the last one late; counts how often it is read."""

    name = "three"
    rate_hz = 1e7
    intrinsics = (30.0, 30.0, 19.5, 9.5)

    def __init__(self, stamps: list[int] = STAMPS, fails: bool = False) -> None:
        self.stamps, self.fails, self.passes = stamps, fails, 0

    def __len__(self) -> int:
        return len(self.stamps)

    def __iter__(self) -> Iterator[SourceFrame]:
        self.passes += 1
        for value, stamp in enumerate(self.stamps):
            yield SourceFrame(stamp, np.full((20, 40, 3), value, np.uint8))
        if self.fails:
            raise SourceError("the file is cut short")

    def fingerprint(self) -> str:
        return ""


def played(source: Source, count: int, loop: bool = True) -> list[Shot]:
    made = Replay(source, None, compressed=False, frame_id="front", loop=loop)
    try:
        return list(islice(made, count))
    finally:
        made.close()


def test_one_pass_in_the_source_s_own_time() -> None:
    shots = played(Source(), 10, loop=False)
    assert [shot.elapsed_ns for shot in shots] == [0, 100, 250]
    assert [shot.source_stamp_ns for shot in shots] == STAMPS
    assert [shot.message.data[0] for shot in shots] == [0, 1, 2]
    assert shots[0].message.header.frame_id == "front"


def test_a_loop_goes_on_in_time_and_reads_a_small_source_once() -> None:
    source = Source()
    shots = played(source, 8)
    assert [shot.elapsed_ns for shot in shots] == [0, 100, 250, 350, 450, 600, 700, 800]
    assert [shot.message.data[0] for shot in shots] == [0, 1, 2, 0, 1, 2, 0, 1]
    assert source.passes == 1


def test_a_loop_over_a_source_too_large_to_keep_reads_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "CACHE_BYTES", 2 * 20 * 40 * 3)
    source = Source()
    shots = played(source, 8)
    assert [shot.elapsed_ns for shot in shots] == [0, 100, 250, 350, 450, 600, 700, 800]
    assert source.passes > 2


def test_errors_of_the_source_come_out_where_its_frames_are_used() -> None:
    with pytest.raises(SourceError, match="cut short"):
        played(Source(fails=True), 10)
    with pytest.raises(SourceError, match="no frames"):
        played(Source(stamps=[]), 10)


def test_closing_ends_a_replay_whose_queue_is_full_and_one_that_waits() -> None:
    made = Replay(Source(), None, False, "front", loop=True)
    made.prefill()
    made.close()
    remaining = sum(1 for _ in islice(made, replay.AHEAD))
    assert remaining == replay.AHEAD, "what was ready can still be had"
    made.close()
    assert list(made) == []


def test_frames_are_cropped_and_scaled_and_so_are_the_intrinsics() -> None:
    source = open_source("synthetic:seed=1,seconds=0.1,width=256,height=128")
    made = Replay(source, (64, 64), False, "front", loop=False)  # the middle 128x128, halved
    shot = next(iter(made))
    made.close()
    assert (shot.message.height, shot.message.width) == (64, 64)
    fx, fy, cx, cy = source.intrinsics
    info = made.info
    assert info is not None and (info.height, info.width) == (64, 64)
    # a ray through source pixel (u, v) hits the same place of the scene at ((u - 64 + .5) / 2 - .5, (v + .5) / 2 - .5)
    expected = [fx / 2, 0, (cx - 64 + 0.5) / 2 - 0.5, 0, fy / 2, (cy + 0.5) / 2 - 0.5, 0, 0, 1]
    assert np.allclose(info.k, expected)
    assert np.allclose(np.array(info.p).reshape(3, 4)[:, :3].ravel(), expected)
    assert list(info.d) == [0.0] * 5 and info.distortion_model == "plumb_bob"


def test_compressed() -> None:
    made = Replay(Source(), None, compressed=True, frame_id="front", loop=False)
    shots = list(made)
    made.close()
    assert all(isinstance(shot.message, CompressedImage) for shot in shots)


def test_sizes() -> None:
    assert parse_size("1280x720") == (720, 1280)
    assert parse_size("") is None
    for wrong in ("1280", "1280x", "x720", "0x720", "1280x720x3", "1280 x 720", "99999x1"):
        with pytest.raises(ConfigError, match="WIDTHxHEIGHT"):
            parse_size(wrong)
