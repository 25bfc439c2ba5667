"""Crop and resize: against a box filter in floating point, and that geometry is kept."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidpred_ros.preprocess import crop_and_resize, crop_and_resize_labels, crop_window, resize
from vidpred_ros.sources.synthetic import SyntheticDrive

sides = st.integers(1, 3000)
sizes = st.tuples(st.integers(1, 500), st.integers(1, 500))


def overlap(count, length):
    """Share of each of ``length`` input samples in each of ``count`` equal boxes over them; rows sum to 1."""
    edges = np.linspace(0, length, count + 1)
    lows, highs = edges[:-1, None], edges[1:, None]
    at = np.arange(length)
    return np.clip(np.minimum(highs, at + 1) - np.maximum(lows, at), 0, 1) / (length / count)


@given(height=sides, width=sides, size=sizes)
def test_the_crop_is_centred_inside_and_as_large_as_the_aspect_allows(height, width, size):
    top, left, crop_h, crop_w = crop_window(height, width, size)
    assert 0 <= top and 0 <= left and crop_h >= 1 and crop_w >= 1
    assert height - crop_h - 2 * top in (0, 1) and width - crop_w - 2 * left in (0, 1)
    assert crop_h == height or crop_w == width
    # one side is whole; the other is right to half a pixel, or as near as one pixel allows
    wanted_w, wanted_h = height * size[1] / size[0], width * size[0] / size[1]
    assert abs(crop_w - max(1, wanted_w)) <= 0.5 or abs(crop_h - max(1, wanted_h)) <= 0.5


@pytest.mark.parametrize(
    ("height", "width", "window"),
    [(720, 1280, (0, 190, 720, 900)), (375, 1242, (0, 386, 375, 469)), (480, 640, (0, 20, 480, 600)), (1280, 720, (352, 0, 576, 720))],
)  # fmt: skip
def test_crops_of_common_cameras_to_5_by_4(height, width, window):
    assert crop_window(height, width, (128, 160)) == window


@pytest.mark.parametrize("shape", [(256, 320), (300, 375), (131, 163, 3), (511, 900, 3), (720, 639, 3)])
def test_shrinking_averages_the_area_under_each_pixel(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    rows, columns = overlap(128, shape[0]), overlap(160, shape[1])
    wanted = np.einsum("ij,jk...,lk->il...", rows, image.astype(float), columns, optimize=True)
    assert np.abs(resize(image, (128, 160)) - wanted).max() <= 1


@pytest.mark.parametrize("shape", [(720, 900, 3), (512, 640), (1023, 1281, 3)])
def test_shrinking_to_a_quarter_or_less_averages_halves(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    even = image[: shape[0] // 2 * 2, : shape[1] // 2 * 2].astype(float)
    halves = even.reshape(shape[0] // 2, 2, shape[1] // 2, 2, -1).mean((1, 3))
    rows, columns = overlap(128, shape[0] // 2), overlap(160, shape[1] // 2)
    wanted = np.einsum("ij,jkc,lk->ilc", rows, halves, columns, optimize=True)
    assert np.abs(resize(image, (128, 160)).reshape(128, 160, -1) - wanted).max() <= 1.5


def test_halving_first_hardly_changes_a_picture():
    picture = next(iter(SyntheticDrive(seed=1, seconds=1, rate=10, width=1280, height=720))).image[:, 190:1090]
    plain = cv2.resize(picture, (160, 128), interpolation=cv2.INTER_AREA)
    assert 0 < np.abs(resize(picture, (128, 160)).astype(int) - plain).mean() < 0.6


def test_growing_keeps_a_ramp_a_ramp():
    ramp = np.tile(np.arange(20, 220, 10, dtype=np.uint8), (20, 1))
    grown = resize(ramp, (40, 40)).astype(int)
    wanted = 20 + 10 * ((np.arange(40) + 0.5) / 2 - 0.5)
    assert np.abs(grown[:, 4:-4] - wanted[4:-4]).max() <= 1


@given(height=st.integers(1, 90), width=st.integers(1, 90), size=st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_the_result_has_the_size_and_never_shares_memory(height, width, size):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    before = image.copy()
    out = crop_and_resize(image, size)
    assert out.shape == (*size, 3) and out.dtype == np.uint8 and out.flags.c_contiguous
    assert not np.shares_memory(out, image)
    np.testing.assert_array_equal(image, before)


def test_an_image_that_fits_is_only_cropped():
    image = np.random.default_rng(0).integers(0, 256, (128, 424, 3), dtype=np.uint8)
    np.testing.assert_array_equal(crop_and_resize(image, (128, 160)), image[:, 132:292])


@given(height=st.integers(1, 90), width=st.integers(1, 90), size=st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_no_class_is_invented_in_a_label_map(height, width, size):
    labels = np.random.default_rng(0).choice(np.array([0, 7, 18, 255], np.uint8), (height, width))
    out = crop_and_resize_labels(labels, size)
    assert out.shape == size and out.dtype == np.uint8
    assert set(np.unique(out)) <= set(np.unique(labels))


def test_labels_and_image_are_cropped_alike():
    edge = np.zeros((100, 300), np.uint8)
    edge[:, 150:] = 10
    image, labels = crop_and_resize(edge, (20, 25)), crop_and_resize_labels(edge, (20, 25))
    assert ((labels == 10) == (image > 5)).all()
