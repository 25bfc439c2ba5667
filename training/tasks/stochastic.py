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
    """Lee's equation 1: the errors of frames 2..T under teacher forcing, and beta times the divergence of posterior from
    prior, both summed over the frames (as in both papers) and averaged over clips and pixels.

    Where only some frames are decoded (``loss.decoded``), their errors stand for all.
    """

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
        count = clip.shape[1] - 1
        wanted = list(range(1, count + 1))
        if self.loss.decoded is not None and self.loss.decoded < count:
            wanted = sorted(rng.choice(wanted, size=self.loss.decoded, replace=False).tolist())
        taught = self.network.teach(clip, wanted)
        predicted, true = taught.frames.flatten(0, 1), clip[:, wanted].flatten(0, 1)
        losses = {
            "mse": self.loss.mse * count * (predicted - true).pow(2).mean(),
            "kl": self.loss.beta * kl(taught.posterior, taught.prior).sum(1).mean(),
        }
        if self.vgg is not None:
            if self.loss.vgg_crop is not None:
                predicted, true = same_crop(predicted, true, self.loss.vgg_crop, rng)
            weights = torch.tensor(self.loss.vgg, device=clip.device)
            losses["vgg"] = count * (weights * perceptual_distances(self.vgg, predicted, true)).sum()
        return losses
