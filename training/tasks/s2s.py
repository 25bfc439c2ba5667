"""Luc 2017: S2S with lp and gradient difference losses on soft label maps."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from training.losses.gradient import gdl, lp
from training.recipe import Recipe, S2SLoss
from vidpred_ros.networks import make_network
from vidpred_ros.networks.s2s import S2S, pooled
from vidpred_ros.semantics import IGNORE


class S2STask:
    """Both losses at both scales, summed over the scales and over the maps that the network makes by recursion.

    With ``futures_per_step`` 1 that is the training on single maps, with more the autoregressive fine-tuning: gradients
    flow through all steps. Where the truth is not known (255), at the coarse scale in any of 4 pixels, nothing is learnt.

    The paper's losses, l1 and gdl, are for the dense scores of its segmenter. On label maps, of which we make scores, they are
    least where an unsure pixel has no class at all: from random weights small classes are never learnt, and a network that has
    learnt them forgets them. So our recipes have the squared error alone (p = 2); docs/results.md has the figures.
    """

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        assert isinstance(recipe.loss, S2SLoss)
        self.loss = recipe.loss
        self.network = cast(S2S, make_network(recipe.network)).to(device)
        self.networks: dict[str, nn.Module] = {"generator": self.network}

    def losses(
        self, which: str, batch: dict[str, Tensor], rng: np.random.Generator, adversarial: bool
    ) -> dict[str, Tensor]:
        labels, context = batch["labels"], self.network.config.context
        truth, known = self.network.scores(labels), (labels != IGNORE).float()[:, :, None]
        made = self.network.roll_out(truth[:, :context], labels.shape[1] - context)
        errors, gradients = [], []
        for t, (coarse, fine) in enumerate(made, context):
            everywhere = (pooled(known[:, t]) == 1).float()  # in all four of a coarse pixel's
            for predicted, true, where in ((coarse, pooled(truth[:, t]), everywhere), (fine, truth[:, t], known[:, t])):
                errors.append(lp(predicted * where, true * where, self.loss.p))
                if self.loss.gdl:
                    gradients.append(gdl(predicted * where, true * where, 1))
        losses = {"lp": self.loss.lp * torch.stack(errors).sum()}
        if gradients:
            losses["gdl"] = self.loss.gdl * torch.stack(gradients).sum()
        return losses
