"""Intersection over union, against a loop over classes and against torchmetrics."""

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidpred_ros.errors import ConfigError
from vidpred_ros.metrics.segmentation import ConfusionMatrix
from vidpred_ros.semantics import IGNORE, MOVING

IDS = st.one_of(st.integers(0, 4), st.just(IGNORE))
MAPS = arrays.arrays(np.uint8, (2, 3, 5), elements=IDS)


def slow_iou(truth, predicted, classes):
    """By the definition, class by class, with sets of pixels."""
    found = {}
    counted = {i for i, t in enumerate(truth.ravel()) if t != IGNORE}
    for c in range(classes):
        a = {i for i in counted if truth.ravel()[i] == c}
        b = {i for i in counted if predicted.ravel()[i] == c}
        found[c] = (len(a & b) / len(a | b) if a | b else None, bool(a))
    return found


@given(MAPS, MAPS)
@settings(max_examples=200, deadline=None)
def test_iou_is_that_of_the_definition(truth, predicted):
    matrix = ConfusionMatrix(5)
    for t, p in zip(truth, predicted, strict=True):
        matrix.update(t, p)
    expected = slow_iou(truth, predicted, 5)
    for c, value in enumerate(matrix.iou()):
        assert np.isnan(value) if expected[c][0] is None else value == pytest.approx(expected[c][0])
    present = [iou for iou, occurs in expected.values() if occurs]
    assert matrix.miou() == (pytest.approx(np.mean(present)) if present else None)
    few = [expected[c][0] for c in (1, 3) if expected[c][1]]
    assert matrix.miou([1, 3]) == (pytest.approx(np.mean(few)) if few else None)


@given(MAPS, MAPS)
@settings(max_examples=50, deadline=None)
def test_matrices_add_up(truth, predicted):
    parts = [ConfusionMatrix(5), ConfusionMatrix(5)]
    whole = ConfusionMatrix(5)
    whole.update(truth, predicted)
    for part, t, p in zip(parts, truth, predicted, strict=True):
        part.update(t, p)
    np.testing.assert_array_equal((parts[0] + parts[1]).counts, whole.counts)


def test_agrees_with_torchmetrics():
    torch = pytest.importorskip("torch")
    classification = pytest.importorskip("torchmetrics.classification")
    random = np.random.default_rng(3)
    truth = random.choice([*range(19), IGNORE], (4, 32, 64)).astype(np.uint8)
    predicted = np.where(random.random(truth.shape) < 0.7, truth, random.integers(0, 19, truth.shape)).astype(np.uint8)
    predicted[truth == IGNORE] = 3
    metric = classification.MulticlassJaccardIndex(19, average="none", ignore_index=IGNORE)
    expected = metric(torch.from_numpy(predicted.astype(int)), torch.from_numpy(truth.astype(int))).numpy()
    matrix = ConfusionMatrix()
    matrix.update(truth, predicted)
    np.testing.assert_allclose(matrix.iou(), expected, rtol=1e-6)
    assert matrix.miou(MOVING) == pytest.approx(expected[list(MOVING)].mean())


def test_a_class_that_is_only_predicted_counts_as_wrong_but_not_as_a_class():
    matrix = ConfusionMatrix(3)
    matrix.update(np.array([0, 0, 1, 1], np.uint8), np.array([0, 2, 1, 2], np.uint8))
    np.testing.assert_array_equal(matrix.iou(), [0.5, 0.5, 0])
    assert matrix.miou() == 0.5
    assert matrix.occurs.tolist() == [True, True, False]


def test_a_predicted_255_is_a_miss_and_a_true_one_is_left_out():
    matrix = ConfusionMatrix(2)
    matrix.update(np.array([0, 0, IGNORE], np.uint8), np.array([0, IGNORE, 1], np.uint8))
    assert matrix.iou()[0] == 0.5
    assert np.isnan(matrix.iou()[1])


def test_nothing_to_score_is_none():
    matrix = ConfusionMatrix()
    matrix.update(np.full((2, 2), IGNORE, np.uint8), np.zeros((2, 2), np.uint8))
    assert matrix.scores() == {"miou": None, "miou_moving": None}


@pytest.mark.parametrize(("truth", "predicted", "what"), [(19, 0, "true"), (0, 42, "predicted"), (200, 200, "true")])
def test_an_id_that_is_no_class_is_named(truth, predicted, what):
    matrix = ConfusionMatrix()
    with pytest.raises(ConfigError, match=f"the {what} label map has an id {max(truth, predicted)}"):
        matrix.update(np.array([truth], np.uint8), np.array([predicted], np.uint8))
    assert not matrix.counts.any()


def test_maps_of_two_sizes_are_refused():
    with pytest.raises(ConfigError, match="cannot be compared"):
        ConfusionMatrix().update(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8))
