from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.vgg import slow_vgg_features
from torch.distributions import Independent, Normal, kl_divergence

from training.losses.perceptual import VggLoss
from training.losses.variational import kl, perceptual_distances


def gaussian(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, 4, 6, generator=generator), torch.randn(3, 4, 6, generator=generator)


def reference(mean: torch.Tensor, log_variance: torch.Tensor) -> Independent:
    return Independent(Normal(mean, log_variance.exp().sqrt()), 1)


def test_kl_is_that_of_torch_distributions() -> None:
    posterior, prior = gaussian(0), gaussian(1)
    assert torch.allclose(kl(posterior, prior), kl_divergence(reference(*posterior), reference(*prior)), rtol=1e-4)
    assert kl(posterior, posterior).abs().max() < 1e-5


def test_kl_to_zeros_is_that_to_the_standard_normal() -> None:
    posterior, zeros = gaussian(2), (torch.zeros(3, 4, 6), torch.zeros(3, 4, 6))
    standard = reference(torch.zeros(6), torch.zeros(6))
    assert torch.allclose(kl(posterior, zeros), kl_divergence(reference(*posterior), standard), rtol=1e-4)
    mean, log_variance = posterior  # Kingma and Welling's formula
    by_hand = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(-1)
    assert torch.allclose(kl(posterior, zeros), by_hand, rtol=1e-4, atol=1e-5)


def test_perceptual_distances_are_equation_3() -> None:
    pictures = np.random.default_rng(0).random((4, 3, 16, 16))
    maps = zip(*(slow_vgg_features(picture) for picture in pictures[:2]), strict=True)
    expected = [np.sqrt(np.mean((a - b) ** 2)) for a, b in maps]
    vgg, (one, true, other, another) = VggLoss(), torch.from_numpy(pictures).float()[:, None]
    first, second = perceptual_distances(vgg, one, true), perceptual_distances(vgg, other, another)
    assert first.tolist() == pytest.approx(expected, rel=1e-3)
    both = perceptual_distances(vgg, torch.cat([one, other]), torch.cat([true, another]))
    assert torch.allclose(both, (first + second) / 2, rtol=1e-4)  # each picture's own norm, then the mean


def test_perceptual_distances_pull_the_prediction_towards_the_truth() -> None:
    vgg, true = VggLoss(), torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    predicted = true.roll(1, dims=-1).requires_grad_()
    before = perceptual_distances(vgg, predicted, true)
    for i in range(5):
        (grad,) = torch.autograd.grad(before[i], predicted, retain_graph=True)
        assert perceptual_distances(vgg, predicted.detach() - 0.002 * grad.sign(), true)[i] < before[i]
    same = true.clone().requires_grad_()  # the root of zero has no slope, and must not make one
    distances = perceptual_distances(vgg, same, true)
    distances.sum().backward()
    assert not distances.any() and torch.isfinite(same.grad).all()
