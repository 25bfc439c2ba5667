"""Shouno 2020: the hierarchical residual generator with MAE and VGG losses, and its adversary with hinge losses."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from training.losses.adversarial import hinge_discriminator, hinge_generator, mean_logits
from training.losses.perceptual import VggLoss, mae
from training.recipe import HierarchicalLoss, Recipe
from vidpred_ros.networks import make_network
from vidpred_ros.networks.config import WINDOW, HierarchicalConfig


class HierarchicalTask:
    """Equations 1 to 6. A direct rollout learns step 1 and some of the later steps each time; a recursion steps 1..K.

    The adversary judges the next frame (the paper's only one): with a direct rollout it is given step 1 alone.
    """

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        assert isinstance(recipe.network, HierarchicalConfig) and isinstance(recipe.loss, HierarchicalLoss)
        self.config, self.loss, self.count = recipe.network, recipe.loss, recipe.futures_per_step
        self.networks: dict[str, nn.Module] = {"generator": make_network(recipe.network).to(device)}
        self.vgg = VggLoss().to(device) if recipe.loss.vgg else None
        self.weight = 0.0
        self.logits: dict[str, Tensor] = {}
        if recipe.adversarial is not None:
            from vidpred_ros.networks.discriminator import Discriminator

            self.networks["discriminator"] = Discriminator(recipe.adversarial.width).to(device)
            self.weight = recipe.adversarial.weight

    def losses(
        self, which: str, batch: dict[str, Tensor], rng: np.random.Generator, adversarial: bool
    ) -> dict[str, Tensor]:
        frames, flows = batch["frames"], batch.get("flows")
        window, generator = frames[:, :WINDOW], self.networks["generator"]
        if which == "discriminator":
            with torch.no_grad():
                fake = generator(window, flows, [1])
            judge = self.networks["discriminator"]
            real, fake = judge(frames[:, WINDOW : WINDOW + 1], window), judge(fake, window)
            self.logits = mean_logits([real], [fake])
            return {"discriminator": hinge_discriminator(real, fake)}
        steps = self.steps(rng)
        predicted = generator(window, flows, steps)
        losses = self.reconstruction(predicted, frames[:, [WINDOW - 1 + k for k in steps]], rng)
        if adversarial:
            logits = self.networks["discriminator"](predicted[:, :1], window)
            losses["adversarial"] = self.weight * hinge_generator(logits)
        return losses

    def steps(self, rng: np.random.Generator) -> list[int]:
        """The future frames that are learnt now: 1 and a draw of the others (direct), or 1..K (recursive)."""
        if self.config.rollout == "recursive":
            return list(range(1, self.count + 1))
        later = np.arange(2, self.config.max_steps + 1)
        return [1, *sorted(rng.choice(later, size=self.count - 1, replace=False).tolist())]

    def reconstruction(self, predicted: Tensor, true: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
        """The MAE and VGG terms of (B, K, 3, H, W) predictions, averaged over the K frames."""
        predicted, true = predicted.float().flatten(0, 1), true.flatten(0, 1)
        losses = {"mae": self.loss.mae * mae(predicted, true)} if self.loss.mae else {}
        if self.vgg is not None:
            if self.loss.vgg_crop is not None:
                predicted, true = same_crop(predicted, true, self.loss.vgg_crop, rng)
            losses["vgg"] = self.loss.vgg * self.vgg(predicted, true)
        return losses


def same_crop(a: Tensor, b: Tensor, size: tuple[int, int], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """The same random rectangle of two batches of images."""
    height, width = (min(want, have) for want, have in zip(size, a.shape[-2:], strict=True))
    top, left = rng.integers(a.shape[-2] - height + 1), rng.integers(a.shape[-1] - width + 1)
    return (
        a[..., top : top + height, left : left + width],
        b[..., top : top + height, left : left + width],
    )
