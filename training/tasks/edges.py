"""Lee 2021, appendix C.2: the edge generator and its patch discriminator, conditional on the label map (equation 9)."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.datasets.boundaries import boundaries
from training.losses.adversarial import bce_discriminator, bce_generator, mean_logits
from training.losses.features import feature_matching
from training.recipe import EdgesLoss, Recipe
from vidpred_ros.networks import make_network
from vidpred_ros.networks.config import EdgesConfig
from vidpred_ros.networks.edge_discriminator import EdgeDiscriminator
from vidpred_ros.networks.edges import EdgeGenerator
from vidpred_ros.networks.pixels import one_hot


class EdgesTask:
    """Equation 9, and as settings EdgeConnect's feature matching (over all layers, the decisions too) and cross-entropy (ours).

    ``batch``: labels (B, H, W) or (B, T, H, W) uint8 train ids, and instances of the same shape where the data knows them.
    Each label map stands for itself.
    """

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        assert isinstance(recipe.network, EdgesConfig) and isinstance(recipe.loss, EdgesLoss)
        self.loss, self.classes = recipe.loss, recipe.network.classes
        self.generator = cast(EdgeGenerator, make_network(recipe.network)).to(device)
        self.networks: dict[str, nn.Module] = {"generator": self.generator}
        self.weight = 0.0
        self.logits: dict[str, Tensor] = {}
        if recipe.adversarial is not None:
            self.networks["discriminator"] = EdgeDiscriminator(self.classes, recipe.adversarial.width).to(device)
            self.weight = recipe.adversarial.weight

    def losses(
        self, which: str, batch: dict[str, Tensor], rng: np.random.Generator, adversarial: bool
    ) -> dict[str, Tensor]:
        labels, true = edge_pairs(batch)
        onehot = one_hot(labels, self.classes)
        if which == "discriminator":
            with torch.no_grad():
                fake = self.generator(onehot)
            judge = self.networks["discriminator"]
            real, made = judge(true, onehot)[-1], judge(fake, onehot)[-1]
            self.logits = mean_logits([real], [made])
            return {"discriminator": bce_discriminator(real, made)}
        logits = self.generator.logits(onehot)
        losses = {}
        if self.loss.bce:
            losses["bce"] = self.loss.bce * F.binary_cross_entropy_with_logits(logits, true)
        if adversarial:
            judge = self.networks["discriminator"]
            seen = judge(torch.sigmoid(logits), onehot)
            losses["adversarial"] = self.weight * bce_generator(seen[-1])
            if self.loss.features:
                with torch.no_grad():
                    wanted = judge(true, onehot)
                losses["features"] = self.loss.features * feature_matching(wanted, seen)
        return losses


def edge_pairs(batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Label maps (N, H, W) of a batch and their true boundaries (N, 1, H, W) float32."""
    labels, instances = batch["labels"], batch.get("instances")
    return labels.flatten(0, -3), boundaries(labels, instances).flatten(0, -3)[:, None].float()
