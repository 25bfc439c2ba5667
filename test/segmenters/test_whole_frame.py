"""Frames of any aspect are covered by parts of the segmenter's, each pixel by the part whose centre is nearest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidpred_ros.segmenters.whole_frame import label_whole_frame, parts


class Levels:
    """A segmenter whose label is the red of a pixel, and which remembers what it saw."""

    name, engine, size, weights_sha256 = "levels", "none", (32, 64), ""

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def segment(self, frame: np.ndarray) -> np.ndarray:
        assert frame.shape == (*self.size, 3)
        self.seen.append(frame)
        return frame[..., 0]

    def close(self) -> None:
        """Nothing to free."""


@pytest.mark.parametrize(("size", "calls"), [((64, 128), 1), ((64, 212), 2), ((96, 128), 2), ((64, 384), 3), ((31, 61), 1)])
def test_every_pixel_has_its_own_label(size: tuple[int, int], calls: int) -> None:
    coarse = np.random.default_rng(0).integers(0, 19, (-(-size[0] // 16), -(-size[1] // 16)), np.uint8)
    labels = coarse.repeat(16, 0).repeat(16, 1)[: size[0], : size[1]]
    segmenter = Levels()
    found = label_whole_frame(segmenter, labels[..., None].repeat(3, -1))
    assert len(segmenter.seen) in (calls, calls + 1) and found.dtype == np.uint8
    assert found.shape == size and (found == labels).mean() > 0.85  # shrinking mixes neighbours


def test_a_frame_of_the_segmenters_size_is_left_alone() -> None:
    frame = np.random.default_rng(0).integers(0, 19, (32, 64, 3), np.uint8)
    np.testing.assert_array_equal(label_whole_frame(Levels(), frame), frame[..., 0])


@given(st.integers(1, 2000), st.integers(1, 2000))
def test_parts_cover_a_length_once(length: int, part: int) -> None:
    part = min(part, length)
    found = parts(length, part)
    covered = [pixel for _, own in found for pixel in range(own.start, own.stop)]
    assert covered == list(range(length))
    centres = [first + part / 2 for first, _ in found]
    for i, (first, own) in enumerate(found):
        assert 0 <= first <= own.start < own.stop <= first + part <= length
        middle = (own.start + own.stop) / 2
        assert min(range(len(found)), key=lambda j: abs(centres[j] - middle)) == i
