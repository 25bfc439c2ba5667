"""The segmenter: label maps from frames, by cross-entropy; the backbone starts from ImageNet."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from training.losses.labels import cross_entropy
from training.recipe import Recipe, SegmenterLoss
from vidpred_ros.networks.config import SegmenterConfig
from vidpred_ros.networks.efficientnet import pretrained
from vidpred_ros.networks.segmenter import Segmenter
from vidpred_ros.semantics import CAR, IGNORE, MOVING, POLE, TRAFFIC_LIGHT, TRAFFIC_SIGN

#: Blocks of the backbone, with the stem, that stay as ImageNet made them: edges and textures are the same everywhere, and at
#: strides 2 and 4 these layers are most of the backward pass.
FROZEN = 3
#: What streets are poor in: each of these covers less than a hundredth of most drives.
SMALL = (POLE, TRAFFIC_LIGHT, TRAFFIC_SIGN, *(c for c in MOVING if c != CAR))


class SegmenterTask:
    """One network, whose backbone keeps ImageNet's statistics in its batch norms: a batch of frames from a few drives has
    poorer ones.

    A recipe with ``init`` starts from those weights instead. Raises ModelError when ImageNet's are not installed.
    """

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        assert isinstance(recipe.network, SegmenterConfig) and isinstance(recipe.loss, SegmenterLoss)
        self.loss = recipe.loss
        self.network = Segmenter(recipe.network)
        if recipe.init is None:
            self.network.backbone.load_state_dict(pretrained(0).state_dict())
        self.network.to(device)
        self.networks: dict[str, nn.Module] = {"generator": self.network}

    def losses(
        self, which: str, batch: dict[str, Tensor], rng: np.random.Generator, adversarial: bool
    ) -> dict[str, Tensor]:
        """``batch`` has image (B, 3, H, W) float32 in [0, 1] and labels (B, H, W) uint8, 255 = ignore."""
        backbone = self.network.backbone.eval()
        for layer in (backbone.stem, backbone.stem_norm, *backbone.blocks[:FROZEN]):
            layer.requires_grad_(False)
        images, labels = mixed(batch["image"], batch["labels"], self.loss.mix)
        logits = self.network(images.contiguous(memory_format=torch.channels_last)).float()
        return {"nll": cross_entropy(logits, labels, rarity_weights(labels, logits.shape[1], self.loss.rare))}


def mixed(images: Tensor, labels: Tensor, chance: float) -> tuple[Tensor, Tensor]:
    """Images (B, 3, H, W) and labels (B, H, W) of which some have the ``SMALL`` things of the one before them pasted on.

    After ClassMix (Olsson 2021), with true labels: a pedestrian is then seen before many walls, at a height that is his.
    """
    others = labels.roll(1, dims=0)
    chosen = torch.rand(len(labels), 1, 1, device=labels.device) < chance
    pasted = chosen & torch.isin(others, torch.tensor(SMALL, dtype=others.dtype, device=others.device))
    return torch.where(pasted[:, None], images.roll(1, dims=0), images), torch.where(pasted, others, labels)


def rarity_weights(labels: Tensor, classes: int, rare: float) -> Tensor:
    """(classes,) weights 1 / ln(rare + share), where share is a class's part of the labelled pixels, 0 to 1."""
    counts = torch.bincount(labels[labels != IGNORE].long(), minlength=classes).float()
    return 1 / torch.log(rare + counts / counts.sum().clamp(min=1))
