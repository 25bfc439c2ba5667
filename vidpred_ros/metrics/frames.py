"""SSIM and PSNR of a predicted frame against the true one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

#: Two equal frames have an infinite PSNR; a mean needs a finite one, so values stop here.
PSNR_CEILING_DB = 100.0


def ssim(predicted: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Structural similarity of two HxWx3 uint8 RGB frames, in [-1, 1], 1 when they are equal.

    Wang et al. 2004 as published: Gaussian window with sigma 1.5, population covariance, on each of R, G and B in
    0..255, then the mean over pixels and channels. (A 7x7 uniform window reads .009 to .015 higher at t+1 on KITTI.)
    """
    return float(
        structural_similarity(
            truth,
            predicted,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
            channel_axis=-1,
        )
    )


def psnr(predicted: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio of two HxWx3 uint8 frames in dB over all pixels and channels, at most 100 dB."""
    error = np.square(predicted.astype(np.float64) - truth).mean()
    if error == 0:
        return PSNR_CEILING_DB
    return min(PSNR_CEILING_DB, float(10 * np.log10(255**2 / error)))
