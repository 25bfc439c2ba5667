"""Luc 2017: S2S with l1 and gradient difference losses on soft label maps."""

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
        l1, gradient = [], []
        for t, (coarse, fine) in enumerate(made, context):
            everywhere = (pooled(known[:, t]) == 1).float()  # in all four of a coarse pixel's
            for predicted, true, where in ((coarse, pooled(truth[:, t]), everywhere), (fine, truth[:, t], known[:, t])):
                l1.append(lp(predicted * where, true * where, 1))
                gradient.append(gdl(predicted * where, true * where, 1))
        return {"l1": self.loss.l1 * torch.stack(l1).sum(), "gdl": self.loss.gdl * torch.stack(gradient).sum()}
