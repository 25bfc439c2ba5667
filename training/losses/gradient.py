"""The reconstruction losses of Mathieu 2016, sections 2 and 3.3. Images are (..., H, W), any range.

The paper writes sums over pixels and samples; we take means, as the authors' code does: weights and learning rates then
do not depend on the size of the patch or of the batch.
"""

from __future__ import annotations

from torch import Tensor


def lp(predicted: Tensor, true: Tensor, p: int) -> Tensor:
    """Mean of |predicted - true|^p."""
    return (predicted - true).abs().pow(p).mean()


def gdl(predicted: Tensor, true: Tensor, alpha: int) -> Tensor:
    """Gradient difference loss: | |Y_i - Y_(i-1)| - |Y^_i - Y^_(i-1)| |^alpha, the mean down plus the mean across."""
    down, across = (
        (predicted.diff(dim=axis).abs() - true.diff(dim=axis).abs()).abs().pow(alpha).mean() for axis in (-2, -1)
    )
    return down + across
