"""The discriminators of the pixel generator (Lee 2021, equations 4 and 5), those of vid2vid (Wang 2018) in its default settings.

Each is a patch discriminator at several sizes of the picture: four 4x4 convolutions with channels 64, 128, 256, 512 and strides
2, 2, 2, 1, batch norm after all but the first, leaky ReLUs (0.2), and a 4x4 convolution that decides for each patch. The next
one sees the picture halved. D_I is given a frame with its structure. D_V is given tau' = 3 frames in a row and the two flows
between them, but no structure: equation 5 names none. vid2vid has three D_V, for every frame, every third and every ninth; the
paper's equation has one, and so have we. Used in training only, no part of a released model.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidpred_ros.networks.pixels import FLOW_UNIT

#: Frames that the video discriminator sees (tau').
VIDEO = 3
#: Channels at width 1.0 and strides of all convolutions but the last.
CHANNELS, STRIDES = (64, 128, 256, 512), (2, 2, 2, 1)


class PatchDiscriminator(nn.Module):
    """(B, inputs, H, W) -> feature maps of the five layers, float32; the last, (B, 1, N, M), holds the logits."""

    def __init__(self, inputs: int, width: float = 1.0) -> None:
        super().__init__()
        channels = [inputs, *(max(4, round(c * width)) for c in CHANNELS)]
        self.layers = nn.ModuleList()
        for i, stride in enumerate(STRIDES):
            layer = [nn.Conv2d(channels[i], channels[i + 1], 4, stride=stride, padding=2)]
            norm = [nn.BatchNorm2d(channels[i + 1])] if i else []
            self.layers.append(nn.Sequential(*layer, *norm, nn.LeakyReLU(0.2)))
        self.decide = nn.Conv2d(channels[-1], 1, 4, padding=2)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for layer in self.layers:
            x = layer(x)
            maps.append(x.float())
        return [*maps, self.decide(x).float()]


class PatchPyramid(nn.Module):
    """A patch discriminator for each of ``scales`` sizes, the full one first: (B, inputs, H, W) -> their lists of maps."""

    def __init__(self, inputs: int, scales: int, width: float = 1.0) -> None:
        super().__init__()
        self.scales = nn.ModuleList(PatchDiscriminator(inputs, width) for _ in range(scales))
        self.apply(_initialise)

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        maps = []
        for i, judge in enumerate(self.scales):
            if i:
                x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
            maps.append(judge(x))
        return maps


class PixelDiscriminators(nn.Module):
    """D_I and D_V. Frames are RGB in [0, 1]; ``structure`` channels are classes and, if there is one, the boundary map."""

    def __init__(self, structure: int, scales: int = 2, width: float = 1.0) -> None:
        super().__init__()
        self.image = PatchPyramid(3 + structure, scales, width)
        self.video = PatchPyramid(3 * VIDEO + 2 * (VIDEO - 1), scales, width)

    def judge_frame(self, frame: Tensor, structure: Tensor) -> list[list[Tensor]]:
        """D_I: frames (B, 3, H, W) and their structures (B, C, H, W)."""
        return self.image(torch.cat([2 * frame - 1, structure], dim=1))

    def judge_video(self, frames: Tensor, flows: Tensor) -> list[list[Tensor]]:
        """D_V: frames (B, 3, 3, H, W) in a row and the flows in pixels of the later two, (B, 2, 2, H, W)."""
        return self.video(torch.cat([2 * frames.flatten(1, 2) - 1, flows.flatten(1, 2) / FLOW_UNIT], dim=1))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, std=0.02)
        assert module.bias is not None
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
