"""How far a predicted frame is from the true one. ``FrameMetrics`` computes all of them for K horizons at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import VidpredError
from vidpred_ros.metrics.frames import PSNR_CEILING_DB, psnr, sharpness, ssim
from vidpred_ros.metrics.lpips import Lpips
from vidpred_ros.metrics.moving import THRESHOLD_PX

#: Of every metric of moving areas.
MASKED = (
    "of frames whose pixels that do not move are set to 0 in the prediction and in the truth (Mathieu et al. 2016, footnote "
    f"2); moving is more than {THRESHOLD_PX:g} pixel of DIS flow from the true frame before, at the model's resolution; mean "
    "over windows in which something moves; higher is better"
)
#: What each number means, for the protocol beside every table.
DEFINITIONS = {
    "ssim": "SSIM (Wang et al. 2004), Gaussian window sigma 1.5, population covariance, on R, G and B in 0..255, "
    "mean over channels, pixels and windows; higher is better",
    "psnr": f"PSNR in dB of RGB in 0..255, at most {PSNR_CEILING_DB:g} dB for one frame, mean over windows; "
    "higher is better",
    "lpips": "LPIPS (Zhang et al. 2018) with AlexNet, linear layers v0.1, at the model's own resolution, "
    "mean over windows, not multiplied by 100; lower is better",
    "sharpness": "sharpness difference in dB (Mathieu et al. 2016, section 4.3) of intensities in 0..1, at most "
    f"{PSNR_CEILING_DB:g} dB for one frame, mean over channels, pixels and windows; higher is better",
    "ssim_moving": f"SSIM {MASKED}",
    "psnr_moving": f"PSNR in dB {MASKED}",
    "sharpness_moving": f"sharpness difference in dB {MASKED}",
}
#: The metrics of whole frames that every table begins with.
HEADLINE = ("ssim", "psnr", "lpips")
#: Metrics for which less is better.
LOWER_IS_BETTER = frozenset({"lpips"})
#: Metrics of moving areas only, and why one of them may be missing.
MOVING = ("ssim_moving", "psnr_moving", "sharpness_moving")
NOTHING_MOVES = f"no pixel of the true frames moves by more than {THRESHOLD_PX:g} pixel from frame to frame"


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

    def __call__(
        self, predicted: NDArray[np.uint8], truth: NDArray[np.uint8], moving: NDArray[np.bool_] | None = None
    ) -> list[dict[str, Any]]:
        """One dict of ssim, psnr, lpips and sharpness for each of N pairs (two arrays NxHxWx3 uint8 RGB).

        With the masks ``moving`` (NxHxW, ``moving.MovingAreas``) also the metrics of MOVING, None where nothing moves.
        """
        distances: list[float | None] = [None] * len(truth)
        if self._lpips is not None:
            distances = [float(value) for value in self._lpips(predicted, truth)]
        values: list[dict[str, Any]] = [
            {"ssim": ssim(a, b), "psnr": psnr(a, b), "lpips": distance, "sharpness": sharpness(a, b)}
            for a, b, distance in zip(predicted, truth, distances, strict=True)
        ]
        if moving is not None:
            for scores, a, b, mask in zip(values, predicted, truth, moving, strict=True):
                scores.update(_masked(a, b, mask))
        return values


def _masked(a: NDArray[np.uint8], b: NDArray[np.uint8], mask: NDArray[np.bool_]) -> dict[str, float | None]:
    if not mask.any():
        return dict.fromkeys(MOVING)
    a, b = a * mask[..., None], b * mask[..., None]
    return {"ssim_moving": ssim(a, b), "psnr_moving": psnr(a, b), "sharpness_moving": sharpness(a, b)}
