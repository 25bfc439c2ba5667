"""Feature matching (Wang 2018, Nazeri 2019): what a discriminator sees in a generated picture should be what it sees in the true one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def feature_matching(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Sum over layers of the mean absolute difference of two lists of feature maps; no gradient flows into ``real``."""
    return torch.stack([(a.float().detach() - b.float()).abs().mean() for a, b in zip(real, fake, strict=True)]).sum()
