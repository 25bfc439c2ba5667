"""The multi-scale generator and discriminator of Mathieu 2016 (arXiv:1511.05440), section 2 and Table 1.

Generator: at scales 1/8, 1/4, 1/2 and 1 of the frame, the coarsest first,
Y_k = tanh(u_k(Y_{k-1}) + G'_k(X_k, u_k(Y_{k-1}))), where X_k are the input frames at that scale, u_k upscales by 2 and
G'_k is a stack of padded convolutions with ReLUs between them; G'_1 sees X_1 alone. Four frames in and one out (further
frames by recursion: the finest prediction becomes the newest input frame), or eight in and eight out in one pass.
Inside, colours lie in [-1, 1].

Discriminator: at each scale unpadded convolutions and fully connected layers judge input and future frames together.
The finest scale has a 2x2 max pooling after its convolutions. The size of the first fully connected layers follows
the training patch: a discriminator for patches of 64 has its own and starts anew, as in the authors' code; only the
generator, which is fully convolutional, is carried over from patches of 32.

What the paper leaves open is done as in the authors' published code: average pooling to a scale, nearest-neighbour
upscaling, a tanh at every scale, and six convolutions at s_3 (Table 1 names five kernels there, for five maps and an
output). The paper does not describe the single-scale network of Table 2; ours is the finest scale without a guess.

Parameters at width 1.0: generator 12.6 M (4 frames in, 1 out), 13.3 M (8 in, 8 out), single-scale 8.3 M; discriminator
for patches of 32 20.6 M, of 64 193.7 M, nearly all in the fully connected layers of the two finest scales (4 in, 1 out).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidpred_ros.networks.config import WINDOW, MultiScaleConfig

#: Feature maps and kernel sizes of the generator at each scale, the coarsest first (Table 1).
GENERATOR = (
    ((128, 256, 128), (3, 3, 3, 3)),
    ((128, 256, 128), (5, 3, 3, 5)),
    ((128, 256, 512, 256, 128), (5, 3, 3, 3, 3, 5)),
    ((128, 256, 512, 256, 128), (7, 5, 5, 5, 5, 7)),
)
#: Feature maps, kernel sizes and fully connected units of the discriminator (Table 1); one more unit is the output.
DISCRIMINATOR = (
    ((64,), (3,), (512, 256)),
    ((64, 128, 128), (3, 3, 3), (1024, 512)),
    ((128, 256, 256), (5, 5, 5), (1024, 512)),
    ((128, 256, 512, 128), (7, 7, 5, 5), (1024, 512)),
)
#: Least height and width of a patch that the discriminator's unpadded convolutions fit in.
LEAST_PATCH = 32


def scaled_frames(frames: Tensor, scales: int) -> list[Tensor]:
    """Frames (B, T, 3, H, W) at 1/2^(scales-1), ..., 1/2 and 1 of their size, the coarsest first."""
    pixels = frames.flatten(1, 2)
    factors = [2**k for k in reversed(range(1, scales))]
    return [F.avg_pool2d(pixels, factor).unflatten(1, (-1, 3)) for factor in factors] + [frames]


def _maps(maps: Sequence[int], width: float) -> list[int]:
    return [max(4, round(m * width)) for m in maps]


class MultiScale(nn.Module):
    """Generator G. Frames are RGB in [0, 1]; height and width are multiples of 8 (of 1 with a single scale).

    ``forward(frames, flows, steps)``: frames (B, 8, 3, H, W), of which a 4-frame network sees the last four ->
    (B, K, 3, H, W) in [0, 1] for ``steps`` 1..K. Flows and noise are not used. Raises ValueError for other sizes or steps.
    """

    def __init__(self, config: MultiScaleConfig) -> None:
        super().__init__()
        self.config = config
        self.scales = nn.ModuleList()
        for maps, kernels in GENERATOR[-config.scales :]:
            inputs = 3 * config.inputs + (3 * config.outputs if len(self.scales) else 0)
            channels = [inputs, *_maps(maps, config.width), 3 * config.outputs]
            layers: list[nn.Module] = []
            for (below, above), kernel in zip(pairwise(channels), kernels, strict=True):
                layers += [nn.Conv2d(below, above, kernel, padding=kernel // 2), nn.ReLU()]
            self.scales.append(nn.Sequential(*layers[:-1]))  # no ReLU after the last convolution

    def forward(
        self, frames: Tensor, flows: Tensor | None, steps: Sequence[int], noise: Tensor | None = None
    ) -> Tensor:
        self._check(frames, steps)
        config = self.config
        window = 2 * frames[:, -config.inputs :] - 1
        futures: list[Tensor] = []
        while len(futures) * config.outputs < len(steps):
            futures.append(self.pyramid(window)[-1])
            window = torch.cat([window, futures[-1]], dim=1)[:, -config.inputs :]
        return (torch.cat(futures, dim=1)[:, : len(steps)] + 1) / 2

    def pyramid(self, window: Tensor) -> list[Tensor]:
        """The prediction of one pass at every scale, the coarsest first, as the losses want it.

        window (B, inputs, 3, H, W) in [-1, 1] -> (B, outputs, 3, H_k, W_k) float32 in [-1, 1] for each scale.
        """
        guess: Tensor | None = None
        predictions = []
        for frames, layers in zip(scaled_frames(window, self.config.scales), self.scales, strict=True):
            x = frames.flatten(1, 2)
            if guess is None:
                total = layers(x).float()
            else:
                guess = F.interpolate(guess, scale_factor=2.0, mode="nearest")
                total = guess + layers(torch.cat([x, guess], dim=1)).float()
            guess = torch.tanh(total)
            predictions.append(guess.unflatten(1, (-1, 3)))
        return predictions

    def _check(self, frames: Tensor, steps: Sequence[int]) -> None:
        _, count, _, height, width = frames.shape
        factor = 2 ** (self.config.scales - 1)
        if count != WINDOW or height % factor or width % factor:
            raise ValueError(f"expected {WINDOW} frames with sides that {factor} divides, got {count} of {height}x{width}")
        if not steps or list(steps) != list(range(1, len(steps) + 1)) or len(steps) > self.config.max_steps:
            raise ValueError(f"expected steps 1, 2, ... K with K up to {self.config.max_steps}, got {list(steps)}")


class MultiScaleDiscriminator(nn.Module):
    """D_1, ..., D_4, for patches of ``size`` (height, width); ``width`` scales the maps and the fully connected units.

    ``forward(clips)``: input and future frames together, (B, inputs + outputs, 3, H_k, W_k) in [-1, 1] for each scale
    of the generator, the coarsest first -> one logit (B,) for each scale; high: the future is from the dataset.
    Raises ValueError when the size is below ``LEAST_PATCH``.
    """

    def __init__(self, config: MultiScaleConfig, size: tuple[int, int], width: float = 1.0) -> None:
        super().__init__()
        if min(size) < LEAST_PATCH:
            raise ValueError(f"the discriminator needs patches of at least {LEAST_PATCH}x{LEAST_PATCH}, got {size}")
        self.scales = nn.ModuleList()
        for k, (maps, kernels, units) in enumerate(DISCRIMINATOR[-config.scales :]):
            finest = k == config.scales - 1
            channels = [3 * (config.inputs + config.outputs), *_maps(maps, width)]
            layers: list[nn.Module] = []
            for (below, above), kernel in zip(pairwise(channels), kernels, strict=True):
                layers += [nn.Conv2d(below, above, kernel), nn.ReLU()]
            sides = [side // 2 ** (config.scales - 1 - k) - sum(kernels) + len(kernels) for side in size]
            if finest:
                layers.append(nn.MaxPool2d(2))
                sides = [side // 2 for side in sides]
            layers.append(nn.Flatten())
            for below, above in pairwise([channels[-1] * sides[0] * sides[1], *_maps(units, width), 1]):
                layers += [nn.Linear(below, above), nn.ReLU()]
            self.scales.append(nn.Sequential(*layers[:-1]))

    def forward(self, clips: Sequence[Tensor]) -> list[Tensor]:
        return [d(clip.flatten(1, 2)).float().squeeze(1) for d, clip in zip(self.scales, clips, strict=True)]
