"""SSIM against an own implementation of the published formula; PSNR against its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from vidpred_ros.metrics.frames import PSNR_CEILING_DB, psnr, ssim


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


@pytest.fixture
def pair():
    rng = np.random.default_rng(3)
    a = gaussian_filter(rng.normal(size=(64, 80, 3)), (2, 2, 0)) * 400 + 128
    b = a + rng.normal(size=a.shape) * 20
    return a.clip(0, 255).astype(np.uint8), b.clip(0, 255).astype(np.uint8)


def test_ssim_is_the_published_one(pair):
    assert ssim(*pair) == pytest.approx(published_ssim(*pair), abs=1e-6)


def test_equal_frames(pair):
    assert ssim(pair[0], pair[0]) == pytest.approx(1)
    assert psnr(pair[0], pair[0]) == PSNR_CEILING_DB


@given(st.integers(1, 255))
def test_psnr_of_a_constant_error(error):
    black = np.zeros((32, 32, 3), np.uint8)
    assert psnr(black + np.uint8(error), black) == pytest.approx(20 * np.log10(255 / error))


def test_psnr_does_not_wrap_around():
    black = np.zeros((8, 8, 3), np.uint8)
    white = np.full_like(black, 255)
    assert psnr(white, black) == psnr(black, white) == pytest.approx(0)
