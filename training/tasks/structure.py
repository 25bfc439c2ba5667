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
from vidpred_ros.networks import make_network
from vidpred_ros.networks.structure import StructureGenerator


class StructureTask:
    """Equation 1: minus the logarithm of the likelihood of each map that is predicted, and beta times KL(posterior || prior).

    Both are sums, of all pixels and of all of z's channels and places, as the equation says, and both are divided by the
    number of pixels, so that the loss means the same at every size: the errors of the maps are means over pixels, summed
    over the maps. (A divergence that was averaged over z's places instead would weigh scale^2 times as much.)
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
        rgb = self.network.config.space == "rgb"
        clip = batch["frames" if rgb else "labels"]
        taught = self.network.teach(clip, batch.get("moved"), batch.get("flows"), self.loss.closed)
        count = taught.logits.shape[1]
        true = clip[:, -count:]
        if rgb:
            losses = {"mse": count * lp(taught.logits, true, 2)}
        else:
            losses = {"nll": count * cross_entropy(taught.logits, true, self.weights)}
        if taught.posterior is not None and taught.prior is not None:
            (mean, log_variance), (prior_mean, prior_log_variance) = taught.posterior, taught.prior
            posterior, prior = (mean.flatten(2), log_variance.flatten(2)), (prior_mean.flatten(2), prior_log_variance.flatten(2))
            height, width = self.network.config.size
            losses["kl"] = self.loss.beta * kl(posterior, prior).sum(1).mean() / (height * width)
        return losses
