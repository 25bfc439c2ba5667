"""Whose frames are scored: the predictor's, the best of its samples, and the baselines'."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import ConfigError
from vidpred_ros.evaluation.trials import Trial, stack_frames
from vidpred_ros.metrics.frames import ssim
from vidpred_ros.predictors import BASELINES, Predictor, make_predictor
from vidpred_ros.window import Window

#: The method that label maps are measured by: the segmenter on the true future frame.
SEGMENTER = "segmenter"

#: KxHxWx3 uint8 RGB frames of one method for a trial.
Method = Callable[[Trial], NDArray[np.uint8]]


@runtime_checkable
class Stochastic(Protocol):
    """A predictor that draws futures."""

    def sample(self, window: Window, count: int, seed: int) -> NDArray[np.uint8]:
        """``count`` futures NxKxHxWx3 uint8 RGB; the same ones for the same seed."""
        ...


def predicted(trial: Trial) -> NDArray[np.uint8]:
    """The predictor's own forecast (of a stochastic one, at the mean of its prior)."""
    return trial.predicted


def baselines(size: tuple[int, int], period_s: float, steps: int) -> dict[str, Method]:
    """Copying the last frame and optical flow, on the windows of a predictor of this geometry."""
    return {name: _of(make_predictor(name, steps=steps, size=size, period_s=period_s)) for name in BASELINES}


def best_of(predictor: Predictor, count: int, seed: int) -> dict[str, Method]:
    """``best_of_N``: the sample, of N, that has the best SSIM, averaged over the steps (Lee 2021, section 3).

    One future for each window, the same at every step and for all metrics: so we read the paper, and not the best frame of
    each step. It is chosen with the truth in hand, so it tells how far the samples reach and not how good one forecast is.
    Raises ConfigError for a predictor that draws no samples.
    """
    if not isinstance(predictor, Stochastic):
        raise ConfigError(f"--samples {count}: {predictor.model_id} is not stochastic, its forecasts are all the same")
    stochastic: Stochastic = predictor

    def method(trial: Trial) -> NDArray[np.uint8]:
        drawn = stochastic.sample(trial.window, count, window_seed(seed, trial.index))
        means = [np.mean([ssim(a, b) for a, b in zip(frames, trial.truth, strict=True)]) for frames in drawn]
        return drawn[int(np.argmax(means))]

    return {f"best_of_{count}": method}


def window_seed(seed: int, index: int) -> int:
    """A seed for each window, so that no two windows see the same draws."""
    return int(np.random.SeedSequence((seed, index)).generate_state(1)[0])


def sees_the_truth(method: str) -> bool:
    """Whether a method was chosen by the truth, or is the segmenter on the true frame: it is in the tables, but it wins nothing."""
    return method.startswith("best_of_") or method == SEGMENTER


def frames_by_method(trial: Trial, methods: Mapping[str, Method]) -> dict[str, NDArray[np.uint8]]:
    """KxHxWx3 frames of each method on the same window."""
    return {name: method(trial) for name, method in methods.items()}


def _of(baseline: Predictor) -> Method:
    return lambda trial: stack_frames(baseline.predict(trial.window))
