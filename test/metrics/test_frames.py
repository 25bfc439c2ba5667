"""SSIM against scikit-image and the published formula; PSNR and sharpness difference against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from vidpred_ros.errors import ConfigError
from vidpred_ros.metrics.frames import PSNR_CEILING_DB, psnr, sharpness, ssim


def published_ssim(a, b):
    """Wang et al. 2004, equations 13 to 16, with the 11x11 Gaussian window, away from the border."""
    total = []
    for c in range(3):
        x, y = a[..., c].astype(float), b[..., c].astype(float)

        def blur(image):
            return gaussian_filter(image, 1.5, truncate=3.5)

        mx, my = blur(x), blur(y)
        vx, vy, vxy = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        index = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
        total.append(index[5:-5, 5:-5].mean())
    return np.mean(total)


def published_sharpness(predicted, truth):
    """Mathieu et al. 2016, section 4.3, one pixel and channel after the other."""
    y, p = truth.tolist(), predicted.tolist()
    errors = []
    for i in range(1, len(y)):
        for j in range(1, len(y[0])):
            for c in range(3):
                gradients = [
                    abs(image[i][j][c] - image[i - 1][j][c]) + abs(image[i][j][c] - image[i][j - 1][c]) for image in (y, p)
                ]
                errors.append(abs(gradients[0] - gradients[1]) / 255)
    return 10 * np.log10(1.0**2 / (sum(errors) / len(errors)))


@pytest.fixture
def pair():
    rng = np.random.default_rng(3)
    a = gaussian_filter(rng.normal(size=(64, 80, 3)), (2, 2, 0)) * 400 + 128
    b = a + rng.normal(size=a.shape) * 20
    return a.clip(0, 255).astype(np.uint8), b.clip(0, 255).astype(np.uint8)


def test_ssim_is_the_published_one(pair):
    assert ssim(*pair) == pytest.approx(published_ssim(*pair), abs=1e-6)


@pytest.mark.parametrize("size", [(64, 80), (11, 13), (37, 128)])
def test_ssim_is_that_of_scikit_image(size):
    a, b = np.random.default_rng(1).integers(0, 256, (2, *size, 3), np.uint8)
    b = (b // 2 + a // 2).astype(np.uint8)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    assert ssim(a, b) == pytest.approx(structural_similarity(b, a, channel_axis=-1, **options), abs=1e-12)


def test_ssim_refuses_what_its_window_does_not_fit_in():
    with pytest.raises(ConfigError, match="at least 11 pixels"):
        ssim(np.zeros((10, 40, 3), np.uint8), np.zeros((10, 40, 3), np.uint8))


def test_equal_frames(pair):
    assert ssim(pair[0], pair[0]) == pytest.approx(1)
    assert psnr(pair[0], pair[0]) == sharpness(pair[0], pair[0]) == PSNR_CEILING_DB


@given(st.integers(1, 255))
def test_psnr_of_a_constant_error(error):
    black = np.zeros((32, 32, 3), np.uint8)
    assert psnr(black + np.uint8(error), black) == pytest.approx(20 * np.log10(255 / error))


def test_nothing_wraps_around():
    black = np.zeros((8, 8, 3), np.uint8)
    white = np.full_like(black, 255)
    assert psnr(white, black) == psnr(black, white) == pytest.approx(0)
    stripes = black.copy()
    stripes[:, ::2] = 255
    assert sharpness(stripes, black) == sharpness(black, stripes) == pytest.approx(0)


def test_sharpness_is_the_published_one(pair):
    assert sharpness(*pair) == pytest.approx(published_sharpness(*pair), abs=1e-9)
    assert sharpness(*pair) == pytest.approx(sharpness(*pair[::-1]))


def test_sharpness_sees_blur_and_not_brightness(pair):
    truth = (pair[0] // 2).astype(np.uint8)
    blurred = gaussian_filter(truth, (3, 3, 0))
    assert sharpness(truth + np.uint8(60), truth) == PSNR_CEILING_DB > 50 > sharpness(blurred, truth)
