"""How far a predicted frame is from the true one. ``FrameMetrics`` computes all of them for K horizons at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import VidpredError
from vidpred_ros.metrics.frames import PSNR_CEILING_DB, psnr, ssim
from vidpred_ros.metrics.lpips import Lpips

#: What each number means, for the protocol beside every table.
DEFINITIONS = {
    "ssim": "SSIM (Wang et al. 2004), Gaussian window sigma 1.5, population covariance, on R, G and B in 0..255, "
    "mean over channels, pixels and windows; higher is better",
    "psnr": f"PSNR in dB of RGB in 0..255, at most {PSNR_CEILING_DB:g} dB for one frame, mean over windows; "
    "higher is better",
    "lpips": "LPIPS (Zhang et al. 2018) with AlexNet, linear layers v0.1, at the model's own resolution, "
    "mean over windows, not multiplied by 100; lower is better",
}
#: Metrics for which less is better.
LOWER_IS_BETTER = frozenset({"lpips"})


@dataclass
class FrameMetrics:
    """Scores predicted frames. A metric that this machine cannot compute is None, and ``reasons`` says why."""

    threads: int = 1
    reasons: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            self._lpips: Lpips | None = Lpips(threads=self.threads)
        except VidpredError as error:
            self._lpips, self.reasons["lpips"] = None, str(error)

    def __call__(self, predicted: NDArray[np.uint8], truth: NDArray[np.uint8]) -> list[dict[str, Any]]:
        """One dict of ssim, psnr and lpips for each of N pairs (two arrays NxHxWx3 uint8 RGB)."""
        distances: list[float | None] = [None] * len(truth)
        if self._lpips is not None:
            distances = [float(value) for value in self._lpips(predicted, truth)]
        return [
            {"ssim": ssim(a, b), "psnr": psnr(a, b), "lpips": distance}
            for a, b, distance in zip(predicted, truth, distances, strict=True)
        ]
