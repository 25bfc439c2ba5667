from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, relu

from vidpred_ros.networks import make_network
from vidpred_ros.networks.config import S2SConfig
from vidpred_ros.networks.s2s import S2S

SIZE, CONTEXT, CLASSES = (16, 32), 3, 5


def network() -> S2S:
    torch.manual_seed(0)
    return S2S(S2SConfig(kind="s2s", size=SIZE, context=CONTEXT, classes=CLASSES, width=0.05, max_steps=10)).eval()


def maps(batch: int, length: int = CONTEXT) -> Tensor:
    rng = np.random.default_rng(1)
    labels = rng.choice(np.array([0, 1, 2, 3, 4, 255], np.uint8), (batch, length, SIZE[0] // 4, SIZE[1] // 4))
    return torch.from_numpy(labels.repeat(4, axis=2).repeat(4, axis=3))


def test_parameters_are_those_of_the_published_stacks() -> None:
    def stack(inputs: int, kernels: tuple[int, ...]) -> int:
        channels = (inputs, 128, 256, 128, 19)
        return sum(k * k * a * b + b for k, a, b in zip(kernels, channels, channels[1:], strict=False))

    wanted = stack(4 * 19, (3, 3, 3, 3)) + stack(5 * 19, (5, 3, 3, 5))
    assert sum(p.numel() for p in make_network(S2SConfig(kind="s2s")).parameters()) == wanted


@torch.no_grad()
def test_a_forecast_by_hand() -> None:
    """Both scales with plain convolutions, and the soft map of one step as the newest input of the next."""
    net, labels = network(), maps(2)
    window = torch.zeros(2, CONTEXT, CLASSES, *SIZE)
    for b, t, y, x in np.ndindex(labels.shape):
        if labels[b, t, y, x] != 255:
            window[b, t, int(labels[b, t, y, x]), y, x] = 5

    def stack(x: Tensor, scale: int) -> Tensor:
        convolutions = [layer for layer in net.scales[scale] if hasattr(layer, "weight")]
        for i, layer in enumerate(convolutions):
            dilation = 2 if i in (1, 2) else 1
            padding = dilation * (layer.weight.shape[-1] // 2)
            x = conv2d(x, layer.weight, layer.bias, padding=padding, dilation=dilation)
            x = relu(x) if i < 3 else x
        return x

    made = []
    for _ in range(3):
        small = (window[..., ::2, ::2] + window[..., 1::2, ::2] + window[..., ::2, 1::2] + window[..., 1::2, 1::2]) / 4
        coarse = stack(small.flatten(1, 2), 0)
        guess = coarse.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        made.append(guess + stack(torch.cat([window.flatten(1, 2), guess], 1), 1))
        window = torch.cat([window[:, 1:], made[-1][:, None]], 1)
    got = net(labels, None, None, 3)
    assert got.shape == (2, 3, CLASSES, *SIZE) and torch.allclose(got, torch.stack(made, 1), atol=1e-5)


def test_what_does_not_fit_is_refused() -> None:
    net = network()
    with pytest.raises(ValueError, match="neither"):
        net(maps(1), maps(1), torch.zeros(1, CONTEXT, 2, *SIZE), 1)
    with pytest.raises(ValueError, match="contexts"):
        net(maps(1, CONTEXT + 1), None, None, 1)
