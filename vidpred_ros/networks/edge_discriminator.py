"""The patch discriminator of the edge generator (Lee 2021, equation 9; Nazeri 2019): does this boundary map suit this label map?

Five 4x4 convolutions with spectral norm, strides 2, 2, 2, 1, 1, channels 64, 128, 256, 512, 1 and leaky ReLUs (0.2) between them:
each decision looks at a patch of 70x70 pixels. Used in training only, no part of a released model.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

#: Channels at width 1.0 and strides of all convolutions but the last.
CHANNELS, STRIDES = (64, 128, 256, 512), (2, 2, 2, 1)
#: The smallest side of a map that leaves the last convolution something to decide on.
LEAST = 24


class EdgeDiscriminator(nn.Module):
    """D(e, s): boundaries (B, 1, H, W) in [0, 1] and one-hot label maps (B, C, H, W) -> feature maps of every layer, float32.

    The last one, (B, 1, N, M) with N = H / 8 - 2 and M = W / 8 - 2, holds the logits: high for what looks real. Sides of
    ``LEAST`` pixels or more.
    """

    def __init__(self, classes: int, width: float = 1.0) -> None:
        super().__init__()
        channels = [classes + 1, *(max(4, round(c * width)) for c in CHANNELS)]
        self.layers = nn.ModuleList(
            spectral_norm(nn.Conv2d(channels[i], channels[i + 1], 4, stride=stride, padding=1, bias=False))
            for i, stride in enumerate(STRIDES)
        )
        self.decide = spectral_norm(nn.Conv2d(channels[-1], 1, 4, padding=1, bias=False))

    def forward(self, edges: Tensor, onehot: Tensor) -> list[Tensor]:
        x = torch.cat([edges.to(onehot.dtype), onehot], dim=1)
        maps = []
        for layer in self.layers:
            x = nn.functional.leaky_relu(layer(x), 0.2)
            maps.append(x.float())
        return [*maps, self.decide(x).float()]
