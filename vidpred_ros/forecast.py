"""What every predictor returns: one Forecast, with one Horizon for each future step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Horizon:
    """The prediction for one future instant. Every map has the height and width of the predictor's output."""

    step: int  # k = 1..K
    stamp_ns: int  # the instant predicted: source stamp + k periods
    frame: NDArray[np.uint8] | None = None  # HxWx3 RGB
    labels: NDArray[np.uint8] | None = None  # HxW class ids
    entropy: NDArray[np.float32] | None = None  # HxW, nats
    confidence: NDArray[np.float32] | None = None  # HxW, probability of `labels`


@dataclass(frozen=True)
class Forecast:
    """K horizons predicted from one window.

    ``latency_ms`` holds wall-clock milliseconds by stage of the prediction (for instance ``motion``, ``infer``).
    """

    model_id: str
    source_stamp_ns: int  # stamp of the newest frame of the window
    period_ns: int  # time between horizons
    horizons: tuple[Horizon, ...]
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    #: Class name to HxW float32: a pixel's largest probability of that class at any horizon, mean over the sampled futures; a lower
    #: bound of the probability that it is of that class at some horizon.
    occupancy: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    samples: NDArray[np.uint8] | None = None  # NxKxHxW label maps: the sampled futures themselves


def horizons_from_frames(frames: NDArray[np.uint8], source_stamp_ns: int, period_ns: int) -> tuple[Horizon, ...]:
    """Number and stamp K predicted frames (K x H x W x 3 uint8 RGB) that follow ``source_stamp_ns``."""
    return tuple(
        Horizon(step=k, stamp_ns=source_stamp_ns + k * period_ns, frame=frame)
        for k, frame in enumerate(frames, start=1)
    )
