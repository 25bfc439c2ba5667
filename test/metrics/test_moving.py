"""Moving areas: which pixels they are, and that only they count."""

import cv2
import numpy as np
import pytest

from vidpred_ros.metrics import FrameMetrics
from vidpred_ros.metrics.frames import psnr, sharpness, ssim
from vidpred_ros.metrics.moving import MovingAreas

HEIGHT, WIDTH = 64, 96


def texture(seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (HEIGHT // 4, WIDTH // 4, 3), np.uint8)
    return cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def drive():
    """Four frames: the right half moves by 3 pixels a frame, the left half stands still."""
    still, panorama = texture(), np.concatenate([texture(1), texture(2)], axis=1)
    frames = np.stack([still] * 4)
    for k in range(4):
        frames[k, :, WIDTH // 2 :] = panorama[:, 3 * k : 3 * k + WIDTH // 2]
    return frames


def test_the_half_that_moves(drive):
    masks = MovingAreas()(drive[0], drive[1:])
    assert masks.shape == (3, HEIGHT, WIDTH)
    assert masks[:, :, WIDTH // 2 + 8 :].mean() > 0.9
    assert masks[:, :, : WIDTH // 2 - 8].mean() < 0.05


def test_frames_seen_before_have_the_same_masks(drive):
    areas = MovingAreas()
    first = areas(drive[0], drive[1:3])
    again = areas(drive[1], drive[2:4])
    assert np.array_equal(again[0], first[1])
    assert np.array_equal(again, MovingAreas()(drive[1], drive[2:4]))
    assert np.array_equal(areas(drive[0], drive[1:3]), first)  # another sequence: nothing is left of the last one


def test_only_moving_pixels_count(drive):
    metrics, truth = FrameMetrics(), drive[1:2]
    mask = np.zeros((1, HEIGHT, WIDTH), bool)
    mask[:, 20:50, 30:80] = True
    wrong = truth.copy()
    wrong[~mask] ^= 255  # wrong wherever nothing moves
    scores = metrics(wrong, truth, mask)[0]
    assert scores["ssim"] < 0.5
    assert (scores["psnr_moving"], scores["sharpness_moving"]) == (100, 100)
    assert scores["ssim_moving"] == pytest.approx(1)


def test_masked_pixels_are_zero_in_both(drive):
    masks = MovingAreas()(drive[0], drive[1:2])
    a, b = drive[0].copy(), drive[1].copy()
    a[~masks[0]] = b[~masks[0]] = 0
    scores = FrameMetrics()(drive[:1], drive[1:2], masks)[0]
    expected = {"ssim_moving": ssim(a, b), "psnr_moving": psnr(a, b), "sharpness_moving": sharpness(a, b)}
    assert {name: scores[name] for name in expected} == expected


def test_where_nothing_moves_there_is_no_score(drive):
    still = np.stack([drive[0]] * 3)
    masks = MovingAreas()(still[0], still[1:])
    assert not masks.any()
    scores = FrameMetrics()(still[1:], still[1:], masks)
    assert [scores[0][name] for name in ("ssim_moving", "psnr_moving", "sharpness_moving")] == [None] * 3
    assert "ssim_moving" not in FrameMetrics()(still[1:], still[1:])[0]
