"""Frechet distance between two sets of features, each taken for a Gaussian (Dowson and Landau 1982; Heusel 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import ConfigError

#: What one needs for a covariance.
MIN_SAMPLES = 2


def frechet_distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """|mean_a - mean_b|^2 + Tr(C_a + C_b - 2 (C_a C_b)^1/2) of two feature matrices NxD and MxD, at least 0.

    Covariances are unbiased (divided by N - 1). The trace of the root is taken from singular values: with X and Y the
    centred features, the eigenvalues of C_a C_b are the squared singular values of X Y^T, so fewer samples than features
    (where a matrix root of rank-deficient covariances is noise) are no trouble. Raises ConfigError for fewer than 2 rows.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ConfigError(f"features of {a.shape} and {b.shape} cannot be compared")
    if min(len(a), len(b)) < MIN_SAMPLES:
        raise ConfigError(f"a Frechet distance needs {MIN_SAMPLES} samples on either side, got {len(a)} and {len(b)}")
    x, y = (f.astype(np.float64) for f in (a, b))
    gap = x.mean(0) - y.mean(0)
    x, y = ((f - f.mean(0)) / np.sqrt(len(f) - 1) for f in (x, y))
    root = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    return max(0.0, float(gap @ gap + (x * x).sum() + (y * y).sum() - 2 * root))
