"""FVD and shot-wise FVD, with features that can be worked out by hand."""

import numpy as np
import pytest

from vidpred_ros.errors import ConfigError
from vidpred_ros.metrics.frechet import frechet_distance
from vidpred_ros.metrics.fvd import fvd, shot_features, shot_wise_fvd, shots


def mean_and_motion(clips):
    """Two features: mean brightness, and how much it changes."""
    light = clips.mean((2, 3, 4))
    return np.stack([light.mean(1), np.abs(np.diff(light, axis=1)).mean(1)], 1).astype(np.float32)


def drives(seed, count, frames=12):
    random = np.random.default_rng(seed)
    level = random.integers(50, 150, (count, 1)) + np.cumsum(random.integers(0, 6, (count, frames)), 1)
    return np.broadcast_to(level[..., None, None, None], (count, frames, 4, 5, 3)).astype(np.uint8)


def test_fvd_is_the_distance_of_the_features():
    a, b = drives(0, 8), drives(1, 9)
    assert fvd(a, b, mean_and_motion) == pytest.approx(frechet_distance(mean_and_motion(a), mean_and_motion(b)))
    assert fvd(a, a, mean_and_motion) == pytest.approx(0, abs=1e-6)
    still = np.broadcast_to(a[:, :1], a.shape)
    assert fvd(still, a, mean_and_motion) > 1


def test_shots_overlap_and_none_is_missed():
    video = drives(2, 1)[0]
    found = list(shots(iter(video), 5, 2))
    assert [first for first, _ in found] == [0, 2, 4, 6]
    for first, shot in found:
        np.testing.assert_array_equal(shot, video[first : first + 5])
    with pytest.raises(ConfigError, match="1 or more"):
        next(shots(video, 0))


def test_features_of_shots_are_those_of_the_clips():
    video = drives(3, 1)[0]
    firsts, features = shot_features(video, 6, mean_and_motion, 3)
    assert firsts.tolist() == [0, 3, 6]
    np.testing.assert_allclose(features, mean_and_motion(np.stack([video[i : i + 6] for i in firsts])))
    with pytest.raises(ConfigError, match="fewer than 13 frames"):
        shot_features(video, 13, mean_and_motion)


def test_shot_wise_fvd_compares_one_time_with_all_true_shots():
    random = np.random.default_rng(4)
    truth = random.normal(size=(30, 5))
    predicted = random.normal(size=(6, 4, 5)) + np.arange(4)[None, :, None]  # drifts away
    values = shot_wise_fvd(predicted, truth)
    for s in range(4):
        assert values[s] == pytest.approx(frechet_distance(predicted[:, s], truth))
    assert (np.diff(values) > 0).all()
    pooled = shot_wise_fvd(predicted, truth, around=1)
    assert pooled[1] == pytest.approx(frechet_distance(predicted[:, :3].reshape(-1, 5), truth))
    with pytest.raises(ConfigError, match="needs 2 samples"):
        shot_wise_fvd(predicted[:1], truth)
    assert len(shot_wise_fvd(predicted[:1], truth, around=2)) == 4
