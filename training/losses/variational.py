"""The losses of stochastic video generation: Denton and Fergus 2018, and the perceptual terms of SVG-PL (Lee 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

from training.losses.perceptual import VggLoss


def kl(posterior: tuple[Tensor, Tensor], prior: tuple[Tensor, Tensor]) -> Tensor:
    """Divergence KL(posterior || prior), in nats, of diagonal Gaussians (mean, log variance), each (..., Z): (...).

    Zeros are the mean and the log variance of N(0, 1).
    """
    (mean, log_variance), (prior_mean, prior_log_variance) = posterior, prior
    spread = (log_variance - prior_log_variance).exp()
    distance = (mean - prior_mean).pow(2) * (-prior_log_variance).exp()
    return 0.5 * (spread + distance - 1 + prior_log_variance - log_variance).sum(-1)


def perceptual_distances(vgg: VggLoss, predicted: Tensor, true: Tensor) -> Tensor:
    """L_p^i of Lee 2021, equation 3, for the five blocks of VGG-16: the mean over images (B, 3, H, W) in [0, 1], (5,).

    The equation is the plain norm of the difference of two feature maps: not squared, and, unlike Shouno's, without
    scaling the features of each place to unit length. It names neither the layers nor the norm: we take the last ReLU
    of each block and the Euclidean norm of each image's whole map, divided by the root of the map's size, so that the
    weights w_i mean the same for every size of picture.
    """
    with torch.no_grad():
        wanted = vgg.maps(true)
    differences = [(a - b).flatten(1) for a, b in zip(vgg.maps(predicted), wanted, strict=True)]
    return torch.stack([(torch.linalg.vector_norm(d, dim=1) / d.shape[1] ** 0.5).mean() for d in differences])
