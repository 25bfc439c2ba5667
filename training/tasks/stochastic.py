"""Denton and Fergus 2018: stochastic video generation as a variational autoencoder; Lee 2021: with perceptual terms."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from training.losses.perceptual import VggLoss
from training.losses.variational import kl, perceptual_distances
from training.recipe import Recipe, StochasticLoss
from training.tasks.hierarchical import same_crop
from vidpred_ros.networks import make_network
from vidpred_ros.networks.stochastic import Stochastic


class StochasticTask:
    """Lee's equation 1: reconstruction errors of frames 2..T under teacher forcing, and beta times the divergence of the
    posteriors from the priors, summed over frames (as the papers do) and averaged over clips."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        assert isinstance(recipe.loss, StochasticLoss)
        self.loss = recipe.loss
        self.network = cast(Stochastic, make_network(recipe.network)).to(device)
        self.networks: dict[str, nn.Module] = {"generator": self.network}
        self.vgg = VggLoss().to(device) if any(recipe.loss.vgg) else None

    def losses(
        self, which: str, batch: dict[str, Tensor], rng: np.random.Generator, adversarial: bool
    ) -> dict[str, Tensor]:
        clip = batch["frames"]
        taught, true, count = self.network.teach(clip), clip[:, 1:], clip.shape[1] - 1
        losses = {
            "mse": self.loss.mse * count * (taught.frames - true).pow(2).mean(),
            "kl": self.loss.beta * kl(taught.posterior, taught.prior).sum(1).mean(),
        }
        if self.vgg is not None:
            weights = torch.tensor(self.loss.vgg, device=clip.device)
            predicted, true = taught.frames.flatten(0, 1), true.flatten(0, 1)
            losses["vgg"] = count * (weights * perceptual_distances(self.vgg, predicted, true)).sum()
        return losses
