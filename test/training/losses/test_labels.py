from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from training.losses.labels import class_weights, cross_entropy
from vidpred_ros.semantics import CAR, MOVING, ROAD


def batch(seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    labels = rng.choice(np.array([0, 1, 2, 3, 255], np.uint8), size=(2, 3, 4, 5))
    return torch.from_numpy(rng.normal(0, 2, (2, 3, 4, 4, 5)).astype(np.float32)), torch.from_numpy(labels)


@pytest.mark.parametrize("weights", [None, (1.0, 3.0, 0.5, 2.0)])
def test_cross_entropy_is_a_mean_over_labelled_pixels(weights: tuple[float, ...] | None) -> None:
    logits, labels = batch()
    weight = np.ones(4) if weights is None else np.array(weights)
    total = count = 0.0
    for b, t, y, x in np.ndindex(labels.shape):
        label = int(labels[b, t, y, x])
        if label != 255:
            z = logits[b, t, :, y, x].numpy().astype(float)
            total += weight[label] * (np.log(np.exp(z).sum()) - z[label])
            count += weight[label]
    got = cross_entropy(logits, labels, None if weights is None else torch.tensor(weights))
    assert float(got) == pytest.approx(total / count, rel=1e-5)


def test_ignored_pixels_teach_nothing() -> None:
    logits, labels = batch()
    logits.requires_grad_()
    (gradient,) = torch.autograd.grad(cross_entropy(logits, labels), logits)
    ignored = labels == 255
    assert not gradient.movedim(2, -1)[ignored].any() and gradient.movedim(2, -1)[~ignored].any(-1).all()
    nothing = cross_entropy(logits, torch.full_like(labels, 255))
    assert nothing.item() == 0 and not torch.autograd.grad(nothing, logits)[0].any()


def test_moving_classes_weigh_more() -> None:
    assert class_weights(19, 1.0) is None
    weights = class_weights(19, 4.0)
    assert weights is not None and weights.tolist() == [4.0 if c in MOVING else 1.0 for c in range(19)]
    assert weights[CAR] == 4 and weights[ROAD] == 1
    few = class_weights(12, 2.0)
    assert few is not None and few.tolist() == [1.0] * 11 + [2.0]
