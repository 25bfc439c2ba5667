"""Lee 2021 (HVP): the structure generator as a beta-VAE on clips of label maps, or of frames (space "rgb")."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from training.losses.gradient import lp
from training.losses.labels import class_weights, cross_entropy
from training.losses.variational import kl
from training.recipe import Recipe, StructureLoss
from training.tasks.segmenter import rarity_weights
from vidpred_ros.networks import make_network
from vidpred_ros.networks.stochastic import Gaussian
from vidpred_ros.networks.structure import StructureGenerator


class StructureTask:
    """Equation 1: minus the logarithm of the likelihood of each map that is predicted, and beta times KL(posterior || prior),
    summed over the maps.

    The text does not say what is a sum and what a mean within a map, on which the meaning of beta hangs. SVG, whose code
    this line of work builds on, has the mean error over pixels and the sum of the divergence over a vector z; ours has z at
    each place of the state, so: the mean over pixels, and the divergence summed over z's channels, the mean over its places.
    That means the same at every size. (Summed over places too, beta would weigh 64 times as much at 64x64.) Taken as it stands,
    equation 1 has sums over pixels and over places: that is a beta of 1 / scale^2 of ours.

    ``loss.free`` (ours; 0: the paper) is what keeps z in use in short runs: Adam follows the divergence, which is there from
    the first update, however small beta is, and until the predictor has a use for z nothing speaks against it.
    ``loss.forecast`` (ours after the hybrid objective of Sohn 2015; 0: the paper) adds the error of the forecast itself, from the
    context alone with the prior's mean: a predictor that has learnt to be told the truth by z is worse without it.
    In space "rgb" the error of a frame is the mean squared one, as in SVG (Denton and Fergus 2018).
    """

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        assert isinstance(recipe.loss, StructureLoss)
        self.loss = recipe.loss
        self.network = cast(StructureGenerator, make_network(recipe.network)).to(device)
        self.networks: dict[str, nn.Module] = {"generator": self.network}
        weights = class_weights(self.network.config.classes, recipe.loss.moving)
        self.weights = None if weights is None else weights.to(device)

    def losses(
        self, which: str, batch: dict[str, Tensor], rng: np.random.Generator, adversarial: bool
    ) -> dict[str, Tensor]:
        network = self.network
        clip = batch["frames" if network.config.space == "rgb" else "labels"]
        guesses = batch.get("moved"), batch.get("flows")
        taught = network.teach(clip, *guesses, self.loss.closed)
        losses = {"mse" if network.config.space == "rgb" else "nll": self.error(taught.logits, clip)}
        if self.loss.forecast:
            seen = network.config.context
            made = network(clip[:, :seen], *guesses, clip.shape[1] - seen)
            losses["forecast"] = self.loss.forecast * self.error(made, clip)
        if taught.posterior is not None and taught.prior is not None:
            posterior, prior = channels_last(taught.posterior), channels_last(taught.prior)
            each = kl(posterior, prior).mean((0, 2, 3))  # of each map
            losses["kl"] = self.loss.beta * each.clamp(min=self.loss.free).sum()
        return losses

    def error(self, made: Tensor, clip: Tensor) -> Tensor:
        """Of the clip's last maps or frames, as many as are ``made``, summed over them."""
        count = made.shape[1]
        true = clip[:, -count:]
        if self.network.config.space == "rgb":
            return count * lp(made, true, 2)
        weights = self.weights
        if self.loss.rare is not None:
            shares = rarity_weights(true, self.network.config.classes, self.loss.rare)
            weights = shares if weights is None else shares * weights
        return count * cross_entropy(made, true, weights)


def channels_last(gaussian: Gaussian) -> Gaussian:
    """Mean and log variance (B, L, Z, h, w), each as (B, L, h, w, Z)."""
    mean, log_variance = gaussian
    return mean.movedim(2, -1), log_variance.movedim(2, -1)
