"""SSIM, PSNR and sharpness difference of a predicted frame against the true one."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import ConfigError

#: Two equal frames have an infinite PSNR and sharpness; a mean needs a finite one, so values stop here.
PSNR_CEILING_DB = 100.0
#: SSIM's Gaussian window: 11 pixels wide, which is 3.5 sigma on either side.
SSIM_WINDOW, SSIM_SIGMA = 11, 1.5
SSIM_C1, SSIM_C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def ssim(predicted: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Structural similarity of two HxWx3 uint8 RGB frames, in [-1, 1], 1 when they are equal.

    Wang et al. 2004 as published: Gaussian window with sigma 1.5, population covariance, on each of R, G and B in
    0..255, then the mean over channels and over the pixels whose whole window lies in the frame. The value is
    scikit-image's to the last digits, in a third of the time. (A 7x7 uniform window reads .009 to .015 higher at t+1
    on KITTI.) Raises ConfigError for a frame smaller than the window.
    """
    if min(truth.shape[:2]) < SSIM_WINDOW:
        raise ConfigError(f"SSIM needs frames of at least {SSIM_WINDOW} pixels a side, got {truth.shape[:2]}")
    x, y = truth.astype(np.float64), predicted.astype(np.float64)
    mean_x, mean_y = _window_mean(x), _window_mean(y)
    mean_xx, mean_yy, mean_xy = mean_x * mean_x, mean_y * mean_y, mean_x * mean_y
    variances = _window_mean(x * x + y * y) - mean_xx - mean_yy
    covariance = _window_mean(x * y) - mean_xy
    index = (2 * mean_xy + SSIM_C1) * (2 * covariance + SSIM_C2)
    index /= (mean_xx + mean_yy + SSIM_C1) * (variances + SSIM_C2)
    return float(index.mean())


def psnr(predicted: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio of two HxWx3 uint8 frames in dB over all pixels and channels, at most 100 dB."""
    error = np.square(predicted.astype(np.float64) - truth).mean()
    return _decibels(255**2 / error if error else np.inf)


def sharpness(predicted: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Sharpness difference of two HxWx3 uint8 frames in dB (Mathieu et al. 2016, section 4.3), at most 100 dB.

    10 log10(max^2 / mean |(di Y + dj Y) - (di Y' + dj Y')|), where di and dj are the absolute differences of a pixel
    from the one above it and from the one to its left. Larger is better. The ratio has a unit, so its scale matters:
    as where the paper speaks of intensities, they run from 0 to 1 and max is 1. The mean goes over channels and over
    the pixels that have both neighbours. (The authors' released code departs from their formula: it adds the errors of
    the two gradients after taking each one's absolute value, and its scaling adds 3.0 dB.)
    """
    error = np.abs(_gradient(truth) - _gradient(predicted)).mean(dtype=np.float64) / 255
    return _decibels(1 / error if error else np.inf)


def _window_mean(image: NDArray[Any]) -> NDArray[np.float64]:
    """Gaussian mean around each pixel whose window lies in the image."""
    blurred = cv2.GaussianBlur(image, (SSIM_WINDOW, SSIM_WINDOW), SSIM_SIGMA)
    half = SSIM_WINDOW // 2
    return blurred[half:-half, half:-half]


def _gradient(frame: NDArray[np.uint8]) -> NDArray[np.int16]:
    values = frame.astype(np.int16)
    here = values[1:, 1:]
    return np.abs(here - values[:-1, 1:]) + np.abs(here - values[1:, :-1])


def _decibels(ratio: float) -> float:
    return min(PSNR_CEILING_DB, float(10 * np.log10(ratio)))
