"""Mathieu 2016: the multi-scale generator with Lp and gradient-difference losses, and its adversary at every scale."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from training.losses.adversarial import bce_discriminator, bce_generator, mean_logits
from training.losses.gradient import gdl, lp
from training.recipe import MultiScaleLoss, Recipe
from vidpred_ros.errors import ConfigError
from vidpred_ros.networks.config import WINDOW, MultiScaleConfig
from vidpred_ros.networks.multiscale import LEAST_PATCH, MultiScale, MultiScaleDiscriminator, scaled_frames


class MultiScaleTask:
    """Sections 2 and 3: one pass of the generator, judged at each scale; frames are in [-1, 1] for every loss.

    Each term is a sum over all four scales of means over pixels and samples. The paper writes such a sum for the adversarial
    loss alone; that Lp and GDL are summed too, and not taken at the full size only, is how we read it. Raises ConfigError when
    the training frames or patches are too small for the discriminator.
    """

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        assert isinstance(recipe.network, MultiScaleConfig) and isinstance(recipe.loss, MultiScaleLoss)
        self.config, self.loss = recipe.network, recipe.loss
        self.generator = MultiScale(recipe.network).to(device)
        self.networks: dict[str, nn.Module] = {"generator": self.generator}
        self.weight = 0.0
        self.logits: dict[str, Tensor] = {}
        if recipe.adversarial is not None:
            patch = recipe.data.patch
            size = recipe.data.size if patch is None else (patch, patch)
            if min(size) < LEAST_PATCH:
                raise ConfigError(f"data.patch: the discriminator needs at least {LEAST_PATCH}, got {min(size)}")
            discriminator = MultiScaleDiscriminator(recipe.network, size, recipe.adversarial.width)
            self.networks["discriminator"] = discriminator.to(device)
            self.weight = recipe.adversarial.weight

    def losses(
        self, which: str, batch: dict[str, Tensor], rng: np.random.Generator, adversarial: bool
    ) -> dict[str, Tensor]:
        clip = 2 * batch["frames"][:, WINDOW - self.config.inputs : WINDOW + self.config.outputs] - 1
        window, future = clip[:, : self.config.inputs], clip[:, self.config.inputs :]
        if which == "discriminator":
            with torch.no_grad():
                fakes = self.judged(window, self.generator.pyramid(window))
            reals = self.judged(window, scaled_frames(future, self.config.scales))
            judge = self.networks["discriminator"]
            of_reals, of_fakes = judge(reals), judge(fakes)
            self.logits = mean_logits(of_reals, of_fakes)
            terms = [bce_discriminator(real, fake) for real, fake in zip(of_reals, of_fakes, strict=True)]
            return {"discriminator": torch.stack(terms).sum()}
        predicted = self.generator.pyramid(window)
        pairs = list(zip(predicted, scaled_frames(future, self.config.scales), strict=True))
        weights, losses = self.loss, {}
        if weights.lp:
            losses["lp"] = weights.lp * torch.stack([lp(a, b, weights.p) for a, b in pairs]).sum()
        if weights.gdl:
            losses["gdl"] = weights.gdl * torch.stack([gdl(a, b, weights.alpha) for a, b in pairs]).sum()
        if adversarial:
            fakes = self.networks["discriminator"](self.judged(window, predicted))
            losses["adversarial"] = self.weight * torch.stack([bce_generator(fake) for fake in fakes]).sum()
        return losses

    def judged(self, window: Tensor, futures: list[Tensor]) -> list[Tensor]:
        """Input frames and futures as the discriminator takes them: one clip for each scale."""
        windows = scaled_frames(window, self.config.scales)
        return [torch.cat(pair, dim=1) for pair in zip(windows, futures, strict=True)]
