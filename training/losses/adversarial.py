"""Adversarial losses on the logits of a discriminator, of any shape: the mean over all windows and patches.

``real`` are the logits of true futures, ``fake`` those of predicted ones. Each pair is a loss of the discriminator and
one of the generator; they are computed in float32. ``LOSSES`` has the pairs that recipes may choose from.

Equations 4, 5 and 9 of Lee 2021 let the generator minimise log (1 - D); ours minimises -log D, which has a slope where D is sure
(Goodfellow 2014), as vid2vid and EdgeConnect do in their code.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Shouno 2020, equation 4: 0 once every real patch is above 1 and every predicted one below -1."""
    return F.relu(1 - real.float()).mean() + F.relu(1 + fake.float()).mean()


def hinge_generator(fake: Tensor) -> Tensor:
    """Shouno 2020, equation 3."""
    return -fake.float().mean()


def bce_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Mathieu 2016, section 3.2, one scale: L_bce(D(X, Y), 1) + L_bce(D(X, G(X)), 0), D's sigmoid taken here."""
    return _bce(real, 1.0) + _bce(fake, 0.0)


def bce_generator(fake: Tensor) -> Tensor:
    """Mathieu 2016, section 3.2, one scale: L_bce(D(X, G(X)), 1)."""
    return _bce(fake, 1.0)


def mean_logits(reals: Sequence[Tensor], fakes: Sequence[Tensor]) -> dict[str, Tensor]:
    """What a discriminator thinks of true and of predicted futures, over all its scales: the log shows whether they part."""
    pairs = {"real": reals, "fake": fakes}
    return {name: torch.stack([each.detach().float().mean() for each in logits]).mean() for name, logits in pairs.items()}


def _bce(logits: Tensor, label: float) -> Tensor:
    logits = logits.float()
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def squares_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Least squares (Mao 2017), the default of vid2vid: true patches towards 1, generated ones towards 0."""
    return (real.float() - 1).pow(2).mean() + fake.float().pow(2).mean()


def squares_generator(fake: Tensor) -> Tensor:
    """Least squares: generated patches towards 1."""
    return (fake.float() - 1).pow(2).mean()


#: (of the discriminator, of the generator) by what recipes call them; "log" is the papers' log D, "squares" vid2vid's default.
LOSSES = {"log": (bce_discriminator, bce_generator), "squares": (squares_discriminator, squares_generator)}
