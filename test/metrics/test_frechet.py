"""The Frechet distance of Gaussians, against the textbook formula with scipy's matrix root and against closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidpred_ros.errors import ConfigError
from vidpred_ros.metrics.frechet import frechet_distance

linalg = pytest.importorskip("scipy.linalg")


def textbook(a, b):
    """Heusel 2017 as written, from means and covariances."""
    gap = a.mean(0) - b.mean(0)
    one, two = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    return gap @ gap + np.trace(one + two - 2 * linalg.sqrtm(one @ two).real)


@given(st.integers(0, 999), st.integers(12, 60), st.integers(12, 60))
@settings(max_examples=25, deadline=None)
def test_agrees_with_the_matrix_root(seed, n, m):
    random = np.random.default_rng(seed)
    a = random.normal(0.5, 2, (n, 6)) @ random.normal(size=(6, 6))
    b = random.normal(size=(m, 6))
    assert frechet_distance(a, b) == pytest.approx(textbook(a, b), rel=1e-6)


def test_one_dimension_has_a_closed_form():
    random = np.random.default_rng(0)
    a, b = random.normal(1, 2, (50, 1)), random.normal(-1, 5, (30, 1))
    expected = (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2
    assert frechet_distance(a, b) == pytest.approx(expected)


def test_fewer_samples_than_features():
    random = np.random.default_rng(1)
    a = np.zeros((5, 400))
    a[:, 7] = random.normal(size=5)
    b = np.zeros((9, 400))
    b[:, 7] = random.normal(3, 2, 9)  # all that varies is one number
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(a[:, 7:8], b[:, 7:8]))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_grows_with_what_is_different():
    random = np.random.default_rng(2)
    a, b = random.normal(size=(2, 40, 8))
    distances = [frechet_distance(a, b + shift) for shift in (0, 1, 2)]
    assert distances == sorted(distances)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))


def test_one_sample_has_no_covariance():
    with pytest.raises(ConfigError, match="needs 2 samples on either side, got 1 and 5"):
        frechet_distance(np.zeros((1, 4)), np.zeros((5, 4)))
    with pytest.raises(ConfigError, match="cannot be compared"):
        frechet_distance(np.zeros((5, 3)), np.zeros((5, 4)))
