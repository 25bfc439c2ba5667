"""Trials from a recording of a running graph: what the node predicted, against the camera frames that followed."""

from __future__ import annotations

from collections.abc import Container, Iterator

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import VidpredError
from vidpred_ros.evaluation.recording import Recording
from vidpred_ros.evaluation.trials import Trial
from vidpred_ros.forecast import Forecast, horizons_from_frames
from vidpred_ros.window import Window


def recorded_trials(
    recording: Recording, window_length: int, only: Container[int] | None = None
) -> Iterator[Trial]:
    """A trial for each forecast whose window and K true futures were all recorded.

    A camera frame belongs to an instant when it is the nearest one and no farther than half a period. Raises VidpredError
    if there is no trial.
    """
    order = np.argsort(recording.camera_stamps_ns, kind="stable")
    stamps, frames = recording.camera_stamps_ns[order], recording.camera_frames[order]
    steps = recording.forecast_frames.shape[1]
    index = -1
    for source, period, predicted in zip(
        recording.source_stamps_ns.tolist(),
        recording.period_ns.tolist(),
        recording.forecast_frames,
        strict=True,
    ):
        instants = source + period * np.arange(1 - window_length, steps + 1)
        found = nearest(stamps, instants, period / 2)
        if found is None:
            continue
        index += 1
        if only is not None and index not in only:
            continue
        past, future = found[:window_length], found[window_length:]
        window = Window(
            tuple(stamps[past].tolist()), tuple(frames[past]), epoch=0, sequence=index, period_ns=period
        )
        forecast = Forecast(
            recording.summary["model"], source, period, horizons_from_frames(predicted, source, period)
        )
        yield Trial(index, window, forecast, frames[future], latency_ms=None)
    if index < 0:
        raise VidpredError(
            f"none of the {len(recording.source_stamps_ns)} forecasts has a recorded window and all its futures; "
            "let it run for longer (--seconds)"
        )


def nearest(
    stamps: NDArray[np.int64], instants: NDArray[np.int64], tolerance: float
) -> NDArray[np.intp] | None:
    """Index of the stamp nearest to each instant, or None if one of them has none within the tolerance."""
    if not len(stamps):
        return None
    right = np.searchsorted(stamps, instants).clip(1, max(1, len(stamps) - 1))
    right = np.minimum(right, len(stamps) - 1)
    left = np.maximum(right - 1, 0)
    found = np.where(instants - stamps[left] <= stamps[right] - instants, left, right)
    return found if np.all(np.abs(stamps[found] - instants) <= tolerance) else None
