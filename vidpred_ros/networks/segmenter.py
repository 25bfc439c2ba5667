"""The segmenter (ours): a frame's label map from EfficientNet-Lite0's features and a light top-down decoder."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from vidpred_ros.networks.config import SegmenterConfig
from vidpred_ros.networks.efficientnet import FEATURES, EfficientNetLite0


class Merge(nn.Module):
    """The coarser map, enlarged to the finer one's size, plus the finer features; then one 3x3 convolution."""

    def __init__(self, inputs: int, features: int) -> None:
        super().__init__()
        self.lateral = nn.Conv2d(inputs, features, 1, bias=False)
        self.lateral_norm = nn.BatchNorm2d(features)
        self.smooth = nn.Conv2d(features, features, 3, padding=1, bias=False)
        self.smooth_norm = nn.BatchNorm2d(features)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        fine = self.lateral_norm(self.lateral(fine))
        coarse = F.interpolate(coarse, fine.shape[-2:], mode="bilinear", align_corners=False)
        return F.relu(self.smooth_norm(self.smooth(coarse + fine)))


class Segmenter(nn.Module):
    """Feature pyramid (Lin 2017) from stride 32 to stride 4; the logits are enlarged to the frame, bilinearly.

    Made untrained; training starts its ``backbone`` from ImageNet (``networks.efficientnet.pretrained``).
    """

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__()
        self.config = config
        features = config.features
        self.backbone = EfficientNetLite0(classes=0)
        self.top = nn.Conv2d(FEATURES[-1], features, 1, bias=False)
        self.top_norm = nn.BatchNorm2d(features)
        self.merges = nn.ModuleList(Merge(channels, features) for channels in reversed(FEATURES[:-1]))
        self.logits = nn.Conv2d(features, config.classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) RGB in [0, 1] to logits (B, classes, H, W)."""
        *finer, coarsest = self.backbone.features(images)
        x = F.relu(self.top_norm(self.top(coarsest)))
        for merge, fine in zip(self.merges, reversed(finer), strict=True):
            x = merge(x, fine)
        return F.interpolate(self.logits(x), images.shape[-2:], mode="bilinear", align_corners=False)
