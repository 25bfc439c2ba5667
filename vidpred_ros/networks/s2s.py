"""The future-segmentation baseline S2S of Luc 2017 (arXiv:1703.07684): S2S-dil, which the autoregressive fine-tuning makes AR.

Two scales as in Mathieu 2016: the coarse one (1/2) sees the four label maps, averaged; the fine one sees them and the coarse
result, enlarged, and adds to it. Each is a stack of convolutions of 128, 256, 128 channels and one for each class, kernels 3, 3,
3, 3 and 5, 3, 3, 5, ReLUs between. Longer futures by recursion: the soft map of a step, not its arg-max, is the next input.

We know the paper through Lee 2021, table 3 and appendix B.3.2, and through its published code. Where they leave things open:
- Dilation ("dil") of 2 in the two inner convolutions of both scales.
- In and out are a segmenter's scores before the softmax. Label maps have none: we take SCORE for a pixel's class and 0 for the
  others (0 for all at an ignored pixel). What comes out is of that kind too: it is handed on as it is and serves as logits. (With a
  softmax at the end, the l1 loss has no slope left where a map is surely wrong: small classes were never learnt.)

Parameters at width 1.0 with 19 classes: 1.7 M; one step at 128x256: 74 GFLOP.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidpred_ros.networks.config import S2SConfig

#: Feature maps at width 1.0; kernel sizes and dilations of the four convolutions, of the coarse and of the fine scale.
MAPS = (128, 256, 128)
KERNELS = ((3, 3, 3, 3), (5, 3, 3, 5))
DILATIONS = (1, 2, 2, 1)
#: The score of a pixel's own class; the softmax of it and of 18 zeros is 0.88.
SCORE = 5.0


def pooled(maps: Tensor) -> Tensor:
    """Soft maps (..., C, H, W) at the coarse scale."""
    return F.avg_pool2d(maps.flatten(0, -4), 2).unflatten(0, maps.shape[:-3])


class S2S(nn.Module):
    """Label maps (B, T, H, W), of any integer type, 255 = ignore, of ``config.size``."""

    def __init__(self, config: S2SConfig) -> None:
        super().__init__()
        self.config = config
        self.scales = nn.ModuleList()
        for kernels in KERNELS:
            inputs = config.classes * (config.context + len(self.scales))
            channels = [inputs, *(max(4, round(m * config.width)) for m in MAPS), config.classes]
            layers: list[nn.Module] = []
            for (below, above), kernel, dilation in zip(pairwise(channels), kernels, DILATIONS, strict=True):
                layers += [nn.Conv2d(below, above, kernel, padding=kernel // 2 * dilation, dilation=dilation), nn.ReLU()]
            self.scales.append(nn.Sequential(*layers[:-1]))

    def forward(
        self, labels: Tensor, moved: Tensor | None, flows: Tensor | None, steps: int, noise: Tensor | None = None
    ) -> Tensor:
        """Logits (B, K, C, H, W) of the K = ``steps`` maps after contexts (B, T, H, W). There is no motion prior or noise."""
        config = self.config
        if moved is not None or flows is not None or noise is not None:
            raise ValueError("S2S takes neither a motion prior nor noise")
        if labels.shape[1:] != (config.context, *config.size):
            raise ValueError(f"expected contexts of {config.context} maps of {config.size}, got {tuple(labels.shape[1:])}")
        return torch.stack([fine for _, fine in self.roll_out(self.scores(labels), steps)], dim=1)

    def roll_out(self, window: Tensor, steps: int) -> list[tuple[Tensor, Tensor]]:
        """The coarse (B, C, H / 2, W / 2) and the fine (B, C, H, W) scores of each step, from soft maps (B, T, C, H, W)."""
        made: list[tuple[Tensor, Tensor]] = []
        for _ in range(steps):
            if made:
                window = torch.cat([window[:, 1:], made[-1][1][:, None]], dim=1)
            made.append(self.step(window))
        return made

    def step(self, window: Tensor) -> tuple[Tensor, Tensor]:
        coarse: Tensor = self.scales[0](pooled(window).flatten(1, 2)).float()
        below = F.interpolate(coarse, scale_factor=2.0, mode="nearest")
        return coarse, below + self.scales[1](torch.cat([window.flatten(1, 2), below], dim=1)).float()

    def scores(self, labels: Tensor) -> Tensor:
        """Label maps (..., H, W) as soft maps (..., C, H, W) float32."""
        classes = torch.arange(self.config.classes, dtype=torch.int32, device=labels.device)
        return SCORE * (labels.to(torch.int32)[..., None, :, :] == classes[:, None, None]).float()
