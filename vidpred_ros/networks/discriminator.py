"""The discriminator of Shouno 2020 (arXiv:2004.04716), section 3.2: is the next frame real, given the 8 before it?

Five groups of residual blocks for the discriminator (RBD), (1, 2, 2, 2, 2) of them with (64, 128, 512, 1024, 2048)
channels, each group followed by spatial average pooling; temporal average pooling after the last; then a decision for
each of N x M patches. It is used in training only and is no part of a released model.

The text that we have does not show Figure 2 with the block's details. Our reading, as close to the generator's as it can
be: an RBD is the generator's residual block with spectral norm in place of batch norm, that is relu(conv(relu(conv(x)))
+ skip(x)) with 3x3x3 convolutions that have a bias and pad by one in time and space, and a 1x1x1 convolution as skip
where the number of channels changes, else the identity. Pooling is 2x2 and halves the size, so 128x160 gives 4x5
patches; a side that is odd on the way is rounded up and nothing is left out. The temporal pooling is the mean over all
9 frames, the decision a 1x1 convolution. Spectral norm (Miyato 2018, one power iteration for each pass) is on every
convolution, the decision's too. Pixels enter as 2 x - 1, centred: from [0, 1] it learnt markedly slower in our trials.

522.8 M parameters at width 1.0, in this reading; 32.7 M at 0.25. The paper gives no number.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from vidpred_ros.networks.config import WINDOW

#: Residual blocks of the five groups, and their channels at width 1.0 (Shouno 2020, section 3.2).
BLOCKS = (1, 2, 2, 2, 2)
CHANNELS = (64, 128, 512, 1024, 2048)


class ResidualBlock(nn.Module):
    """RBD: (B, inputs, T, H, W) -> (B, outputs, T, H, W)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = spectral_norm(nn.Conv3d(inputs, outputs, 3, padding=1))
        self.conv2 = spectral_norm(nn.Conv3d(outputs, outputs, 3, padding=1))
        self.skip = nn.Identity() if inputs == outputs else spectral_norm(nn.Conv3d(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv2(F.relu(self.conv1(x))) + self.skip(x))


class Discriminator(nn.Module):
    """D(futures, frames): logits of patches, positive for what looks real. Height and width: any above 16.

    ``futures`` (B, K, 3, H, W) are true or predicted, ``frames`` (B, 8, 3, H, W) the window that they follow, all RGB in
    [0, 1]; -> (B, K, N, M) with N = H / 32 and M = W / 32, rounded up. The paper trains for K = 1. With more, each
    future is judged by itself after the 8 frames that precede it in ``frames`` and ``futures`` together, which is what a
    recursion saw when it predicted it. A direct rollout may leave steps out: then they are missing before the true and
    the predicted future alike.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.groups = nn.ModuleList()
        inputs = 3
        for count, channels in zip(BLOCKS, CHANNELS, strict=True):
            outputs = max(4, round(channels * width))
            blocks = (ResidualBlock(inputs if i == 0 else outputs, outputs) for i in range(count))
            self.groups.append(nn.Sequential(*blocks))
            inputs = outputs
        self.decide = spectral_norm(nn.Conv2d(inputs, 1, 1))

    def forward(self, futures: Tensor, frames: Tensor) -> Tensor:
        if frames.shape[1] != WINDOW or futures.shape[2:] != frames.shape[2:] or min(frames.shape[3:]) <= 16:
            shapes = f"{tuple(frames.shape)} and {tuple(futures.shape)}"
            raise ValueError(f"expected {WINDOW} frames and futures of their size, sides above 16, got {shapes}")
        batch, steps = futures.shape[:2]
        video = 2 * torch.cat([frames, futures], dim=1) - 1
        windows = torch.stack([video[:, k : k + WINDOW + 1] for k in range(steps)], dim=1).flatten(0, 1)
        x = windows.transpose(1, 2).contiguous(memory_format=torch.channels_last_3d)
        with parametrize.cached():
            self._normalise(x.device.type)
            for group in self.groups:
                x = F.avg_pool3d(group(x), (1, 2, 2), ceil_mode=True)
            logits = self.decide(x.mean(dim=2))
        return logits.float().unflatten(0, (batch, steps)).squeeze(2)

    def _normalise(self, device: str) -> None:
        """Compute the normalised weights for the cache in float32: CUDA's autocast would do the power iteration in half."""
        with torch.autocast(device, enabled=False):
            for module in self.modules():
                if parametrize.is_parametrized(module, "weight"):
                    _ = module.weight
