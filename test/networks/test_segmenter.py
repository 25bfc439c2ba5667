"""The segmenter's shapes, its resolution, and that its batch norms fold away."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vidpred_ros.engines.graph import fold_batch_norms
from vidpred_ros.networks import make_network
from vidpred_ros.networks.config import SegmenterConfig


def make(features: int = 8, classes: int = 19) -> nn.Module:
    torch.manual_seed(0)
    return make_network(SegmenterConfig(kind="segmenter", features=features, classes=classes)).eval()


@pytest.mark.parametrize("size", [(64, 128), (48, 80), (50, 70)])
def test_logits_have_the_frames_size(size: tuple[int, int]) -> None:
    assert make()(torch.rand(2, 3, *size)).shape == (2, 19, *size)


def test_norms_fold_away() -> None:
    network = make()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.2, 0.2)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
    images = torch.rand(1, 3, 64, 64)
    before = network(images)
    folded = fold_batch_norms(network)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    torch.testing.assert_close(folded(images), before, rtol=1e-3, atol=1e-4)


def test_every_stride_is_used() -> None:
    """Each of the four maps of the backbone has a part in the logits."""
    network = make()
    images = torch.rand(1, 3, 64, 64)
    network(images).square().sum().backward()
    layers = [network.top, *(merge.lateral for merge in network.merges)]
    assert len(layers) == 4 and all(layer.weight.grad.abs().max() > 0 for layer in layers)


def test_the_released_size() -> None:
    """EfficientNet-Lite0's backbone and a decoder of a tenth of it."""
    network = make(64)
    assert 3.0e6 < sum(p.numel() for p in network.parameters()) < 3.2e6
