from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.datasets import numbers, picture, seq_bytes

from training.datasets.norpix import SeqSource
from vidpred_ros.errors import SourceError


@pytest.mark.parametrize("tail", [2, 10])
def test_frames_times_and_steps(tmp_path: Path, tail: int) -> None:
    path = tmp_path / "V000.seq"
    path.write_bytes(seq_bytes([picture(i) for i in range(10)], fps=25, tail=tail))
    source = SeqSource(path)
    frames = list(source)
    assert len(source) == len(frames) == 10 and source.rate_hz == 25
    assert numbers(f.image for f in frames) == list(range(10))
    assert [f.stamp_ns for f in frames] == [40_000_000 * i for i in range(10)]
    third = SeqSource(path, step=3)
    assert numbers(f.image for f in third) == [0, 3, 6, 9] and third.rate_hz == 25 / 3
    assert [f.stamp_ns for f in third] == [120_000_000 * i for i in range(4)]


def test_colours_are_rgb(tmp_path: Path) -> None:
    red_in_bgr = np.zeros((16, 16, 3), np.uint8)
    red_in_bgr[..., 2] = 200
    path = tmp_path / "V000.seq"
    path.write_bytes(seq_bytes([red_in_bgr]))
    (frame,) = SeqSource(path)
    decoded = cv2.imdecode(cv2.imencode(".jpg", red_in_bgr)[1], cv2.IMREAD_COLOR)
    assert np.array_equal(frame.image, decoded[..., ::-1]) and frame.image[..., 0].min() > 190


def test_what_is_no_whole_seq_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "V000.seq"
    whole = seq_bytes([picture(i) for i in range(10)])
    for size in (len(whole) - 40, len(whole) * 6 // 10):
        path.write_bytes(whole[:size])
        there = sum(len(seq_bytes([picture(i) for i in range(n)] or [picture(0)])) <= size + 16 for n in range(1, 11))
        with pytest.raises(SourceError, match=rf"V000\.seq is cut: {there} of 10 frames"):
            SeqSource(path)
    for data in (b"", whole[:100], b"\0" * 2000, b"RIFF" + whole[4:]):
        path.write_bytes(data)
        with pytest.raises(SourceError, match=r"V000\.seq is no \.seq file"):
            SeqSource(path)
    path.write_bytes(seq_bytes([picture(0)], code=200))
    with pytest.raises(SourceError, match="format 200"):
        SeqSource(path)
    damaged = bytearray(whole)
    damaged[1028:1300] = bytes(272)  # the first JPEG's tables
    path.write_bytes(damaged)
    with pytest.raises(SourceError, match="frame 0 is damaged"):
        list(SeqSource(path))


def test_a_header_that_does_not_tell_the_number_of_frames(tmp_path: Path) -> None:
    data = bytearray(seq_bytes([picture(i) for i in range(4)]))
    data[548 + 24 : 548 + 28] = bytes(4)
    (tmp_path / "V000.seq").write_bytes(data)
    assert numbers(f.image for f in SeqSource(tmp_path / "V000.seq")) == [0, 1, 2, 3]
