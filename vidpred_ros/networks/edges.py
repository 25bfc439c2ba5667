"""The edge generator of HVP (Lee 2021, appendix C.2): where the boundaries of objects lie in a label map.

The paper takes the encoder-decoder of EdgeConnect (Nazeri 2019): a 7x7 convolution, two 4x4 convolutions of stride 2, residual
blocks whose first convolution has dilation 2, two transposed 4x4 convolutions, a 7x7 convolution and a sigmoid; instance
norm and ReLU between them; channels (64, 128, 256). Here its input is a one-hot label map where EdgeConnect has a gray picture,
its edges and a mask. We leave out the spectral norm that EdgeConnect puts on the generator too: instance norm follows each of
those layers and undoes any scale of their weights.

10.8 M parameters at width 1.0 with 8 blocks.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from vidpred_ros.networks.config import EdgesConfig

#: Channels at width 1.0, before and after each of the two strided convolutions.
CHANNELS = (64, 128, 256)


class DilatedBlock(nn.Module):
    """x + f(x), f of two 3x3 convolutions, the first with dilation 2; no ReLU after the sum. (B, C, H, W), same size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for dilation in (2, 1):
            layers += [nn.ReflectionPad2d(dilation), nn.Conv2d(channels, channels, 3, dilation=dilation)]
            layers += [nn.InstanceNorm2d(channels), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class EdgeGenerator(nn.Module):
    """G_edge: one-hot label maps (B, C, H, W) -> probability of a boundary (B, 1, H, W) float32 in [0, 1].

    Height and width are multiples of 4, at least 16; raises ValueError otherwise.
    """

    def __init__(self, config: EdgesConfig) -> None:
        super().__init__()
        self.config = config
        channels = [max(4, round(c * config.width)) for c in CHANNELS]
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(config.classes, channels[0], 7), *_norm(channels[0])]
        for below, above in pairwise(channels):
            layers += [nn.Conv2d(below, above, 4, stride=2, padding=1), *_norm(above)]
        layers += [DilatedBlock(channels[-1]) for _ in range(config.blocks)]
        for above, below in pairwise(reversed(channels)):
            layers += [nn.ConvTranspose2d(above, below, 4, stride=2, padding=1), *_norm(below)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(channels[0], 1, 7)]
        self.layers = nn.Sequential(*layers)
        self.apply(_initialise)

    def forward(self, onehot: Tensor) -> Tensor:
        return torch.sigmoid(self.logits(onehot))

    def logits(self, onehot: Tensor) -> Tensor:
        """What the sigmoid is taken of, (B, 1, H, W) float32."""
        height, width = onehot.shape[-2:]
        if height % 4 or width % 4 or min(height, width) < 16:
            raise ValueError(f"label maps of {height}x{width}: sides must be multiples of 4, at least 16")
        return self.layers(onehot.contiguous(memory_format=torch.channels_last)).float()


def _norm(channels: int) -> list[nn.Module]:
    return [nn.InstanceNorm2d(channels), nn.ReLU()]


def _initialise(module: nn.Module) -> None:
    """Weights from N(0, 0.02), biases 0, as EdgeConnect starts."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, std=0.02)
        assert module.bias is not None
        nn.init.zeros_(module.bias)
