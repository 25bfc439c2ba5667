from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.vgg import slow_vgg_features

from training.losses.perceptual import VggLoss, mae


def test_mae_is_the_mean_absolute_difference() -> None:
    a, b = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    assert float(mae(a, b)) == pytest.approx(np.abs(a.numpy() - b.numpy()).mean(), rel=1e-5)


def test_vgg_loss_is_equation_6() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 3, 16, 16))
    expected = 0.0
    for x, y in zip(slow_vgg_features(a), slow_vgg_features(b), strict=True):
        x, y = (z / np.maximum(np.sqrt((z**2).sum(0)), 1e-12) for z in (x, y))
        expected += ((x - y) ** 2).sum() / (x.shape[1] * x.shape[2])
    tensors = [torch.from_numpy(z[None]).float() for z in (a, b)]
    assert float(VggLoss()(*tensors)) == pytest.approx(expected, rel=1e-3)


def test_vgg_loss_pulls_the_prediction_towards_the_truth() -> None:
    loss = VggLoss()
    true = torch.rand(1, 3, 32, 32)
    predicted = (true + 0.2 * torch.randn_like(true)).requires_grad_()
    before = loss(predicted, true)
    before.backward()
    assert float(loss(true, true)) == pytest.approx(0, abs=1e-6)
    assert loss(predicted.detach() - 0.02 * predicted.grad.sign(), true) < before
