from __future__ import annotations

import numpy as np
import pytest
import torch

from training.losses.features import feature_matching


def test_sum_over_layers_of_the_mean_absolute_difference() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 4, 6, 8), (2, 8, 3, 4), (2, 1, 2, 2))
    real, fake = ([torch.randn(*shape, generator=generator) for shape in shapes] for _ in range(2))
    wanted = sum(float(np.abs(a.numpy() - b.numpy()).mean()) for a, b in zip(real, fake, strict=True))
    assert float(feature_matching(real, fake)) == pytest.approx(wanted, rel=1e-5)
    assert float(feature_matching(real, real)) == 0


def test_only_what_was_made_gets_a_gradient() -> None:
    real, fake = torch.ones(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    feature_matching([real], [fake]).backward()
    assert real.grad is None
    np.testing.assert_allclose(fake.grad, [-1 / 3] * 3)
