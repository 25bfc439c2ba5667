"""Copied and moved label maps, on frames whose motion is known."""

import cv2
import numpy as np
import pytest

from vidpred_ros.errors import ConfigError
from vidpred_ros.predictors.label_baselines import CopyLabels, MovedLabels
from vidpred_ros.window import Window

SIZE, SMALL = (64, 128), (32, 64)
SPEED = 4  # pixels that the scene goes to the left from frame to frame, at SIZE


def scene(i):
    """Frame and label map i of a texture that slides to the left."""
    coarse = np.random.default_rng(1).integers(0, 256, (16, 64, 3), np.uint8)
    panorama = cv2.resize(coarse, (256, SIZE[0]), interpolation=cv2.INTER_CUBIC)
    ids = np.zeros((SIZE[0], 256), np.uint8)
    ids[20:50, 60:100] = 13
    cut = slice(SPEED * i, SPEED * i + SIZE[1])
    return panorama[:, cut], ids[:, cut]


def window():
    frames = tuple(np.ascontiguousarray(scene(i)[0]) for i in range(4))
    return Window(tuple(100 * i for i in range(4)), frames, 0, 3, 100)


class Oracle:
    """Segments by looking the frame up."""

    def __init__(self):
        self.count = 0

    def segment(self, frame):
        self.count += 1
        return next(labels for image, labels in map(scene, range(8)) if np.array_equal(image, frame))


@pytest.fixture(params=[CopyLabels, MovedLabels])
def kind(request):
    return request.param


def test_forecast_has_a_label_map_for_each_instant(kind):
    oracle = Oracle()
    forecast = kind(oracle, SIZE, 0.1, 3, label_size=SMALL).predict(window())
    assert oracle.count == 1
    assert [(h.step, h.stamp_ns) for h in forecast.horizons] == [(1, 400), (2, 500), (3, 600)]
    assert all(h.labels.shape == SMALL and h.labels.dtype == np.uint8 and h.frame is None for h in forecast.horizons)
    assert set(forecast.latency_ms) == {"segment", "forecast"}


def test_copied_labels_are_the_newest_ones_by_nearest_neighbour():
    labels = scene(3)[1]
    forecast = CopyLabels(Oracle(), SIZE, 0.1, 2, label_size=SMALL).predict(window())
    for horizon in forecast.horizons:
        np.testing.assert_array_equal(horizon.labels, labels[::2, ::2])


def test_moved_labels_are_where_the_scene_will_be():
    forecast = MovedLabels(Oracle(), SIZE, 0.1, 3, label_size=SMALL).predict(window())
    copied = CopyLabels(Oracle(), SIZE, 0.1, 3, label_size=SMALL).predict(window())
    for horizon, copy in zip(forecast.horizons, copied.horizons, strict=True):
        truth = scene(3 + horizon.step)[1][::2, ::2]
        wrong = np.mean(horizon.labels != truth)
        assert wrong < 0.02 < np.mean(copy.labels != truth)


def test_label_maps_may_be_handed_in(kind):
    labels = [scene(i)[1] for i in range(4)]
    handed = kind(None, SIZE, 0.1, 2, label_size=SMALL).predict(window(), labels)
    segmented = kind(Oracle(), SIZE, 0.1, 2, label_size=SMALL).predict(window())
    for a, b in zip(handed.horizons, segmented.horizons, strict=True):
        np.testing.assert_array_equal(a.labels, b.labels)


def test_without_a_segmenter_label_maps_are_needed(kind):
    with pytest.raises(ConfigError, match="was handed no label maps"):
        kind(None, SIZE, 0.1, 2).predict(window())
    with pytest.raises(ConfigError, match="1 step or more"):
        kind(None, SIZE, 0.1, 0)
