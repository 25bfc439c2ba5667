"""FVD (Unterthiner 2018) and shot-wise FVD (Lee 2021, equation 7): Frechet distances between I3D features of clips."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import ConfigError
from vidpred_ros.metrics.frechet import frechet_distance

FVD_DEFINITION = (
    "Frechet distance (unbiased covariances) between the I3D logits (Kinetics-400, averaged over time, frames resized to 224x224) "
    "of predicted and true clips, all windows together; few windows bias it upwards, so compare only what has as many; lower is "
    "better"
)


class ClipFeatures(Protocol):
    """Features of clips: ``i3d.I3d``, or a stand-in."""

    def __call__(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """NxTxHxWx3 uint8 RGB to NxD."""
        ...


def fvd(predicted: NDArray[np.uint8], truth: NDArray[np.uint8], network: ClipFeatures) -> float:
    """FVD of two sets of clips (NxTxHxWx3 and MxTxHxWx3 uint8 RGB)."""
    return frechet_distance(network(predicted), network(truth))


def shots(frames: Iterable[NDArray[np.uint8]], length: int, stride: int = 1) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Overlapping shots of a video of any length: (index of the first frame, lengthxHxWx3), every ``stride`` frames.

    Only one shot is held at a time. Raises ConfigError for a length or stride below 1.
    """
    if length < 1 or stride < 1:
        raise ConfigError(f"shots need a length and a stride of 1 or more, got {length} and {stride}")
    recent: deque[NDArray[np.uint8]] = deque(maxlen=length)
    for i, frame in enumerate(frames):
        recent.append(frame)
        first = i - length + 1
        if first >= 0 and first % stride == 0:
            yield first, np.stack(recent)


def shot_features(
    frames: Iterable[NDArray[np.uint8]], length: int, network: ClipFeatures, stride: int = 1
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The first frames (S,) of a video's shots and their features (S, D). Raises ConfigError for a video of no shot."""
    found = [(first, network(shot[None])[0]) for first, shot in shots(frames, length, stride)]
    if not found:
        raise ConfigError(f"the video has fewer than {length} frames: there is no shot of that length in it")
    return np.array([first for first, _ in found]), np.stack([features for _, features in found])


def shot_wise_fvd(predicted: NDArray[np.floating], truth: NDArray[np.floating], around: int = 0) -> NDArray[np.float64]:
    """Shot-wise FVD (S,) over time: the shots that M predictions have at one time against the L true shots of any time.

    ``predicted`` (M, S, D): features of shot s of prediction m; ``truth`` (L, D): the paper's are the shots of its training
    videos, those of `vidpred predict` the drive's own, so its values are no paper's. With few predictions, ``around`` takes
    the shots up to so many places before and after too (ours; 0 is the paper's). Raises ConfigError where fewer than two
    shots are left for a covariance.
    """
    _, count, width = predicted.shape
    values = np.empty(count)
    for s in range(count):
        near = predicted[:, max(0, s - around) : s + around + 1].reshape(-1, width)
        values[s] = frechet_distance(near, truth)
    return values
